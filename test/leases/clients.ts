// Clients of one node, by chance: what they hold, what they were told, what they may ask for next.
// Every answer is borne out at once, and again after each round. What the node's death left without
// an answer they ask again.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { base, top, type BlockNode } from '../cli/block-node.ts';
import type { Use } from './world.ts';

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

interface Answer extends Ended {
  readonly value?: { readonly mounts?: readonly Mount[] | null } | undefined;
}

interface Mount {
  readonly type?: string | null;
  readonly source?: string | null;
  readonly options?: readonly string[] | null;
}

interface Wish {
  /** For messages: `Prepare client-1`. */
  readonly what: string;
  readonly call: () => Promise<Ended>;
  /** How it is refused where it had happened already. */
  readonly again: status;
  /** What the client makes of it. */
  readonly done: () => void;
}

export class Clients {
  readonly #node: BlockNode;
  readonly #random: Random;
  readonly #held = new Map<string, Held>();
  /** What was asked for and not answered. */
  readonly #unanswered: Wish[] = [];
  /** Whether the node is killed in this round. */
  #isDying = false;
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

  /** So many things at once; `kill` starts the node again that it ends among them. */
  async round(count: number, kill?: () => Promise<void>): Promise<void> {
    this.#isDying = kill !== undefined;
    const busy = new Set<string>();
    const acting = Promise.allSettled(Array.from({ length: count }, () => this.#act(busy)));
    await kill?.();
    for (const one of await acting) if (one.status === 'rejected') throw one.reason;
    this.#isDying = false;
    for (const { what, call, again, done } of this.#unanswered.splice(0)) {
      const { code, details } = await call();
      const isDone = code === status.OK || code === again;
      assert.ok(isDone, `${what}, again: ${status[code]}, ${details}`);
      done();
    }
  }

  /** Something that a client does; concurrent ones never touch the same snapshot. */
  async #act(busy: Set<string>): Promise<void> {
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

  /** All that was answered is there; tells what devices are used for it. */
  async check(): Promise<readonly Use[]> {
    const uses: Use[] = [];
    for (const one of this.#held.values()) {
      if (one.mode === 'layer') {
        const { code } = await this.#node.daemon.snapshots.call(snapshots.stat, { key: one.key });
        assert.equal(status[code], 'OK', one.key);
        continue;
      }
      const mount = await this.#read(one);
      assert.ok(mount, `${one.key} has mounts`);
      const { key, parent, mode } = one;
      uses.push({
        key,
        parent,
        isWritable: mode === 'dir' || mode === 'dev',
        place: placeOf(mount),
      });
    }
    return uses;
  }

  /** What is held goes, but for the image. */
  async removeAll(): Promise<void> {
    // Children come after their parents.
    for (const { key } of [...this.#held.values()].reverse()) {
      if (key === base || key === top) continue;
      const { code, details } = await this.#node.remove(key);
      assert.equal(status[code], 'OK', `Remove ${key}: ${details}`);
      this.#held.delete(key);
    }
  }

  #hold(one: Held): void {
    this.#held.set(one.key, one);
  }

  /** Asks; a refusal fails the test, and so does no answer while the node is not killed. */
  async #ask(wish: Wish): Promise<void> {
    const { code, details } = await this.#asked(wish.call);
    if (this.#isDying && code === status.UNAVAILABLE) {
      this.#unanswered.push(wish);
      return;
    }
    assert.equal(status[code], 'OK', `${wish.what}: ${details}`);
    wish.done();
  }

  /** A call; nothing is known of one that the node's death meets. */
  async #asked<Reply extends Ended>(
    call: () => Promise<Reply>,
  ): Promise<Reply | (Ended & { readonly value?: undefined })> {
    try {
      const reply = await call();
      return reply.code === status.CANCELLED ? { ...reply, code: status.UNAVAILABLE } : reply;
    } catch (error) {
      assert.match((error as Error).message, /shut down/);
      return { code: status.UNAVAILABLE, details: 'the node was gone' };
    }
  }

