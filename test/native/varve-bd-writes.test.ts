// What is written to devices of varve-bd is there: as fio verifies it, after closing and opening
// again, and after the daemon was killed behind every flush. VARVE_LONG=1 kills more often,
// VARVE_SEED repeats a run.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  client,
  close,
  createUpper,
  hasProgram,
  loopsOf,
  open,
  readRange,
  skip,
  start,
  sumOf,
  upperKinds,
} from './block-daemon.ts';
import { sha256, tool, writeConfig } from './layer-tool.ts';
import { chooseSeed, randomNumbers } from './random.ts';
import { runProgram, scratchDirectory, until } from './scratch.ts';

const isLong = process.env['VARVE_LONG'] === '1';
const mebibyte = 1 << 20;

/** Jobs that run at once, each on a part of the device of its own; sizes in MiB. */
const sizeMiB = isLong ? 64 : 8;
const verified = [
  { name: 'verified-4k', offset: 0, options: ['--rw=randwrite', '--bs=4k'] },
  // Sizes and places that are no multiples of a page.
  { name: 'verified-512', offset: 1, options: ['--rw=randwrite', '--bsrange=512-64k'] },
];
const trimmed = { name: 'trimmed', offset: 2, options: ['--rw=randtrim', '--bs=16k'] };
const rewritten = { name: 'rewritten', offset: 3, options: ['--rw=randtrimwrite', '--bs=8k'] };

const jobOptions = ({ name, offset, options }: typeof trimmed): readonly string[] => [
  `--name=${name}`,
  `--offset=${offset * sizeMiB}M`,
  ...options,
];

function fio(path: string, ...options: readonly string[]): void {
  runProgram('fio', [
    `--filename=${path}`,
    `--size=${sizeMiB}M`,
    '--direct=1',
    '--ioengine=libaio',
    '--iodepth=16',
    '--randrepeat=1',
    '--verify_state_save=0',
    '--minimal',
    ...options,
  ]);
}
const verification = ['--verify=crc32c', '--verify_fatal=1'];

for (const kind of upperKinds) {
  test(`fio verifies an ${kind} device, also opened again`, { skip }, async (t) => {
    if (!hasProgram('fio')) return t.skip('needs fio');
    const directory = scratchDirectory(t);
    const daemon = await start(t, join(directory, 'run/bd.sock'));
    const bd = await client(t, daemon);
    const upper = createUpper(directory, 'rw', kind, `${4 * sizeMiB}M`);
    const config = writeConfig(join(directory, 'rw.json'), { upper });
    const { path } = await open(bd, config, 'fio');
    // Everything is written over, or discarded, by what follows.
    fio(path, '--name=filled', '--rw=write', '--bs=1M', `--size=${4 * sizeMiB}M`);
    fio(
      path,
      ...verified.flatMap((job) => [...jobOptions(job), ...verification]),
      ...[trimmed, rewritten].flatMap(jobOptions),
    );
    const zeros = Buffer.alloc(sizeMiB * mebibyte);
    const rangeOf = ({ offset }: typeof trimmed): readonly [number, number] => [
      offset * sizeMiB * mebibyte,
      sizeMiB * mebibyte,
    ];
    assert.ok(readRange(path, ...rangeOf(trimmed)).equals(zeros), 'what was discarded');
    assert.ok(!readRange(path, ...rangeOf(rewritten)).equals(zeros), 'what was written again');
    const sum = sumOf(path);
    assert.equal((await close(bd, 'fio')).gone, true);

    const again = await open(bd, config, 'fio');
    assert.equal(sumOf(again.path), sum);
    for (const job of verified) {
      fio(again.path, ...jobOptions(job), ...verification, '--verify_only');
    }
    assert.equal((await close(bd, 'fio')).gone, true);
  });
}

const lastKill = isLong ? 40 : 6;
const modelBytes = 4 * mebibyte;

