// Containers of a containerd that a reboot meets: above the device of their image, on a device of
// their own, and Docker's with its init layer.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianContainerd } from '../../e2e/lab/clients.ts';
import { runCommand } from '../../e2e/lab/command.ts';
import { keptScratch } from '../../e2e/lab/scratch.ts';
import { waitUntil } from '../../e2e/lab/service.ts';
import { treeDifferences } from '../../e2e/lab/tree.ts';
import { VarveNode, type DeviceSummary } from '../../e2e/lab/varve-node.ts';
import { chainOf, filesBelow, lookAt, withMounts } from '../../e2e/lab/views.ts';
import { deviceOf, optionsOf, type Transport } from '../transports.ts';
import { assertCameBack } from './came-back.ts';

const directory = '/scratch/n';
const ledgerPath = '/scratch/ledger.json';
const writable = { 'containerd.io/snapshot/overlaybd.writable': 'dir' };
const kept = 'containerd.io/gc.root=1';
const container = 'c'.repeat(64);
const init = `${container}-init`;

interface Ledger {
  readonly reference: string;
  /** Topmost layer of the image, and the one below it, on which Docker's container lies. */
  readonly chains: readonly [string, string];
  readonly files: readonly (readonly [string, string])[];
}

export class Containers {
  readonly #node: VarveNode;
  readonly #transport: Transport;

  static async start(transport: Transport): Promise<Containers> {
    const client = await debianContainerd();
    assert.ok('programDirectories' in client, 'it was there outside');
    // On a machine these lie in /run.
    for (const name of ['state', 'runc', 'fifo']) {
      rmSync(join(directory, 'c', name), { recursive: true, force: true });
    }
    const options = optionsOf(transport);
    const scratch = keptScratch(directory);
    const settings = { ...options.settings, lingerMs: 0 };
    const started = { prefix: '', client, scratch, ...options, settings };
    return new Containers(await VarveNode.start(started), transport);
  }

  private constructor(node: VarveNode, transport: Transport) {
    this.#node = node;
    this.#transport = transport;
  }

  /** The first boot. */
  async settle(): Promise<void> {
    const node = this.#node;
    const image = await node.image('overlaybd');
    await node.import(image);
    const files = await lookAt(node, chainOf(image), async (root) => [...filesBelow(root)]);
    const chains = [chainOf(image), image.layers.at(-2)?.chainId ?? ''] as const;
    const ledger: Ledger = { reference: image.reference, chains, files };
    writeFileSync(ledgerPath, JSON.stringify(ledger));
    await node.startContainer(image, 'above');
    await node.startContainer(image, 'own', writable);
    for (const name of ['above', 'own']) {
      await node.execute(name, `echo ${name} >/written; rm /data/replaced; sync`);
    }
    await node.kill();
    await node.restart({ runtimeType: 'docker' });
    await node.snapshots('prepare', `${init}-key`, chains[1]);
    await this.#writeTo(`${init}-key`, 'hosts');
    await node.snapshots('commit', init, `${init}-key`);
    await node.snapshots('label', init, kept);
    await node.snapshots('prepare', container, init);
    await node.snapshots('label', container, kept);
    await this.#writeTo(container, 'written');
    const { devices } = await node.state();
    assert.equal(devices.filter(({ state }) => state === 'ready').length, 3);
    await runCommand(['sync']);
  }

  #writeTo(key: string, file: string): Promise<unknown> {
    const write = async (root: string): Promise<void> =>
      writeFileSync(join(root, file), `${file}\n`);
    return withMounts(this.#node, key, write);
  }

  /** After a reboot all is there again. */
  async check(): Promise<void> {
    const node = this.#node;
    const { chains, files } = this.#ledger();
    let devices: readonly DeviceSummary[] = [];
    await waitUntil('all devices are back', async () => {
      devices = (await node.state()).devices;
      return devices.every(({ state }) => state === 'ready');
    });
    assert.equal(devices.length, 3);
    const events = await node.events();
    for (const { id, path } of devices) {
      assert.match(path ?? '', deviceOf(this.#transport));
      assertCameBack(events, id);
    }
    await lookAt(node, chains[0], async (root) =>
      assert.deepEqual(treeDifferences(new Map(files), filesBelow(root)), []),
    );
    for (const name of ['above', 'own']) {
      await withMounts(node, name, async (root) => {
        assert.equal(readFileSync(join(root, 'written'), 'utf8'), `${name}\n`);
        // runc makes what it mounts something on.
        assert.deepEqual([...this.#changed(root, files)].sort(), [
          'data/replaced',
          'run',
          'written',
        ]);
      });
    }
    await withMounts(node, container, async (root) => {
      assert.equal(readFileSync(join(root, 'written'), 'utf8'), 'written\n');
      assert.equal(readFileSync(join(root, 'hosts'), 'utf8'), 'hosts\n');
      // What only the layer above changes.
      assert.equal(readFileSync(join(root, 'data/replaced'), 'utf8'), 'before\n');
    });
    await this.#runAgain();
  }

  #changed(root: string, files: Ledger['files']): Set<string> {
    const known = new Map(files);
    const found = filesBelow(root);
    const paths = [...known.keys(), ...found.keys()];
    return new Set(paths.filter((path) => known.get(path) !== found.get(path)));
  }

  /** The containers themselves, which the reboot ended. */
  async #runAgain(): Promise<void> {
    const { ctr, execOptions } = this.#node.containerd;
    for (const name of ['above', 'own']) {
      await ctr('tasks', 'start', '--detach', ...execOptions, name);
      const said = await this.#node.execute(name, 'cat /written; ls /data/replaced 2>&1; true');
      assert.match(said, new RegExp(`^${name}\n.*No such file`));
    }
  }

  /** What containers are committed to is tested without them (Snapshots). */
  async commit(): Promise<void> {}

  async remove(): Promise<void> {
    const node = this.#node;
    for (const name of ['above', 'own']) await node.removeContainer(name);
    for (const key of [container, init]) await node.snapshots('rm', key);
    await node.containerd.ctr('images', 'rm', '--sync', this.#ledger().reference);
    await node.collectGarbage();
    await node.nothingLeft();
  }

  end(): Promise<void> {
    return this.#node.scratch.dispose();
  }

  #ledger(): Ledger {
    return JSON.parse(readFileSync(ledgerPath, 'utf8')) as Ledger;
  }
}
