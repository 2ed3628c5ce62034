// Many devices of the kernel's ublk at once: one whose requests never end delays none of the others
// and can be ended alone, and a hundred cost little.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import {
  close,
  createUpper,
  expectedSum,
  list,
  open,
  readOnlyConfig,
} from '../../native/block-daemon.ts';
import { frozenFileSystem } from '../../native/frozen-file-system.ts';
import { writeConfig } from '../../native/layer-tool.ts';
import { startNode } from '../devices/node.ts';
import { kernelDevices, UblkNode } from '../devices/nodes.ts';
import { skipOutside } from '../inside.ts';
import { run, waitUntil } from '../programs.ts';

const skip = skipOutside('6.12');

/** What a process has in memory, of its own. */
function memoryKibibytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
}

/** How many requests a device has under way. */
function inFlight(path: string): number {
  const [reads = '0', writes = '0'] = readFileSync(`/sys/block/${basename(path)}/inflight`, 'utf8')
    .trim()
    .split(/\s+/);
  return Number(reads) + Number(writes);
}

/** Some at a time: all at once, this machine without KVM is too slow to answer anything else. */
async function inGroups<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const atOnce = 10;
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += atOnce) {
    results.push(...(await Promise.all(items.slice(at, at + atOnce).map(work))));
  }
  return results;
}

test('a hundred devices cost little, and each is itself', { skip }, async (t) => {
  const node = await startNode(t, UblkNode);
  const { bd } = node;
  const config = readOnlyConfig(node.directory);
  const first = await open(bd, config, 'd0');
  await run('dd', `if=${first.path}`, 'of=/dev/null', 'bs=1M', 'status=none');
  const before = memoryKibibytes(node.daemon.pid);
  const names = Array.from({ length: 99 }, (_, at) => `d${at + 1}`);
  const opened = await inGroups(names, (name) => open(bd, config, name));
  assert.equal(new Set(opened.map(({ path }) => path)).size, 99);
  const grown = (memoryKibibytes(node.daemon.pid) - before) / 99;
  t.diagnostic(`${grown.toFixed(0)} KiB of memory for each device`);
  // Sanitizers keep a multiple of it.
  if (process.env['VARVE_BD_PROGRAM'] === undefined) {
    assert.ok(grown < 256, `${grown} KiB for each device`);
  }

  // All of them wait for the next daemon, which serves them on.
  await node.replace('SIGKILL');
  await node.recovered(['d0', ...names]);
  assert.equal((await list(node.bd)).filter(({ state }) => state === 'open').length, 100);
  const readAll = `for device; do
    dd if="$device" of=/dev/null bs=64k count=1 iflag=direct status=none & started="$started $!"
  done
  for process in $started; do wait "$process" || exit; done`;
  await run('sh', '-c', readAll, 'sh', ...opened.map(({ path }) => path));
  await inGroups(['d0', ...names], (name) => close(node.bd, name));
  assert.deepEqual([kernelDevices(), node.notes], [[], []]);
});

test('one whose requests never end delays no other, and ends alone', { skip }, async (t) => {
  const node = await startNode(t, UblkNode);
  const { bd } = node;
  const frozen = frozenFileSystem(t);
  if (frozen === undefined) return;
  frozen.thaw();
  const upper = createUpper(join(frozen.path, '0'), 'stuck', 'append-only', '8M');
  const config = writeConfig(join(node.directory, 'stuck.json'), { upper });
  const stuck = await open(bd, config, 'stuck');
  const other = await open(bd, readOnlyConfig(node.directory), 'other');
  frozen.freeze();
  // More than the threads that it may have.
  const writing = Array.from({ length: 40 }, (_, at) =>
    assert.rejects(
      run(
        'dd',
        'if=/dev/zero',
        `of=${stuck.path}`,
        'bs=4k',
        'count=1',
        `seek=${at}`,
        'oflag=direct',
      ),
      /Input\/output error/,
    ),
  );
  await waitUntil('they are under way', async () => inFlight(stuck.path) === writing.length);
  assert.equal((await run('sha256sum', other.path)).split(' ')[0], expectedSum('stack3'));
  await assert.rejects(close(bd, 'stuck'), { code: 'in-use' });

  const aborted = await bd.request<{ gone: boolean }>('close', {
    device: 'stuck',
    mode: 'abort',
    patienceMs: 100,
  });
  assert.equal(aborted.gone, false, 'its layer is still being written');
  await Promise.all(writing);
  await waitUntil('the kernel has it no more', async () => kernelDevices().length === 1);
  assert.equal((await run('sha256sum', other.path)).split(' ')[0], expectedSum('stack3'));
  assert.deepEqual(
    (await list(bd)).map(({ device, state }) => [device, state]),
    [
      ['other', 'open'],
      ['stuck', 'closing'],
    ],
  );
  frozen.thaw();
  await waitUntil('it is gone', async () => (await list(bd)).length === 1);
  // Its files are free again.
  await open(bd, config, 'again');
  await close(bd, 'again');
});
