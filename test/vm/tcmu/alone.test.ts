// One process at a time serves the kernel's target: who comes second changes nothing, and who ends
// for good leaves nothing in the way of others.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { findNativeFile } from '../../../src/adapters/native/location.ts';
import { createUpper, readOnlyConfig } from '../../native/block-daemon.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { startNode } from '../devices/node.ts';
import { TargetNode } from '../devices/nodes.ts';
import { skipOutside } from '../inside.ts';
import { run } from '../programs.ts';
import { attach, detach, enable, isNetlinkBlocked, uioOf } from './disks.ts';

const skip = skipOutside('6.1');
const mebibyte = 1 << 20;

/** The first MiB of a disk, past the kernel's cache. */
async function readDisk(path: string): Promise<Buffer> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-disk-'));
  try {
    const file = join(directory, 'read');
    await run('dd', `if=${path}`, `of=${file}`, 'bs=1M', 'count=1', 'iflag=direct');
    return readFileSync(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function writeDisk(path: string, bytes: Buffer): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-disk-'));
  try {
    const file = join(directory, 'written');
    writeFileSync(file, bytes);
    await run('dd', `if=${file}`, `of=${path}`, 'bs=1M', 'count=1', 'oflag=direct');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What varve-bd says that does not come to serve. */
async function refusal(directory: string, ...before: readonly string[]): Promise<string> {
  const command = [
    findNativeFile('varve-bd'),
    '--socket',
    join(directory, 'other/bd.sock'),
    '--tcmu',
  ];
  const [program = '', ...args] = [...before, ...command];
  try {
    return await run(program, ...args);
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
}

test('nobody takes a device from whoever serves it', { skip }, async (t) => {
  const node = await startNode(t, TargetNode);
  const { directory } = node;
  const upper = createUpper(directory, 'rw', 'append-only', '8M');
  const config = writeConfig(join(directory, 'rw.json'), { upper });
  const { path } = await attach('1', config);
  const written = randomBytes(mebibyte);
  await writeDisk(path, written);
  assert.match(await refusal(directory), /another varve-bd serves the kernel's target/);
  assert.equal(isNetlinkBlocked(), false);
  assert.ok((await readDisk(path)).equals(written));

  // Overlaybd's daemon has no lock of ours, but its devices open.
  await node.end('SIGKILL');
  const uio = openSync((await uioOf('1')) ?? '', 'r+');
  try {
    assert.match(await refusal(directory), /another process serves \/dev\/uio\d+ .*end it first/);
    assert.equal(isNetlinkBlocked(), false);
  } finally {
    closeSync(uio);
  }
  const readOnlyTree = 'mount -o remount,bind,ro /sys/kernel/config && exec "$@"';
  assert.match(
    await refusal(directory, 'unshare', '--mount', 'sh', '-c', readOnlyTree, 'sh'),
    /\/sys\/kernel\/config\/target\/ cannot be written .*Read-only file system/,
  );
  await node.start();
  assert.ok((await readDisk(path)).equals(written));
  await detach('1');
});

test('a daemon that ends for good leaves the target to others', { skip }, async (t) => {
  const node = await startNode(t, TargetNode);
  assert.equal(await node.end('SIGTERM'), 0);
  assert.equal(isNetlinkBlocked(), true, 'its successor comes');
  // Whoever wants a device is told to try again, instead of waiting for nobody.
  const config = readOnlyConfig(node.directory);
  await assert.rejects(enable('1', `overlaybd/${config}`), { code: 'EAGAIN' });
  await node.start();
  assert.equal(isNetlinkBlocked(), false);
  assert.equal(await node.end('SIGINT'), 0);
  assert.equal(isNetlinkBlocked(), false);
});
