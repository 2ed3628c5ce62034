// What Docker does with containers above a block layer, against a real server with real devices
// that may die at any moment; and what is true afterwards of all that was answered.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { status } from '@grpc/grpc-js';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';
import { containerd } from '../../src/server/grpc/messages.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import type { Reply, TestClient } from '../server/client.ts';

const fixtures = fileURLToPath(new URL('../fixtures/layers/tcmu-ext4/', import.meta.url));
const unpackKey = `moby/1/extract-1-a sha256:${'0'.repeat(64)}`;
const layerName = 'moby/2/layer';
/** A file of the layer. */
const file = { path: 'a0/file7', sizeBytes: 10_880 };

type Mount = containerd.types.Mount.$Properties;
const { ACTIVE, COMMITTED } = containerd.services.snapshots.v1.Kind;

/** What a name is, once that was answered; undefined if it is free. */
type Standing = typeof ACTIVE | typeof COMMITTED | undefined;

class ServerGone extends Error {}

export interface DockerNodeOptions {
  readonly root: string;
  readonly daemonAddress: string;
  /** Where the running container's root is mounted. */
  readonly rootfs: string;
}

export class DockerNode {
  readonly #options: DockerNodeOptions;
  readonly #known = new Map<string, Standing>();
  /** Names whose last call was not answered. */
  readonly #doubtful = new Set<string>();
  readonly #mounts = new Map<string, readonly Mount[]>();

  constructor(options: DockerNodeOptions) {
    this.#options = options;
  }

  /** Does `work`; answers whether the server was there to its end. */
  async attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof ServerGone) return false;
      throw error;
    }
  }

  /** What `docker load` does with an image of one layer. */
  async load(client: TestClient): Promise<void> {
    const [mount] = await this.#prepare(client, unpackKey, '');
    copyFileSync(join(fixtures, 'layer0'), join(mount?.source ?? '', 'overlaybd.commit'));
    await this.#commit(client, unpackKey, layerName);
  }

  /** Containers come and go: one runs all the while; in the end no device is left. */
  async work(client: TestClient, round: string): Promise<void> {
    const [first, second] = [`${round}-1`, `${round}-2`];
    const [mount] = await this.#create(client, first);
    await this.#run(mount);
    await this.#create(client, second);
    await this.#remove(client, second);
    await this.#stop();
    await this.#remove(client, first);
    await waitUntil('the device is gone', async () => {
      // Only to be told when it is gone, too.
      await this.#send(client.call(snapshots.stat, { key: layerName }), {});
      return (await this.#devices()).length === 0;
    });
  }

  /** What was answered is so, and a container that runs reads what it read. */
  async check(client: TestClient): Promise<void> {
    const { messages } = await client.all(snapshots.list, {});
    const listed = messages.flatMap(({ info }) => info ?? []);
    for (const { name } of listed) {
      assert.ok(
        this.#known.has(name ?? '') || this.#doubtful.has(name ?? ''),
        `${name} was asked for`,
      );
    }
    for (const [key, standing] of this.#known) {
      if (this.#doubtful.has(key)) continue;
      assert.equal(listed.find(({ name }) => name === key)?.kind, standing, key);
      if (standing !== ACTIVE) continue;
      const { code, details, value } = await client.call(snapshots.mounts, { key });
      assert.equal(code, status.OK, details);
      assert.deepEqual(value?.mounts, this.#mounts.get(key), key);
      for (const mount of value?.mounts ?? []) this.#assertUsable(mount);
    }
    if (mountsBelow(this.#options.rootfs).length > 0) this.#assertReadable(this.#options.rootfs);
  }

  /** Removes all, until nothing is left of anything. */
  async clear(client: TestClient): Promise<void> {
    await this.#stop();
    const { root } = this.#options;
    await waitUntil('all is removed', async () => {
      const { messages } = await client.all(snapshots.list, {});
      const listed = messages.flatMap(({ info }) => info ?? []);
      // Those with children are refused, and come again.
      for (const { name: key = '' } of listed) await client.call(snapshots.remove, { key });
      return listed.length === 0;
    });
    let left: unknown;
    await waitUntil('nothing is left', async () => {
      await client.call(snapshots.cleanup, {});
      const directories = readdirSync(join(root, 'snapshots'));
      const found = [directories, mountsBelow(root), await this.#devices()];
      left = found;
      return found.every(({ length }) => length === 0);
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(left)}`);
    });
  }

  async #create(client: TestClient, name: string): Promise<readonly Mount[]> {
    const id = Buffer.from(name.padEnd(32, '.')).toString('hex');
    const key = `moby/3/${id}`;
    const [mount] = await this.#prepare(client, `${key}-init-key`, layerName);
    assert.equal(mount?.type, 'bind');
    mkdirSync(join(mount.source ?? '', 'etc'));
    await this.#commit(client, `${key}-init-key`, `${key}-init`);
    return this.#prepare(client, key, `${key}-init`);
  }

  async #remove(client: TestClient, name: string): Promise<void> {
    const id = Buffer.from(name.padEnd(32, '.')).toString('hex');
    for (const key of [`moby/3/${id}`, `moby/3/${id}-init`]) {
      await this.#send(client.call(snapshots.remove, { key }), { [key]: undefined });
    }
  }

  async #prepare(client: TestClient, key: string, parent: string): Promise<readonly Mount[]> {
    const preparing = client.call(snapshots.prepare, { key, parent });
    const { mounts = [] } = (await this.#send(preparing, { [key]: ACTIVE })) ?? {};
    this.#mounts.set(key, mounts ?? []);
    return mounts ?? [];
  }

  async #commit(client: TestClient, key: string, name: string): Promise<void> {
    const committing = client.call(snapshots.commit, { key, name });
    await this.#send(committing, { [key]: undefined, [name]: COMMITTED });
  }

  async #run(mount: Mount | undefined): Promise<void> {
    const { rootfs } = this.#options;
    mkdirSync(rootfs, { recursive: true });
    const options = (mount?.options ?? []).join(',');
    await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', options, rootfs]);
    this.#assertReadable(rootfs);
  }

  async #stop(): Promise<void> {
    const { rootfs } = this.#options;
    if (mountsBelow(rootfs).length > 0) await runCommand(['umount', rootfs]);
  }

  #assertReadable(directory: string): void {
    assert.equal(readFileSync(join(directory, file.path)).length, file.sizeBytes);
  }

  /** Every directory of a mount is there, and the device is mounted where it should be. */
  #assertUsable({ options }: Mount): void {
    const lowers = (options ?? []).find((option) => option.startsWith('lowerdir='));
    for (const directory of lowers?.slice('lowerdir='.length).split(':') ?? []) {
      assert.ok(existsSync(directory), directory);
      if (directory.endsWith('/block/mountpoint')) this.#assertReadable(directory);
    }
  }

  async #devices(): Promise<readonly unknown[]> {
    const daemon = await BlockDaemonClient.connect(this.#options.daemonAddress);
    try {
      return (await daemon.request<{ readonly devices: readonly unknown[] }>('list')).devices;
    } finally {
      daemon.close();
    }
  }

  async #send<Value>(
    reply: Promise<Reply<Value>>,
    changes: Readonly<Record<string, Standing>>,
  ): Promise<Value | undefined> {
    const names = Object.keys(changes);
    for (const name of names) this.#doubtful.add(name);
    const { code, details, value } = await reply;
    if (code === status.UNAVAILABLE) throw new ServerGone();
    assert.equal(code, status.OK, details);
    for (const [name, standing] of Object.entries(changes)) {
      this.#known.set(name, standing);
      this.#doubtful.delete(name);
    }
    return value;
  }
}