for (const kind of upperKinds) {
  test(
    `killed behind each flushed write, an ${kind} device has all of them`,
    { skip },
    async (t) => {
      const random = randomNumbers(chooseSeed(t));
      const directory = scratchDirectory(t);
      const socket = join(directory, 'run/bd.sock');
      // The model is of the first half; in the other one writes are under way that nobody flushes.
      const upper = createUpper(directory, 'rw', kind, '8M');
      const config = writeConfig(join(directory, 'rw.json'), { upper });
      const model = Buffer.alloc(modelBytes);

      for (let kill = 0; kill <= lastKill; kill += 1) {
        const daemon = await start(t, socket);
        const bd = await client(t, daemon);
        const { path } = await open(bd, config, 'killed');
        assert.ok(readRange(path, 0, modelBytes).equals(model), `before kill ${kill}`);
        const unflushed = spawn(
          'dd',
          ['if=/dev/urandom', `of=${path}`, 'bs=64k', 'seek=64', 'oflag=direct', 'conv=notrunc'],
          { stdio: 'ignore' },
        );
        t.after(() => unflushed.kill('SIGKILL'));
        const ended = once(unflushed, 'exit');
        const file = openSync(path, 'r+');
        try {
          for (let write = 0; write < kill; write += 1) {
            const offset = random(modelBytes / 512) * 512;
            const length = Math.min(512 * (1 + random(200)), modelBytes - offset);
            if (random(4) === 0) {
              runProgram('blkdiscard', ['-f', '-o', `${offset}`, '-l', `${length}`, path]);
              model.fill(0, offset, offset + length);
            } else {
              model.fill(`${kill}.${write} `, offset, offset + length);
              writeSync(file, model, offset, length, offset);
            }
            fsyncSync(file);
          }
        } finally {
          const died = daemon.end('SIGKILL');
          closeSync(file);
          assert.equal(await died, 'SIGKILL');
        }
        await ended;
        await until(() => loopsOf('killed').length === 0);
      }
    },
  );
}

test('a very large device is discarded, made small and finished', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'large', 'append-only', '16T');
  const { path } = await open(bd, writeConfig(join(directory, 'large.json'), { upper }), 'large');
  runProgram('blkdiscard', ['-f', path]);
  const sum = sha256(Buffer.alloc(2 * mebibyte, 'x'));
  runProgram('dd', ['if=/dev/zero', `of=${path}`, 'bs=1M', 'count=1', 'seek=1000000']);
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(2 * mebibyte, 'x'), 0, 2 * mebibyte, 4 * mebibyte);
  fsyncSync(file);
  closeSync(file);
  for (const sizeBytes of [2 ** 52, 2 ** 30]) {
    await bd.request('resize', { device: 'large', sizeBytes });
  }
  // Nothing but what was written and cut off has an entry.
  assert.ok(statSync(upper.index).size < 8192);
  const output = join(directory, 'committed');
  await bd.request('commit', { device: 'large', output, algorithm: 'none' });
  await bd.request('seal', { device: 'large' });
  assert.equal((await close(bd, 'large')).gone, true);
  for (const layer of [output, upper.data]) {
    tool('verify', layer);
    const lowers = [{ file: layer }];
    const config = writeConfig(join(directory, 'finished.json'), { lowers });
    const range = `${4 * mebibyte}:${2 * mebibyte}`;
    assert.match(tool('checksum', config, '--range', range), new RegExp(sum));
  }
});

test('a sparse device that became smaller is sealed as overlaybd takes it', { skip }, async (t) => {
  const directory = scratchDirectory(t);
  const daemon = await start(t, join(directory, 'run/bd.sock'));
  const bd = await client(t, daemon);
  const upper = createUpper(directory, 'less', 'sparse', '16M');
  const { path } = await open(bd, writeConfig(join(directory, 'less.json'), { upper }), 'less');
  // Something that is cut off.
  runProgram('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'oflag=direct', 'count=16']);
  await bd.request('resize', { device: 'less', sizeBytes: 2 * mebibyte });
  await bd.request('seal', { device: 'less' });
  assert.equal((await close(bd, 'less')).gone, true);
  assert.doesNotMatch(tool('verify', upper.data), /overlaybd/);
});
