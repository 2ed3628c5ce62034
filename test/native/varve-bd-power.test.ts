// What varve-bd answered to a flush, a commit or a seal survives a loss of power: the layers lie on
// an ext4 of their own, and a copy of the disk under it, made without syncing anything, is what a
// loss of power would leave. kill -9 shows none of this, since the kernel keeps what it was given.
// VARVE_LONG=1 has more rounds, VARVE_SEED repeats a run.
import assert from 'node:assert/strict';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';

import type { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import {
  client,
  close,
  commitFormats,
  createUpper,
  open,
  readRange,
  skip,
  start,
  upperKinds,
  type Upper,
  type UpperKind,
} from './block-daemon.ts';
import { tool, writeConfig } from './layer-tool.ts';
import { chooseSeed, randomNumbers } from './random.ts';
import { runProgram, scratchDirectory } from './scratch.ts';

const rounds = process.env['VARVE_LONG'] === '1' ? 60 : 4;
const sectorBytes = 512;
const sectorCount = 8192;
const deviceBytes = sectorCount * sectorBytes;

/** A file system of its own on a file, mounted; it ends with the test. */
class Disk {
  readonly path: string;
  private readonly image: string;
  private readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
    const own = mkdtempSync(join(directory, 'disk-'));
    this.image = join(own, 'image');
    this.path = join(own, 'mounted');
    mkdirSync(this.path);
  }

  /** The journal writes nothing by itself for as long as a test takes. */
  private mount(): void {
    runProgram('mount', ['-o', 'loop,commit=300', this.image, this.path]);
  }

  static create(t: TestContext): Disk {
    const disk = new Disk(scratchDirectory(t));
    runProgram('truncate', ['--size=128M', disk.image]);
    runProgram('mkfs.ext4', ['-q', disk.image]);
    disk.mount();
    return disk;
  }

  /** What is on the disk at this moment, mounted as after a start of the machine. */
  losePower(): Disk {
    const left = new Disk(this.directory);
    runProgram('cp', ['--sparse=always', this.image, left.image]);
    left.mount();
    return left;
  }

  end(): void {
    runProgram('umount', [this.path]);
    rmSync(this.image);
  }
}

const syncFile = (path: string): void => {
  const file = openSync(path, 'r+');
  fsyncSync(file);
  closeSync(file);
};

/** A device of 4 MiB each of whose sectors holds a number, and what each may hold after a loss. */
class Model {
  private readonly random: (below: number) => number;
  private readonly scratch: string;
  private number = 0;
  private now = new Uint32Array(sectorCount);
  private flushed = this.now.slice();
  private later = new Map<number, Set<number>>();

  constructor(random: (below: number) => number, scratch: string) {
    this.random = random;
    this.scratch = scratch;
  }

  /** Writes or discards a few sectors of the device, past the kernel's cache. */
  change(device: string): void {
    const first = this.random(sectorCount);
    const count = Math.min(1 + this.random(this.random(4) === 0 ? 200 : 16), sectorCount - first);
    const isDiscard = this.random(4) === 0;
    const words = new Uint32Array((count * sectorBytes) / 4);
    for (let at = 0; at < count; at += 1) {
      const number = isDiscard ? 0 : (this.number += 1);
      words.fill(number, (at * sectorBytes) / 4, ((at + 1) * sectorBytes) / 4);
      this.now[first + at] = number;
      const later = this.later.get(first + at) ?? new Set();
      this.later.set(first + at, later.add(number));
    }
    if (isDiscard) {
      const range = ['-o', `${first * sectorBytes}`, '-l', `${count * sectorBytes}`];
      runProgram('blkdiscard', ['-f', ...range, device]);
      return;
    }
    writeFileSync(this.scratch, words);
    const place = ['bs=512', `seek=${first}`, 'oflag=direct', 'conv=notrunc', 'status=none'];
    runProgram('dd', [`if=${this.scratch}`, `of=${device}`, ...place]);
  }

  flush(device: string): void {
    syncFile(device);
    this.flushed = this.now.slice();
    this.later = new Map();
  }

