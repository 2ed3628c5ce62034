// Size limits of containers on file systems with project quota: what is too much does not go in,
// each has its own limit, a removal gives it back; where there is no quota Prepare is refused.
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { getProjectUsage } from '../../../src/adapters/native/quota.ts';
import { snapshotsDefinition as snapshots } from '../../../src/server/grpc/definitions.ts';
import { Daemon } from '../../cli/varve.ts';
import { runCommand } from '../../e2e/lab/command.ts';
import { makeScratch, type Scratch } from '../../e2e/lab/scratch.ts';
import { waitUntil } from '../../e2e/lab/service.ts';
import { skipOutside } from '../inside.ts';

const skip = skipOutside('6.1');
const mebibyte = 1 << 20;
const diskBytes = 512 * mebibyte;
const layer = 'default/1/sha256:layer';
const formats = {
  ext4: ['mkfs.ext4', '-q', '-O', 'quota,project'],
  xfs: ['mkfs.xfs', '-q'],
} as const;

/** A file system on a file; what is on it ends with the test. */
async function mounted(
  t: TestContext,
  type: keyof typeof formats,
  options: string,
): Promise<Scratch> {
  const scratch = makeScratch('varve-quota-');
  t.after(() => scratch.dispose());
  const image = join(scratch.path, 'disk');
  const file = openSync(image, 'wx');
  ftruncateSync(file, diskBytes);
  closeSync(file);
  await runCommand([...formats[type], image]);
  const point = join(scratch.path, 'm');
  mkdirSync(point);
  await runCommand(['mount', '-t', type, '-o', options, image, point]);
  return { ...scratch, path: point };
}

class LimitedNode {
  readonly #scratch: Scratch;
  readonly #daemon: Daemon;

  static async start(scratch: Scratch, settings: object): Promise<LimitedNode> {
    const config = join(scratch.path, 'settings.json');
    writeFileSync(config, JSON.stringify(settings));
    const daemon = await Daemon.start(scratch.path, ['--config', config]);
    scratch.defer(() => daemon.stop());
    const node = new LimitedNode(scratch, daemon);
    await node.#unpack();
    return node;
  }

  private constructor(scratch: Scratch, daemon: Daemon) {
    this.#scratch = scratch;
    this.#daemon = daemon;
  }

  tryPrepare(key: string, parent = layer, labels: Readonly<Record<string, string>> = {}) {
    return this.#daemon.snapshots.call(snapshots.prepare, { key, parent, labels });
  }

  /** What an image brings is not limited. */
  async #unpack(): Promise<void> {
    const key = `default/9/extract-1 sha256:${'0'.repeat(64)}`;
    const prepared = await this.tryPrepare(key, '');
    assert.equal(prepared.code, status.OK, prepared.details);
    const place = prepared.value?.mounts?.[0]?.source ?? '';
    writeFileSync(join(place, 'image'), Buffer.alloc(12 * mebibyte, 1));
    const { code, details } = await this.#daemon.snapshots.call(snapshots.commit, {
      ...{ key, name: layer },
    });
    assert.equal(code, status.OK, details);
  }

  /** Prepares a container and mounts it; answers its id and where. */
  async container(key: string, labels: Readonly<Record<string, string>> = {}) {
    const { code, details, value } = await this.tryPrepare(key, layer, labels);
    assert.equal(code, status.OK, details);
    const options = value?.mounts?.[0]?.options ?? [];
    const root = join(this.#scratch.path, `mounted-${key}`);
    mkdirSync(root);
    await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', options.join(','), root]);
    const upper = options.find((option) => option.startsWith('upperdir=')) ?? '';
    return { root, id: Number(/\/(\d+)\/fs$/.exec(upper)?.[1]) };
  }

  async remove(key: string, root: string): Promise<void> {
    await runCommand(['umount', root]);
    const { code, details } = await this.#daemon.snapshots.call(snapshots.remove, { key });
    assert.equal(code, status.OK, details);
  }

  /** What the kernel keeps of a snapshot's project. */
  usage(id: number): { readonly limitBytes: number; readonly usedBytes: number } {
    const found = getProjectUsage(this.#daemon.root, id);
    // A project of which nothing is kept any more.
    if (!found.ok) return { limitBytes: 0, usedBytes: 0 };
    const { limitBytes, usedBytes } = found.value;
    return { limitBytes, usedBytes };
  }
}

const write = (root: string, name: string, sizeBytes: number): void =>
  writeFileSync(join(root, name), Buffer.alloc(sizeBytes, 7), { flush: true });

/** The kernel's number, for which Node has no name. */
const EDQUOT = 122;

const isFull = ({ code, errno }: NodeJS.ErrnoException): boolean =>
  code === 'ENOSPC' || errno === -EDQUOT;

for (const type of ['ext4', 'xfs'] as const) {
  test(`R-15: a container on ${type} writes no more than its limit`, { skip }, async (t) => {
    const scratch = await mounted(t, type, 'prjquota');
    const node = await LimitedNode.start(scratch, { rootfsQuota: '4m' });
    const one = await node.container('one');
    assert.throws(() => write(one.root, 'much', 6 * mebibyte), isFull);
    assert.throws(() => write(one.root, 'more', mebibyte), isFull);
    const { limitBytes, usedBytes } = node.usage(one.id);
    assert.equal(limitBytes, 4 * mebibyte);
    assert.ok(usedBytes > 3 * mebibyte && usedBytes <= limitBytes, `${usedBytes}`);
    // A file of the image that is changed is copied, and counts.
    assert.throws(() => writeFileSync(join(one.root, 'image'), 'x', { flag: 'a' }), isFull);

    const two = await node.container('two');
    write(two.root, 'own', 3 * mebibyte);
    const large = await node.container('large', { 'containerd.io/snapshot/disk_quota': '20m' });
    write(large.root, 'own', 16 * mebibyte);
    assert.throws(() => write(large.root, 'more', 8 * mebibyte), isFull);

    for (const [key, { root, id }] of Object.entries({ one, two, large })) {
      await node.remove(key, root);
      await waitUntil(`nothing is kept of ${key}`, async () => {
        const left = node.usage(id);
        return left.limitBytes === 0 && left.usedBytes === 0;
      });
    }
  });

  test(`a limit on ${type} without project quota is refused`, { skip }, async (t) => {
    const scratch = await mounted(t, type, 'noatime');
    const node = await LimitedNode.start(scratch, { rootfsQuota: '4m' });
    const { code, details } = await node.tryPrepare('one');
    assert.equal(code, status.FAILED_PRECONDITION, details);
    assert.match(details, /no project quotas.*mount it with prjquota/);
  });
}
