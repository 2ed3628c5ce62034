// Clients of one node, by chance: what they hold, what they were told, what they may ask for next.
// Every answer is borne out at once, and again whenever the node was killed.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { base, top, type BlockNode } from '../cli/block-node.ts';

type Mode = 'overlayfs' | 'dir' | 'dev' | 'view';

/** A snapshot that was answered. */
interface Held {
  readonly key: string;
  readonly parent: string;
  readonly mode: Mode | 'layer';
  /** The files that must be found in it, and what they hold. */
  readonly files: Map<string, string>;
}

interface Ended {
  readonly code: number;
  readonly details: string;
}

type Random = (below: number) => number;

const label = 'containerd.io/snapshot/overlaybd.writable';

/** Whether a call met the node's death: it may be done or not. */
const isUnanswered = ({ code }: Ended): boolean =>
  code === status.UNAVAILABLE || code === status.CANCELLED;

const unanswered = { code: status.UNAVAILABLE, details: 'the node was gone', value: undefined };

/** A call; of one that comes while the node is killed nothing is known either. */
const asked = async <Reply extends Ended>(
  call: () => Promise<Reply>,
): Promise<Reply | typeof unanswered> => {
  try {
    return await call();
  } catch (error) {
    assert.match((error as Error).message, /shut down/);
    return unanswered;
  }
};

export class Clients {
  readonly #node: BlockNode;
  readonly #random: Random;
  readonly #held = new Map<string, Held>();
  /** Keys and names of calls that were not answered: they may exist or not. */
  readonly #doubtful = new Set<string>();
  /** Parents of Prepares that are under way; one that is prepared on twice is there twice. */
  readonly #preparingOn: string[] = [];
  #nextNumber = 1;

  constructor(node: BlockNode, random: Random) {
    this.#node = node;
    this.#random = random;
    const ofBase = ['base', 'base\n'] as const;
    this.#hold({ key: base, parent: '', mode: 'layer', files: new Map([ofBase]) });
    const files = new Map([ofBase, ['top', 'top\n'] as const]);
    this.#hold({ key: top, parent: base, mode: 'layer', files });
  }

