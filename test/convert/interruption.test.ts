// `varve convert` that is interrupted, or whose disk fills: nothing is left, and nothing runs on.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import { scratch, startVarve, varve } from '../cli/varve.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { Layout, smallLayout } from './layouts.ts';

const { path: directory, remove } = scratch();
after(remove);

/** Whether a process has ended, though nobody may have asked how yet. */
async function isGone(pid: number): Promise<boolean> {
  if (!existsSync(`/proc/${pid}`)) return true;
  return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  for (const command of ['create', 'apply', 'commit']) {
    test(`${signal} during ${command} leaves nothing`, async () => {
      const folder = join(directory, `${signal}-${command}`);
      const native = join(folder, 'native');
      const output = join(folder, 'out');
      for (const path of [native, output]) mkdirSync(path, { recursive: true });
      // A varve-layer that does not end when it comes to this command.
      const real = findNativeFile('varve-layer');
      const begun = join(folder, 'begun');
      const script = [
        `if [ "$1" = ${command} ]; then echo $$ >'${begun}.new'; mv '${begun}.new' '${begun}'`,
        `exec sleep 1000; fi; exec '${real}' "$@"`,
      ];
      writeFileSync(join(native, 'varve-layer'), `#!/bin/sh\n${script.join('\n')}\n`);
      chmodSync(join(native, 'varve-layer'), 0o755);
      const { path } = smallLayout(join(folder, 'in'));
      const argv = ['convert', path, join(output, 'image.tar')];
      const child = startVarve(argv, { env: { VARVE_NATIVE_DIR: native } });
      const ended = once(child, 'close');
      await waitUntil('the command runs', async () => existsSync(begun));
      assert.equal(readdirSync(output).length, 1, 'the folder in which it works');
      child.kill(signal);
      const [code, by] = (await ended) as [number | null, string | null];
      assert.deepEqual([code, by], signal === 'SIGINT' ? [130, null] : [null, signal]);
      assert.deepEqual(readdirSync(output), []);
      const pid = Number(readFileSync(begun, 'utf8'));
      await waitUntil('its process is gone', () => isGone(pid));
    });
  }
}

test('when one layer fails, those that are being made are given up', async () => {
  const folder = join(directory, 'failing');
  const native = join(folder, 'native');
  const output = join(folder, 'out');
  for (const path of [native, output]) mkdirSync(path, { recursive: true });
  const layout = new Layout(join(folder, 'in'));
  const layers = ['one', 'two'].map((name) =>
    layout.layer([{ path: name, kind: 'fifo', mode: 0o600 }]),
  );
  layout.index(layers.map((layer) => layout.image({ layers: [layer] })));
  // The first to come never ends, the second one fails then.
  const begun = join(folder, 'begun');
  const script = [
    `if mkdir '${begun}' 2>/dev/null; then echo $$ >'${begun}/pid'; exec sleep 1000; fi`,
    `while ! [ -s '${begun}/pid' ]; do sleep 0.01; done`,
    'echo varve-layer: the second one fails >&2; exit 1',
  ];
  writeFileSync(join(native, 'varve-layer'), `#!/bin/sh\n${script.join('\n')}\n`);
  chmodSync(join(native, 'varve-layer'), 0o755);
  const argv = ['convert', layout.path, join(output, 'image.tar')];
  const { code, stderr } = await varve(argv, { env: { VARVE_NATIVE_DIR: native } });
  assert.equal(code, 1);
  assert.match(stderr, /the second one fails/);
  assert.doesNotMatch(stderr, /SIGKILL/);
  assert.deepEqual(readdirSync(output), []);
  assert.ok(await isGone(Number(readFileSync(join(begun, 'pid'), 'utf8'))));
});

const isRoot = process.getuid?.() === 0;

test('a disk that fills leaves nothing', { skip: isRoot ? false : 'needs root' }, async () => {
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  const layout = new Layout(join(directory, 'large'));
  const layers = ['one', 'two'].map((path, at) =>
    layout.layer([{ path, kind: 'file', mode: 0o644, content: randomBytes((at + 1) << 20) }]),
  );
  layout.index([layout.image({ layers })]);
  const ends: string[] = [];
  for (let sizeMiB = 1; sizeMiB <= 8; sizeMiB += 1) {
    await runCommand(['mount', '-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', disk]);
    try {
      const argv = ['convert', '--vsize', '64M', layout.path, join(disk, 'image.tar')];
      const { code, stderr } = await varve(argv);
      if (code !== 0) assert.match(stderr, /no space left.*: make room on the disk of/i);
      assert.doesNotMatch(stderr, /VARVE_DEBUG/);
      assert.deepEqual(readdirSync(disk), code === 0 ? ['image.tar'] : []);
      ends.push(code === 0 ? 'made' : stderr.replace(/[^]* no space left/i, 'full'));
    } finally {
      await runCommand(['umount', disk]);
    }
  }
  assert.ok(ends[0] !== 'made' && ends.at(-1) === 'made', ends.join('\n'));
});
