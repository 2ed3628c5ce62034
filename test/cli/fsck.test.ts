// varve fsck with real devices: it says what a start would do and changes nothing; --apply does it,
// and what is not ours is never touched.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DevicesDocument } from '../../src/history/devices-document.ts';
import type { Finding, FsckDocument } from '../../src/server/fsck-document.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { base, BlockNode, top } from './block-node.ts';
import { varve, type Ended } from './varve.ts';

describe('varve fsck', { skip: deviceObstacle() ?? false }, () => {
  let node: BlockNode;
  const snapshots = (...parts: string[]): string => path.join(node.root, 'snapshots', ...parts);

  before(async () => {
    node = await BlockNode.start();
    await node.unpackLayers();
    await node.prepare('default/3/box', top);
  });
  after(() => node?.scratch.dispose());

  const own = (): string[] => ['--config', node.configPath, '--root', node.root];
  const fsck = (...args: string[]): Promise<Ended> => node.ask('fsck', ...own(), '--json', ...args);
  const documentOf = ({ stdout, stderr }: Ended): FsckDocument => {
    assert.equal(stderr, '');
    return JSON.parse(stdout) as FsckDocument;
  };
  const faults = (findings: readonly Finding[] | null): readonly string[] =>
    (findings ?? [])
      .filter(({ isFault }) => isFault)
      .map(({ kind, subject }) => `${kind} ${subject}`);
  const openDevices = async (): Promise<readonly string[]> => {
    const ended = await varve(['bd', 'ls', '--json', '--socket', node.blockDaemon.address]);
    return (JSON.parse(ended.stdout) as { devices: { device: string }[] }).devices.map(
      ({ device }) => device,
    );
  };
  const open = async (config: string, device: string): Promise<void> => {
    const socket = ['--socket', node.blockDaemon.address];
    const { code, stderr } = await varve(['bd', 'open', config, '--device', device, ...socket]);
    assert.equal(code, 0, stderr);
  };

  test('a node that runs is asked, and has nothing to put right', async () => {
    const ended = await fsck();
    assert.equal(ended.code, 0);
    const { isServed, findings, root } = documentOf(ended);
    assert.deepEqual(
      { isServed, findings, root },
      { isServed: true, findings: [], root: node.root },
    );
    assert.match((await node.ask('fsck', ...own())).stdout, /^Nothing to put right\.$/m);
  });

  test('of a node that runs nothing is applied', async () => {
    const { code, stderr } = await fsck('--apply');
    assert.equal(code, 1);
    assert.match(stderr, /uses the root .*; varve serve puts things right when it starts/);
  });

  test('a node that was stopped in order has nothing to put right either', async () => {
    await node.daemon.stop();
    const ended = await fsck();
    assert.equal(ended.code, 0, ended.stdout);
    const { isServed, findings } = documentOf(ended);
    assert.deepEqual({ isServed, findings }, { isServed: false, findings: [] });
  });

  test('what is wrong is said, and nothing is changed', async () => {
    await node.restartBlockDaemon();
    mkdirSync(snapshots('900', 'fs'), { recursive: true });
    mkdirSync(snapshots('5000', 'fs'), { recursive: true });
    writeFileSync(snapshots('notes'), 'mine');
    mkdirSync(snapshots('77', 'block'), { recursive: true });
    copyFileSync(
      snapshots('1', 'block', 'config.v1.json'),
      snapshots('77', 'block', 'config.v1.json'),
    );
    await open(snapshots('77', 'block', 'config.v1.json'), 'snapshot-77');
    await open(snapshots('1', 'block', 'config.v1.json'), 'foreign');
    const elsewhere = path.join(node.scratch.path, 'elsewhere.json');
    copyFileSync(snapshots('1', 'block', 'config.v1.json'), elsewhere);
    await open(elsewhere, 'snapshot-50');
    const [dataOfNobody, mounted] = [snapshots('900', 'fs'), path.join(node.scratch.path, 'mnt')];
    mkdirSync(mounted);
    const overlay = `lowerdir=${snapshots('3', 'fs')}:${dataOfNobody}`;
    await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', overlay, mounted]);
    const ended = await fsck();
    assert.equal(ended.code, 1);
    const document = documentOf(ended);
    assert.deepEqual([...faults(document.findings)].sort(), [
      `lostDevice device #2 "${top}" (${await pathOf(document)})`,
      `mountOfNobody mount ${JSON.stringify(mounted)}`,
      'orphanedDirectory directory 77',
      'orphanedDirectory directory 900',
      'strayDevice device #77',
      'unexplainedDirectory directory 5000',
    ]);
    const lost = document.findings.find(({ kind }) => kind === 'lostDevice');
    assert.match(lost?.found ?? '', /the backing store has it no more/);
    assert.match(lost?.action ?? '', /attached again for those who lease it/);
    assert.ok(document.findings.some(({ kind, isFault }) => kind === 'foreignEntry' && !isFault));
    assert.equal(document.remaining, null);

    assert.deepEqual(await openDevices(), ['foreign', 'snapshot-50', 'snapshot-77']);
    assert.deepEqual(readdirSync(snapshots()).sort(), [
      '1',
      '2',
      '3',
      '5000',
      '77',
      '900',
      'notes',
    ]);
    assert.equal(documentOf(await fsck()).position, document.position);
    const text = (await node.ask('fsck', ...own())).stdout;
    assert.match(text, /^directory 900: its Prepare never ended: .*; it is deleted$/m);
    assert.match(text, /^6 faults; varve fsck --apply, or a start of varve serve, does what/m);
  });

  async function pathOf(document: FsckDocument): Promise<string> {
    const lost = document.findings.find(({ kind }) => kind === 'lostDevice');
    return /\((\/dev\/loop\d+)\)/.exec(lost?.subject ?? '')?.[1] ?? '';
  }

  test('--apply does what was said; what is not ours, or not explained, stays', async () => {
    await runCommand(['umount', path.join(node.scratch.path, 'mnt')]);
    const ended = await fsck('--apply');
    assert.equal(ended.code, 1, 'a directory that nothing explains is left');
    assert.deepEqual(faults(documentOf(ended).remaining), ['unexplainedDirectory directory 5000']);
    assert.deepEqual(await openDevices(), ['foreign', 'snapshot-2', 'snapshot-50']);
    assert.deepEqual(readdirSync(snapshots()).sort(), ['1', '2', '3', '5000', 'notes']);
    assert.equal(existsSync(snapshots('2', 'block', 'mountpoint', 'top')), true);
    assert.deepEqual(mountsBelow(node.root), [snapshots('2', 'block', 'mountpoint')]);
    assert.deepEqual(faults(documentOf(await fsck()).findings), [
      'unexplainedDirectory directory 5000',
    ]);
  });

  test('the daemon starts on it, and finds nothing more to do', async () => {
    rmSync(snapshots('5000'), { recursive: true });
    await node.restart();
    const { devices } = await node.json<DevicesDocument>('devices');
    assert.deepEqual(
      devices.map(({ id, state }) => [id, state]),
      [[2, 'ready']],
    );
    assert.equal(devices[0]?.leases.length, 1);
  });

  test('a Prepare that was killed in its attach: the lease is nobody’s, the rest is torn down or goes', async () => {
    await node.restart('SIGKILL');
    process.env['VARVE_CRASH_AT'] = 'effect:mountDevice:before:1';
    try {
      await node.restart();
      await assert.rejects(node.prepare('default/4/second', base));
    } finally {
      delete process.env['VARVE_CRASH_AT'];
    }
    const before = documentOf(await fsck());
    const kinds = before.findings.map(({ kind }) => kind);
    assert.ok(kinds.includes('leaseOfNobody'), ended(before));
    assert.ok(kinds.includes('deviceInFlight'), ended(before));
    assert.match(ended(before), /mounting it has not ended/);
    const { remaining } = documentOf(await fsck('--apply'));
    assert.deepEqual(faults(remaining), []);
  });

  const ended = ({ findings }: FsckDocument): string => JSON.stringify(findings);

  test('a directory that is no root is not made one', async () => {
    const empty = path.join(node.scratch.path, 'empty');
    mkdirSync(empty);
    const { code, stderr } = await varve(['fsck', '--root', empty, '--config', node.configPath]);
    assert.equal(code, 1);
    assert.match(stderr, /holds no log of varve/);
    assert.deepEqual(readdirSync(empty), []);
  });
});