  /** Holds a device against what may be there after a loss of power, and goes on from what is. */
  check(device: string, when: string): void {
    const bytes = readRange(device, 0, deviceBytes);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, deviceBytes / 4);
    for (let sector = 0; sector < sectorCount; sector += 1) {
      const content = words.subarray((sector * sectorBytes) / 4, ((sector + 1) * sectorBytes) / 4);
      const number = content[0] ?? 0;
      assert.ok(
        content.every((word) => word === number),
        `${when}: sector ${sector} is torn`,
      );
      assert.ok(
        number === this.flushed[sector] || this.later.get(sector)?.has(number) === true,
        `${when}: sector ${sector} holds ${number}, flushed was ${this.flushed[sector]}`,
      );
      this.now[sector] = number;
    }
    this.flushed = this.now.slice();
    this.later = new Map();
  }
}

const upperOn = (disk: Disk): Upper => ({
  data: join(disk.path, 'rw.data'),
  index: join(disk.path, 'rw.index'),
});

/** Opens the writable layer on a disk; its configuration lies elsewhere. */
const openOn = (bd: BlockDaemonClient, disk: Disk, directory: string, name: string) =>
  open(bd, writeConfig(join(directory, `${name}.json`), { upper: upperOn(disk) }), name);

/**
 * What the kernel may have written by itself before the power went. Entries of a sparse layer that
 * come before their data show what was at its place before, so of that nothing is promised.
 */
const writtenBack = (kind: UpperKind) => [
  { what: 'nothing', writeBack: () => undefined },
  { what: 'the data', writeBack: (disk: Disk) => syncFile(upperOn(disk).data) },
  ...(kind === 'sparse'
    ? []
    : [{ what: 'the index', writeBack: (disk: Disk) => syncFile(upperOn(disk).index) }]),
  { what: 'all', writeBack: (disk: Disk) => void runProgram('sync', ['-f', disk.path]) },
];

for (const kind of upperKinds) {
  test(`what was flushed to an ${kind} device survives a loss of power`, { skip }, async (t) => {
    const random = randomNumbers(chooseSeed(t));
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    const model = new Model(random, join(directory, 'written'));
    const kernelWrote = writtenBack(kind);
    const first = Disk.create(t);
    createUpper(first.path, 'rw', kind, '4M');
    // Made is durable, too.
    let disk = first.losePower();
    first.end();
    for (let round = 0; round <= rounds; round += 1) {
      const name = `power${round}`;
      const { path } = await openOn(bd, disk, directory, name);
      model.check(path, `round ${round}`);
      for (let count = 1 + random(6); count > 0; count -= 1) model.change(path);
      model.flush(path);
      for (let count = random(5); count > 0; count -= 1) model.change(path);
      // Each of them in the short form, too.
      const { what, writeBack } = kernelWrote[round % kernelWrote.length]!;
      t.diagnostic(`round ${round}: the kernel wrote ${what}`);
      writeBack(disk);
      const left = disk.losePower();
      assert.equal((await close(bd, name)).gone, true);
      disk.end();
      disk = left;
    }
  });
}

for (const kind of upperKinds) {
  test(`what an ${kind} device is finished as survives a loss of power`, { skip }, async (t) => {
    const random = randomNumbers(chooseSeed(t));
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    const model = new Model(random, join(directory, 'written'));
    const disk = Disk.create(t);
    const { data } = createUpper(disk.path, 'rw', kind, '4M');
    const { path } = await openOn(bd, disk, directory, 'finished');
    for (let count = 0; count < 10; count += 1) model.change(path);

    const committed: string[] = [];
    for (const { name, algorithm, tar } of commitFormats) {
      const folder = join(disk.path, name);
      mkdirSync(folder);
      const output = join(folder, 'layer');
      await bd.request('commit', { device: 'finished', output, algorithm, tar });
      committed.push(output);
      const left = disk.losePower();
      for (const there of committed) {
        const survivor = there.replace(disk.path, left.path);
        assert.deepEqual(readdirSync(join(survivor, '..')), [basename(there)], there);
        assert.ok(readFileSync(survivor).equals(readFileSync(there)), there);
      }
      left.end();
    }

    await bd.request('seal', { device: 'finished' });
    const left = disk.losePower();
    const sealed = data.replace(disk.path, left.path);
    assert.ok(readFileSync(sealed).equals(readFileSync(data)));
    tool('verify', sealed);
    left.end();
    assert.equal((await close(bd, 'finished')).gone, true);
    disk.end();
  });
}
