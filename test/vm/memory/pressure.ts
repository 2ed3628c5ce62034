// Writes more through a device of varve-bd than there is memory for: in a control group with
// little, then in the machine as a whole. Whoever waits for memory waits for what is written, and
// that passes through varve-bd, which must not wait for memory itself.
//
//   pressure.ts TRANSPORT
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BlockNode } from '../../cli/block-node.ts';
import { runCommand } from '../../e2e/lab/command.ts';
import { keptScratch } from '../../e2e/lab/scratch.ts';
import { assertNothingAttached, assertRemoved, placeOf, writes } from '../../faults/faulty-node.ts';
import { optionsOf, type Transport } from '../transports.ts';
import { doneLine } from './plan.ts';

const groups = '/sys/fs/cgroup';
const group = join(groups, 'tight');
const limitMs = 120_000;

const { settings, blockDaemonFlags } = optionsOf(process.argv[2] as Transport);
const place = { scratch: keptScratch('/scratch/p'), blockDaemonFlags };
const node = await BlockNode.start({ ...settings, lingerMs: 0 }, undefined, place);
const { pid } = node.blockDaemon.service;
await node.prepare('box', '', { ...writes, 'containerd.io/snapshot/overlaybd/vsize': '2' });
const folder = await placeOf(node, 'box');

/** Through the page cache, and read back. */
async function writeAndVerify(name: string, size: string, before: string): Promise<void> {
  const fio = [
    ...['fio', `--filename=${join(folder, name)}`, `--size=${size}`, '--name=job'],
    ...['--rw=randwrite', '--bs=64k', '--ioengine=psync', '--end_fsync=1', '--minimal'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'],
  ];
  await runCommand(['sh', '-ec', `${before} exec ${fio.join(' ')}`], { limitMs });
}

writeFileSync(join(groups, 'cgroup.subtree_control'), '+memory');
mkdirSync(group);
writeFileSync(join(group, 'memory.max'), String(64 << 20));
await writeAndVerify('in-group', '200M', `echo $$ >${join(group, 'cgroup.procs')};`);
const limitHits = /^max (\d+)$/m.exec(readFileSync(join(group, 'memory.events'), 'utf8'))?.[1];
assert.ok(Number(limitHits) > 0, 'the group has wanted more memory than it may have');
rmdirSync(group);
await writeAndVerify('in-machine', '800M', '');

assert.equal(node.blockDaemon.service.pid, pid);
assert.ok(node.blockDaemon.service.isRunning(), 'varve-bd has not been ended for want of memory');
await node.commit('box', 'layer');
await assertRemoved(node, 'layer');
await assertNothingAttached(node);
await node.scratch.dispose();
process.stdout.write(`${doneLine}\n`);
process.exit(0);