  /** Something that a client does; concurrent ones never touch the same snapshot. */
  async act(busy: Set<string>): Promise<void> {
    const free = [...this.#held.values()].filter(
      ({ key, parent }) => !busy.has(key) && !busy.has(parent),
    );
    const one = free[this.#random(free.length)];
    if (one === undefined) return;
    const { mode } = one;
    if (mode === 'layer') {
      const children = [...this.#held.values()].map(({ parent }) => parent);
      const isLeaf = ![...children, ...this.#preparingOn].includes(one.key);
      const isRemovable = isLeaf && one.key !== top && one.key !== base && this.#random(4) === 0;
      if (!isRemovable) return this.#prepare(one);
    }
    busy.add(one.key);
    try {
      const choice = this.#random(4);
      if (mode === 'layer' || choice === 0) await this.#remove(one);
      else if (choice === 1 && mode === 'dir') await this.#commit(one);
      else if (choice === 2 && mode === 'dir') await this.#write(one);
      else await this.#read(one);
    } finally {
      busy.delete(one.key);
    }
  }

  /** So many containers of one image at once. */
  async burst(parent: string, count: number): Promise<void> {
    const image = this.#held.get(parent);
    assert.ok(image);
    await Promise.all(Array.from({ length: count }, () => this.#prepare(image, 'overlayfs')));
  }

  /** All that was answered is there. */
  async check(): Promise<void> {
    for (const one of this.#held.values()) {
      if (one.mode === 'layer') {
        const { code } = await this.#node.daemon.snapshots.call(snapshots.stat, { key: one.key });
        assert.equal(status[code], 'OK', one.key);
      } else await this.#read(one);
    }
  }

  /** What is held and what may exist goes, but for the image. */
  async removeAll(): Promise<void> {
    const isKept = (key: string): boolean => key === base || key === top;
    const keys = [...this.#held.keys(), ...this.#doubtful].filter((key) => !isKept(key));
    // Children come after their parents.
    for (let left = keys.reverse(); left.length > 0;) {
      const remaining: string[] = [];
      for (const key of left) {
        const { code } = await this.#node.remove(key);
        if (code !== status.OK && code !== status.NOT_FOUND) remaining.push(key);
      }
      assert.ok(remaining.length < left.length, `${remaining.join()} cannot be removed`);
      left = remaining;
    }
    this.#held.clear();
  }

  #hold(one: Held): void {
    this.#held.set(one.key, one);
  }

  /** Notes an end that is none, and tells others from it; a refusal fails the test. */
  #isAnswered(ended: Ended, key: string, what: string): boolean {
    if (isUnanswered(ended)) {
      this.#doubtful.add(key);
      return false;
    }
    assert.equal(status[ended.code], 'OK', `${what} ${key}: ${ended.details}`);
    return true;
  }

  async #prepare(parent: Held, wanted?: Mode): Promise<void> {
    const modes = ['overlayfs', 'overlayfs', 'dir', 'dev', 'view'] as const;
    const mode = wanted ?? modes[this.#random(modes.length)] ?? 'view';
    const key = `client-${this.#nextNumber++}`;
    const labels = mode === 'view' ? {} : { [label]: mode };
    this.#preparingOn.push(parent.key);
    const ended =
      mode === 'view'
        ? await asked(() => this.#node.tryView(key, parent.key))
        : await asked(() => this.#node.tryPrepare(key, parent.key, labels));
    this.#preparingOn.splice(this.#preparingOn.indexOf(parent.key), 1);
    if (!this.#isAnswered(ended, key, 'Prepare')) return;
    const one = { key, parent: parent.key, mode, files: new Map(parent.files) };
    this.#hold(one);
    await this.#read(one);
  }

  async #remove({ key }: Held): Promise<void> {
    this.#held.delete(key);
    this.#isAnswered(await asked(() => this.#node.remove(key)), key, 'Remove');
  }

  async #commit(one: Held): Promise<void> {
    const name = `layer-${this.#nextNumber++}`;
    const ended = await asked(() => this.#node.tryCommit(one.key, name));
    this.#held.delete(one.key);
    if (this.#isAnswered(ended, name, 'Commit')) {
      this.#hold({ ...one, key: name, mode: 'layer' });
    } else this.#doubtful.add(one.key);
  }

  async #write(one: Held): Promise<void> {
    const source = await this.#sourceOf(one);
    if (source === undefined) return;
    const name = `written-${this.#nextNumber++}`;
    writeFileSync(path.join(source, name), `${name}\n`);
    await runCommand(['sync', path.join(source, name)]);
    one.files.set(name, `${name}\n`);
  }

  /** Mounts as a client would, and reads all that must be there. */
  async #read(one: Held): Promise<void> {
    const { key } = one;
    const ended = await asked(() => this.#node.tryMounts(key));
    if (isUnanswered(ended)) return;
    assert.equal(status[ended.code], 'OK', `Mounts ${key}: ${ended.details}`);
    const { type = '', source = '', options = [] } = ended.value?.mounts?.[0] ?? {};
    if (type === 'bind') {
      assertFiles(source ?? '', one);
      return;
    }
    const target = path.join(this.#node.scratch.path, `mounted-${this.#nextNumber++}`);
    await runCommand(['mkdir', '-p', target]);
    const all = (options ?? []).join(',');
    await runCommand(['mount', '-t', type ?? '', '-o', all, source ?? '', target]);
    try {
      assertFiles(target, one);
    } finally {
      await runCommand(['umount', target]);
    }
  }

  async #sourceOf({ key }: Held): Promise<string | undefined> {
    const { code, value } = await asked(() => this.#node.tryMounts(key));
    return code === status.OK ? (value?.mounts?.[0]?.source ?? undefined) : undefined;
  }
}

function assertFiles(directory: string, { key, files }: Held): void {
  for (const [name, content] of files) {
    const file = path.join(directory, name);
    assert.ok(existsSync(file), `${key} has ${name}`);
    assert.equal(readFileSync(file, 'utf8'), content, key);
  }
}