  async #prepare(parent: Held, wanted?: Mode): Promise<void> {
    const modes = ['overlayfs', 'overlayfs', 'dir', 'dev', 'view'] as const;
    const mode = wanted ?? modes[this.#random(modes.length)] ?? 'view';
    const key = `client-${this.#nextNumber++}`;
    const labels = mode === 'view' ? {} : { [label]: mode };
    const one = { key, parent: parent.key, mode, files: new Map(parent.files) };
    this.#preparingOn.push(parent.key);
    await this.#ask({
      what: `Prepare ${key}`,
      call: () =>
        mode === 'view'
          ? this.#node.tryView(key, parent.key)
          : this.#node.tryPrepare(key, parent.key, labels),
      again: status.ALREADY_EXISTS,
      done: () => this.#hold(one),
    });
    this.#preparingOn.splice(this.#preparingOn.indexOf(parent.key), 1);
    if (this.#held.has(key)) await this.#read(one);
  }

  async #remove({ key }: Held): Promise<void> {
    this.#held.delete(key);
    await this.#ask({
      what: `Remove ${key}`,
      call: () => this.#node.remove(key),
      again: status.NOT_FOUND,
      done: () => undefined,
    });
  }

  async #commit(one: Held): Promise<void> {
    const name = `layer-${this.#nextNumber++}`;
    this.#held.delete(one.key);
    await this.#ask({
      what: `Commit ${one.key} as ${name}`,
      call: () => this.#node.tryCommit(one.key, name),
      again: status.ALREADY_EXISTS,
      done: () => this.#hold({ ...one, key: name, mode: 'layer' }),
    });
  }

  async #write(one: Held): Promise<void> {
    const mount = await this.#mountOf(one);
    if (mount === undefined) return;
    const name = `written-${this.#nextNumber++}`;
    const file = path.join(mount.source ?? '', name);
    writeFileSync(file, `${name}\n`);
    await runCommand(['sync', file]);
    one.files.set(name, `${name}\n`);
  }

  /** Mounts as a client would, and reads all that must be there; not of a node that is killed. */
  async #read(one: Held): Promise<Mount | undefined> {
    const mount = await this.#mountOf(one);
    if (mount === undefined) return undefined;
    const { type, source, options } = mount;
    if (type === 'bind') {
      assertFiles(source ?? '', one);
      return mount;
    }
    const target = path.join(this.#node.scratch.path, `mounted-${this.#nextNumber++}`);
    mkdirSync(target);
    const all = (options ?? []).join(',');
    await runCommand(['mount', '-t', type ?? '', '-o', all, source ?? '', target]);
    try {
      assertFiles(target, one);
    } finally {
      await runCommand(['umount', target]);
      rmdirSync(target);
    }
    return mount;
  }

  async #mountOf({ key }: Held): Promise<Mount | undefined> {
    const { code, details, value } = await this.#asked<Answer>(() => this.#node.tryMounts(key));
    if (this.#isDying && code === status.UNAVAILABLE) return undefined;
    assert.equal(status[code], 'OK', `Mounts ${key}: ${details}`);
    assert.equal(value?.mounts?.length, 1, `${key} is one mount`);
    return value?.mounts?.[0];
  }
}

/** The device that a mount is of, or the directory with it. */
function placeOf({ type, source, options }: Mount): string {
  if (type !== 'overlay') return source ?? '';
  const lower = options?.find((option) => option.startsWith('lowerdir='));
  return lower?.slice('lowerdir='.length) ?? '';
}

function assertFiles(directory: string, { key, files }: Held): void {
  for (const [name, content] of files) {
    const file = path.join(directory, name);
    assert.ok(existsSync(file), `${key} has ${name}`);
    assert.equal(readFileSync(file, 'utf8'), content, key);
  }
}
