// What is different between two states of a node: what Inspect.Diff answers and `varve diff`
// prints.
import type { SnapshotSummary, StateDocument } from './state-document.ts';

/** One field that changed; `from` or `to` is null where there is nothing. */
export interface Change {
  /** Dotted for what is inside: `labels.<name>`, `usage.sizeBytes`. */
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}

export interface DiffDocument {
  readonly format: 'varve-diff';
  readonly version: 1;
  readonly from: { readonly position: number; readonly time: string | null };
  readonly to: { readonly position: number; readonly time: string | null };
  readonly node: readonly Change[];
  readonly added: readonly SnapshotSummary[];
  readonly removed: readonly SnapshotSummary[];
  readonly changed: readonly {
    readonly id: number;
    readonly key: string;
    readonly changes: readonly Change[];
  }[];
}

/** What changed from one state to the other. Snapshots are matched by id: a new key is a change. */
export function diffStates(from: StateDocument, to: StateDocument): DiffDocument {
  const before = new Map(from.snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const after = new Map(to.snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const changed = [];
  for (const snapshot of to.snapshots) {
    const earlier = before.get(snapshot.id);
    if (earlier === undefined) continue;
    const changes = changesOf(earlier, snapshot);
    if (changes.length > 0) changed.push({ id: snapshot.id, key: snapshot.key, changes });
  }
  return {
    format: 'varve-diff',
    version: 1,
    from: { position: from.position, time: from.time },
    to: { position: to.position, time: to.time },
    node: changesOf(from.node, to.node),
    added: to.snapshots.filter((snapshot) => !before.has(snapshot.id)),
    removed: from.snapshots.filter((snapshot) => !after.has(snapshot.id)),
    changed,
  };
}

/** Every leaf that is different between two JSON values. */
export function changesOf(from: unknown, to: unknown, field = ''): readonly Change[] {
  if (isObject(from) && isObject(to)) {
    const names = new Set([...Object.keys(from), ...Object.keys(to)]);
    return [...names].flatMap((name) =>
      changesOf(member(from, name), member(to, name), field === '' ? name : `${field}.${name}`),
    );
  }
  if (JSON.stringify(from) === JSON.stringify(to)) return [];
  return [{ field, from: from ?? null, to: to ?? null }];
}

const member = (value: Readonly<Record<string, unknown>>, name: string): unknown =>
  Object.hasOwn(value, name) ? value[name] : undefined;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
