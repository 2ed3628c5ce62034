// What varve doctor says of the transports: what each lacks, what to do, and which one is taken.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { whyNoneConfigurable } from '../../src/adapters/kernel-target/names.ts';
import { lookAll } from '../../src/cli/doctor/look.ts';
import { Machine } from '../../src/cli/doctor/machine.ts';
import { transportLooks } from '../../src/cli/doctor/transports.ts';
import { defaultConfiguration } from '../../src/config/configuration.ts';
import type { BackingStoreFigures } from '../../src/engine/ports.ts';
import { scratchDirectory } from '../native/scratch.ts';

interface Given {
  /** What is there, below the root of a machine. */
  readonly files?: readonly string[];
  /** varve-bd; none answers without. */
  readonly daemon?: Partial<BackingStoreFigures>;
  readonly upstream?: string;
  readonly root?: string;
  readonly transport?: 'auto' | 'ublk' | 'tcmu' | 'fuse';
}

const fuseFiles = ['dev/fuse', 'dev/loop-control'];
const targetFiles = [
  'sys/module/target_core_user/refcnt',
  'sys/module/tcm_loop/refcnt',
  'sys/kernel/config/target/version',
];

/** Each line as `verdict: what was found → what to do`. */
async function told(t: TestContext, given: Given): Promise<Readonly<Record<string, string>>> {
  const { files = [], daemon, upstream, transport = 'auto' } = given;
  const { root = defaultConfiguration.root } = given;
  const top = scratchDirectory(t);
  const put = (file: string, text = ''): void => {
    mkdirSync(path.join(top, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(top, file), text);
  };
  put('proc/sys/kernel/osrelease', '6.1.0-18-amd64\n');
  put('lib/modules/6.1.0-18-amd64/modules.dep', 'kernel/drivers/block/ublk_drv.ko:\n');
  for (const file of files) put(file);
  const figures: BackingStoreFigures = {
    ...{ process: 1, version: null, transport: 'fuse', transports: ['fuse'], lacking: {} },
    ...{ devicesOutlive: null, devices: [], ...daemon },
  };
  const failure = { step: 'stats', code: 'ECONNREFUSED', message: 'it does not run' };
  const looks = transportLooks(
    new Machine(top),
    { ...defaultConfiguration, root, transport },
    {
      backingStoreFigures: async () =>
        daemon === undefined ? { ok: false, failure } : { ok: true, value: figures },
      upstreamProcess: async () => upstream,
      whyNotConfigurable: whyNoneConfigurable,
    },
  );
  const { lines } = await lookAll(looks, 5_000);
  return Object.fromEntries(
    lines.map(({ name, verdict, found, next }) => [
      name,
      `${verdict}: ${found}${next === null ? '' : ` → ${next}`}`,
    ]),
  );
}

test('where nothing is there each says what it lacks, in the order in which they are taken', async (t) => {
  const lines = await told(t, {});
  assert.deepEqual(Object.keys(lines), ['ublk', 'tcmu', 'fuse', 'which is taken']);
  assert.match(lines['ublk'] ?? '', /^note: .*ublk_drv is not loaded → modprobe ublk_drv$/);
  assert.match(lines['tcmu'] ?? '', /^note: .*does not have target_core_user → use a kernel/);
  assert.match(lines['fuse'] ?? '', /^note: .*\/dev\/fuse is not there/);
  assert.match(lines['which is taken'] ?? '', /^note: none can be used/);
});

test('fuse alone is what auto takes; a varve-bd that does not run is said', async (t) => {
  const files = fuseFiles;
  assert.match((await told(t, { files }))['fuse'] ?? '', /varve-bd does not answer → start/);
  const lines = await told(t, { files, daemon: {} });
  assert.match(lines['fuse'] ?? '', /^ok: it can be used/);
  assert.match(lines['which is taken'] ?? '', /^ok: fuse: `auto` takes the first/);
});

test('tcmu needs a daemon: varve-bd with --tcmu, or overlaybd’s own', async (t) => {
  const files = [...fuseFiles, ...targetFiles];
  const without = await told(t, { files, daemon: {} });
  assert.match(without['tcmu'] ?? '', /nobody serves .* → start varve-bd with --tcmu/);
  assert.match(without['which is taken'] ?? '', /^ok: fuse/);
  const served = await told(t, { files, daemon: { transports: ['tcmu', 'fuse'] } });
  assert.match(served['which is taken'] ?? '', /^ok: tcmu/);
  const upstream = await told(t, { files, upstream: 'process 7 (overlaybd-tcmu)' });
  assert.match(upstream['tcmu'] ?? '', /^ok: it can be used/);
  assert.match(upstream['which is taken'] ?? '', /^ok: tcmu/);
  const bare = await told(t, { files: targetFiles.slice(0, 2), daemon: {} });
  assert.match(bare['tcmu'] ?? '', /config\/target is not there → mount -t configfs/);
});

test('tcmu is not taken where the kernel would read other paths than those of the root', async (t) => {
  const given = {
    files: [...fuseFiles, ...targetFiles],
    daemon: { transports: ['tcmu', 'fuse'] },
  };
  for (const [root, reason] of [
    ['/a,b', /at commas and newlines/],
    ['/a;b', /a semicolon/],
    [`/${'a'.repeat(220)}`, /has \d+ bytes there, and the kernel keeps 255/],
  ] as const) {
    const lines = await told(t, { ...given, root });
    assert.match(lines['tcmu'] ?? '', /^note: it cannot be used: .* → choose another root, or/);
    assert.match(lines['tcmu'] ?? '', reason);
    assert.match(lines['which is taken'] ?? '', /^ok: fuse: `auto`/);
    const named = await told(t, { ...given, root, transport: 'tcmu' });
    assert.match(named['which is taken'] ?? '', /^note: tcmu, .* cannot be used/);
  }
});

test('what varve-bd says that ublk lacks is said, and ublk is taken before all others', async (t) => {
  const files = [...fuseFiles, ...targetFiles, 'dev/ublk-control'];
  const lacking = { ublk: ['CAP_SYS_ADMIN'] };
  const refused = await told(t, { files, daemon: { lacking } });
  assert.match(refused['ublk'] ?? '', /varve-bd lacks: CAP_SYS_ADMIN/);
  const lines = await told(t, { files, daemon: { transports: ['ublk', 'tcmu', 'fuse'] } });
  assert.match(lines['which is taken'] ?? '', /^ok: ublk/);
});

test('one that the configuration names is taken, or it is said that it cannot be', async (t) => {
  const given = { files: fuseFiles, daemon: {} };
  const named = await told(t, { ...given, transport: 'fuse' });
  assert.match(named['which is taken'] ?? '', /^ok: fuse, as the configuration says$/);
  const missing = await told(t, { ...given, transport: 'tcmu' });
  assert.match(missing['which is taken'] ?? '', /^note: tcmu, .* cannot be used: no device/);
});
