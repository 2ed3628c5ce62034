// Names and relations of snapshots, folded from the same log as their states: which key or name is
// whose, and who is whose parent. The only place for rules that span snapshots.
import { invariant } from '../kernel/invariant.ts';
import type { Lower } from '../snapshot/mounts.ts';
import { isBlockLayer, kindOf, type SnapshotState } from '../snapshot/state.ts';
import type { SnapshotFacts } from '../snapshot/decide.ts';

/** Follows the states of all snapshots; `set` and `delete` keep names and relations in step. */
export class Catalog implements SnapshotFacts {
  readonly #states = new Map<number, SnapshotState>();
  readonly #ids = new Map<string, number>();
  readonly #claimed = new Map<string, number>();
  readonly #children = new Map<number, Set<number>>();

  get states(): ReadonlyMap<number, SnapshotState> {
    return this.#states;
  }

  get(snapshotId: number): SnapshotState | undefined {
    return this.#states.get(snapshotId);
  }

  isTaken(name: string): boolean {
    return this.#ids.has(name) || this.#claimed.has(name);
  }

  find(name: string): SnapshotState | undefined {
    const snapshotId = this.#ids.get(name);
    return snapshotId === undefined ? undefined : this.#states.get(snapshotId);
  }

  /**
   * Whether the files of a layer that is being committed may be a block layer: an unpacked one, on
   * nothing or on another block layer.
   */
  mayBecomeBlock({ context }: SnapshotState): boolean {
    const parentId = context.operation?.commit?.parentId ?? context.parentId;
    const parent = parentId === null ? undefined : this.#states.get(parentId);
    const isOnBlock = parentId === null || (parent !== undefined && isBlockLayer(parent));
    return context.role === 'imageLayer' && isOnBlock;
  }

  childOf(snapshotId: number): SnapshotState | undefined {
    const [child] = this.#children.get(snapshotId) ?? [];
    return child === undefined ? undefined : this.#states.get(child);
  }

  childrenOf(snapshotId: number): readonly SnapshotState[] {
    return [...(this.#children.get(snapshotId) ?? [])]
      .map((id) => this.#states.get(id))
      .filter((state) => state !== undefined);
  }

  /** What lies below a snapshot, nearest first: ordinary layers, down to the first block layer. */
  lowersOf(state: SnapshotState): readonly Lower[] {
    const lowers: Lower[] = [];
    for (let snapshotId = state.context.parentId; snapshotId !== null;) {
      const parent = this.#states.get(snapshotId);
      invariant(parent !== undefined, `snapshot ${snapshotId} is a parent and must exist`);
      if (isBlockLayer(parent)) return [...lowers, { snapshotId, kind: 'device' }];
      lowers.push({ snapshotId, kind: 'directory' });
      snapshotId = parent.context.parentId;
    }
    return lowers;
  }

  /**
   * The block layer whose device shows what `state` holds, or what lies below it: itself if it is
   * one, else the nearest below.
   */
  blockLayerOf(state: SnapshotState): SnapshotState | undefined {
    if (isBlockLayer(state)) return state;
    const last = this.lowersOf(state).at(-1);
    return last?.kind === 'device' ? this.#states.get(last.snapshotId) : undefined;
  }

  /** The bottom-most snapshot below one, as far as they are known; itself if there is none. */
  baseOf(snapshotId: number): number {
    const parentId = this.#states.get(snapshotId)?.context.parentId ?? null;
    return parentId === null ? snapshotId : this.baseOf(parentId);
  }

  /** Snapshots that clients can see, in the order of their names. */
  visible(): readonly SnapshotState[] {
    const names = [...this.#ids.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    return names.map((name) => this.find(name)).filter((state) => state !== undefined);
  }

  /** Takes the next state of a snapshot; one that is over is forgotten. */
  set(next: SnapshotState): void {
    const { snapshotId } = next.context;
    const previous = this.#states.get(snapshotId);
    if (previous !== undefined) this.#unlink(previous);
    const isOver = next.value.lifecycle === 'removed' || next.value.lifecycle === 'failed';
    if (isOver) {
      this.#states.delete(snapshotId);
      return;
    }
    this.#states.set(snapshotId, next);
    this.#link(next);
  }

  #link(state: SnapshotState): void {
    const { snapshotId, key, parentId, operation } = state.context;
    if (kindOf(state) === undefined) return;
    invariant(!this.#ids.has(key), `key ${key} must have one owner`);
    this.#ids.set(key, snapshotId);
    const name = operation?.commit?.name;
    if (name !== undefined) this.#claimed.set(name, snapshotId);
    for (const parent of [parentId, operation?.commit?.parentId ?? null]) {
      if (parent === null) continue;
      const siblings = this.#children.get(parent);
      if (siblings === undefined) this.#children.set(parent, new Set([snapshotId]));
      else siblings.add(snapshotId);
    }
  }

  #unlink(state: SnapshotState): void {
    const { snapshotId, key, parentId, operation } = state.context;
    if (kindOf(state) === undefined) return;
    this.#ids.delete(key);
    const name = operation?.commit?.name;
    if (name !== undefined) this.#claimed.delete(name);
    for (const parent of [parentId, operation?.commit?.parentId ?? null]) {
      if (parent === null) continue;
      const siblings = this.#children.get(parent);
      siblings?.delete(snapshotId);
      if (siblings?.size === 0) this.#children.delete(parent);
    }
  }
}
