// varve-layer bench, the real program: what it counts, and how it fails.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';

import { findNativeFile } from '../../src/adapters/native/location.ts';
import {
  copyFixture,
  fixture,
  inspect,
  readJson,
  runTool,
  tool,
  toolJson,
  type ImageConfig,
  writeConfig,
} from './layer-tool.ts';
import { scratchDirectory } from './scratch.ts';

interface Speeds {
  readonly seconds: number;
  readonly bytesPerSecond: number;
  readonly readsPerSecond?: number;
  readonly lookupsPerSecond?: number;
}

interface BenchResult {
  readonly reads?: number;
  readonly lookups?: number;
  readonly bytes: number;
  readonly threads: number;
  readonly cpu: Speeds;
  readonly wall: Speeds;
}

test('bench counts reads and lookups, by one thread and by several', (t) => {
  const directory = scratchDirectory(t);
  const ranges = join(directory, 'ranges');
  const lines = Array.from({ length: 1000 }, (_, number) => `${number * 4096} 4096`);
  writeFileSync(ranges, `${lines.join('\n')}\n`);
  const config = fixture('stack3/config.v1.json');
  for (const [option, what] of [
    [[], 'reads'],
    [['--index'], 'lookups'],
    [['--index', '--batch'], 'lookups'],
  ] as const) {
    for (const threads of ['1', '2']) {
      const options = ['--ranges', ranges, '--threads', threads, ...option];
      const result = toolJson('bench', config, ...options) as BenchResult;
      assert.equal(result[what], 1000);
      assert.equal(result.bytes, 4096000);
      assert.equal(result.threads, Number(threads));
      assert.ok(result.cpu.seconds > 0 && result.wall.seconds > 0);
      assert.ok((result.wall[`${what}PerSecond`] ?? 0) > 0 && result.cpu.bytesPerSecond > 0);
    }
  }
  assert.match(
    tool('bench', config, '--ranges', ranges),
    /1000 reads, .*\nCPU time .*\nwall clock/,
  );
  // As many mappings are met one by one as at once, also where more are met than one lookup finds.
  writeFileSync(ranges, `${lines.slice(0, 37).join('\n')}\n0 16777216\n`);
  const met = (...options: string[]): unknown =>
    (toolJson('bench', config, '--ranges', ranges, '--index', ...options) as { mappings: number })
      .mappings;
  assert.equal(met('--batch'), met());
  assert.ok(Number(met()) > 16);
  assert.equal(runTool(['bench', config, '--ranges', ranges, '--batch']).status, 2);
  writeFileSync(ranges, '0 512\n20971520 512\n');
  const refused = runTool(['bench', config, '--ranges', ranges]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /20971520 512 is not within the device/);
  writeFileSync(ranges, '0 512\nx\n');
  assert.match(runTool(['bench', config, '--ranges', ranges]).stderr, /line 2 is no range/);
  const command = 'echo "0 512" | "$0" bench "$1" --ranges /dev/stdin --json';
  const piped = spawnSync('sh', ['-c', command, findNativeFile('varve-layer'), config]);
  assert.equal(piped.status, 0, String(piped.stderr));
  assert.equal((JSON.parse(String(piped.stdout)) as BenchResult).bytes, 512);
});

/** Sanitizers need more room for addresses than a limit leaves. */
const hasSanitizers = basename(dirname(findNativeFile('varve-layer'))) !== 'native';

test('bench reads a range of any length by pieces', { skip: hasSanitizers }, (t) => {
  const directory = scratchDirectory(t);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  const [layer, ranges] = [join(directory, 'layer'), join(directory, 'ranges')];
  tool('create', data, index, '1');
  tool('commit', data, index, layer);
  writeFileSync(ranges, `0 ${1 << 30}\n`);
  const command = 'ulimit -v 1000000; exec "$0" bench "$1" --ranges "$2" --threads 2';
  const limited = spawnSync('sh', ['-c', command, findNativeFile('varve-layer'), layer, ranges]);
  assert.equal(limited.status, 0, String(limited.stderr));
});

test('bench fails where any of its threads does', (t) => {
  const directory = scratchDirectory(t);
  const [layer, ranges] = [join(directory, 'layer'), join(directory, 'ranges')];
  const bytes = readFileSync(fixture('zfile/lz4-4k'));
  bytes[63250] = (bytes[63250] ?? 0) ^ 1;
  writeFileSync(layer, bytes);
  const { virtualSize } = inspect(layer);
  // All the device by the second thread, and next to nothing by the first.
  writeFileSync(ranges, `0 512\n0 ${virtualSize}\n`);
  const { status, stderr } = runTool(['bench', layer, '--ranges', ranges, '--threads', '2']);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /the device cannot be read at \d+: Input\/output error/);
});

test('bench looks up what writable layers hold and what lies below, but not at once', (t) => {
  const directory = scratchDirectory(t);
  const ranges = join(directory, 'ranges');
  writeFileSync(ranges, '0 16777216\n');
  const whole = copyFixture('rw-append', join(directory, 'rw-append'));
  const { lowers = [] } = readJson(whole) as ImageConfig;
  const lower = writeConfig(join(directory, 'lower.json'), { lowers });
  const met = (config: string): number =>
    (toolJson('bench', config, '--ranges', ranges, '--index') as { mappings: number }).mappings;
  assert.ok(met(whole) > met(lower));
  const refused = runTool(['bench', whole, '--ranges', ranges, '--index', '--batch']);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /config\.v1\.json: --batch .* writable one; leave it out/);
});
