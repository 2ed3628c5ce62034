// Snapshots that a reboot meets, without a containerd: one above the device of its image, one that
// writes its own, and those whose Commit meets the loss of power: what was synced is there, and so
// is a layer that was committed, whole.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { setTimeout as rest } from 'node:timers/promises';
import { BlockNode, base, top } from '../../cli/block-node.ts';
import { runCommand } from '../../e2e/lab/command.ts';
import { keptScratch } from '../../e2e/lab/scratch.ts';
import { linesOf, type DeviceSummary, type RecordedEvent } from '../../e2e/lab/varve-node.ts';
import { assertNothingAttached, assertRemoved, placeOf, writes } from '../../faults/faulty-node.ts';
import { deviceOf, optionsOf, type Transport } from '../transports.ts';
import { assertCameBack } from './came-back.ts';
import { answeredLine, type Loss, type Plan } from './plan.ts';
import { tell } from './power.ts';

const directory = '/scratch/s';
const above = 'default/4/above';
const own = 'default/4/own';
const keyOf = (name: string): string => `default/5/${name}`;
const contentOf = (name: string, kind: string): Buffer => Buffer.alloc(3 << 20, `${name} ${kind} `);

export class Snapshots {
  readonly #node: BlockNode;
  readonly #transport: Transport;

  /** All losses of a boot are of one form, and at most the last one is in the middle. */
  static async start({ transport, losses }: Plan): Promise<Snapshots> {
    const { settings, blockDaemonFlags } = optionsOf(transport);
    const place = { scratch: keptScratch(directory), blockDaemonFlags };
    const form = losses[0]?.form ?? 'append';
    const configured = { ...settings, lingerMs: 0, writableLayerType: form };
    return new Snapshots(await BlockNode.start(configured, undefined, place), transport);
  }

  private constructor(node: BlockNode, transport: Transport) {
    this.#node = node;
    this.#transport = transport;
  }

  /** The first boot. */
  async settle(): Promise<void> {
    await this.#node.unpackLayers();
    await this.#node.prepare(above, top);
    await this.#node.prepare(own, top, writes);
    for (const key of [above, own]) {
      await this.#withRoot(key, async (root) =>
        writeFileSync(join(root, 'written'), `${key}\n`, { flush: true }),
      );
    }
  }

  /** After a reboot: devices and files, what became of the Commits, and that nothing is amiss. */
  async check({ unchecked }: Plan): Promise<void> {
    for (const key of [above, own]) {
      await this.#withRoot(key, async (root) => {
        assert.equal(readFileSync(join(root, 'written'), 'utf8'), `${key}\n`);
        assert.equal(readFileSync(join(root, 'base'), 'utf8'), 'base\n');
      });
    }
    const { devices } = await this.#node.json<{ devices: DeviceSummary[] }>('ls');
    const printed = await this.#node.ask('events', '--json');
    const events = linesOf(printed.stdout).map((line) => JSON.parse(line) as RecordedEvent);
    const leased = devices.filter(({ leases }) => leases.length > 0);
    assert.ok(leased.length >= 2);
    for (const { id, path, state } of leased) {
      assert.equal(state, 'ready');
      assert.match(path ?? '', deviceOf(this.#transport));
      assertCameBack(events, id);
    }
    for (const layer of unchecked) await this.#checkCommit(layer);
    await this.#assertSound();
  }

  /** Mounts a snapshot as a client would. */
  async #withRoot(key: string, use: (root: string) => Promise<void>): Promise<void> {
    const { code, details, value } = await this.#node.tryMounts(key);
    assert.equal(code, status.OK, details);
    const [mount] = value?.mounts ?? [];
    if (mount?.type === 'bind') return use(mount.source ?? '');
    const root = join(directory, 'mounted');
    mkdirSync(root, { recursive: true });
    const options = (mount?.options ?? []).join(',');
    await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', options, root]);
    try {
      await use(root);
    } finally {
      await runCommand(['umount', root]);
    }
  }

  async commit(losses: readonly Loss[]): Promise<void> {
    for (const loss of losses) await this.#commit(loss);
  }

  /** A container writes, and its layer is committed until what the loss says. */
  async #commit({ name, at }: Loss): Promise<void> {
    const key = keyOf(name);
    await this.#node.prepare(key, top, writes);
    const place = await placeOf(this.#node, key);
    const file = (kind: string): string => join(place, kind);
    writeFileSync(file('synced'), contentOf(name, 'synced'), { flush: true });
    await runCommand(['sync', place]);
    if (at.startsWith('effect:')) {
      await this.#node.restart('SIGTERM', { VARVE_CRASH_AT: at });
    }
    writeFileSync(file('unsynced'), contentOf(name, 'unsynced'));
    const answer = this.#node.tryCommit(key, name);
    answer.catch(() => undefined);
    if (at === 'answered') {
      const { code, details } = await answer;
      assert.equal(code, status.OK, details);
      tell(answeredLine(name));
    } else if (/^\d+$/.test(at)) {
      await rest(Number(at));
    } else {
      await this.#node.daemon.gone();
    }
  }

  /** What became of an earlier one; afterwards it is committed. */
  async #checkCommit({ name, isAnswered }: Plan['unchecked'][number]): Promise<void> {
    const key = keyOf(name);
    const { snapshots } = await this.#node.json<{ snapshots: { key: string }[] }>('ls');
    const has = (one: string): boolean => snapshots.some((found) => found.key === one);
    if (!has(name)) {
      assert.ok(!isAnswered, `${name} was answered`);
      // Where the Commit is in flight again it is not mounted; the layer tells it then, below.
      const { code, value } = await this.#node.tryMounts(key);
      const mounted = value?.mounts?.[0]?.source ?? '';
      if (code === status.OK) {
        assert.ok(readFileSync(join(mounted, 'synced')).equals(contentOf(name, 'synced')));
      }
      const again = await this.#node.tryCommit(key, name);
      // It may have been in flight, and done by now.
      const isDone = again.code === status.OK || again.code === status.ALREADY_EXISTS;
      assert.ok(isDone, again.details);
    }
    const look = `default/6/look-${name}`;
    const viewed = await this.#node.tryView(look, name);
    assert.equal(viewed.code, status.OK, viewed.details);
    const seen = viewed.value?.mounts?.[0]?.source ?? '';
    const device = (await runCommand(['findmnt', '-n', '-o', 'SOURCE', seen])).trim();
    await runCommand(['e2fsck', '-f', '-n', device]);
    assert.ok(readFileSync(join(seen, 'synced')).equals(contentOf(name, 'synced')));
    // One that was asked for anew was whole by then, if without what was not synced.
    if (has(name)) {
      assert.ok(readFileSync(join(seen, 'unsynced')).equals(contentOf(name, 'unsynced')));
    }
    assert.equal(readFileSync(join(seen, 'base'), 'utf8'), 'base\n');
    await assertRemoved(this.#node, look);
  }

  /** A look at everything, by the daemon that has put right what it found. */
  async #assertSound(): Promise<void> {
    const own = ['--config', this.#node.configPath, '--root', this.#node.root];
    const { findings } = await this.#node.json<{ findings: object[] }>('fsck', ...own);
    assert.deepEqual(findings, []);
    assert.equal((await this.#node.ask('verify')).code, 0);
  }

  async remove({ names }: Plan): Promise<void> {
    for (const key of [above, own, ...names, top, base]) await assertRemoved(this.#node, key);
    await assertNothingAttached(this.#node);
  }

  end(): Promise<void> {
    return this.#node.scratch.dispose();
  }
}
