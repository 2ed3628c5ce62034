// The demo as a user sees it: it succeeds, and it leaves nothing behind, even when it is
// interrupted.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { cacheDirectory, cacheVariable } from '../e2e/lab/cache.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';

const demo = fileURLToPath(new URL('../../scripts/demo.ts', import.meta.url));
const options = { skip: process.getuid?.() === 0 ? false : 'needs root', timeout: 180_000 };

interface Finished {
  readonly status: number | null;
  readonly output: string;
}

/** Runs the demo in a directory of its own; `watch` sees what is printed so far. */
async function runDemo(
  directory: string,
  watch: (output: string, child: ChildProcess) => void,
  variables: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  // What the demo would fetch each time, the tests keep.
  const env = { ...process.env, TMPDIR: directory, [cacheVariable]: cacheDirectory() };
  const child = spawn(process.execPath, [demo], { env: { ...env, ...variables } });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
    watch(output, child);
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const status = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  return { status, output };
}

/** A directory for the demo that must be empty, and free of mounts, when it has ended. */
async function inEmptyDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'd-'));
  try {
    await work(directory);
    assert.deepEqual(readdirSync(directory), [], 'files are left');
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    assert.ok(!mounts.includes(directory), 'a mount is left');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('the demo runs containers through varve and shows their history', options, async () => {
  await inEmptyDirectory(async (directory) => {
    // As on a machine where varve is in use: its sockets are not the demo's.
    const elsewhere = join(directory, 'elsewhere');
    const variables = {
      VARVE_ADDRESS: join(elsewhere, 'varve.sock'),
      VARVE_ADMIN_ADDRESS: join(elsewhere, 'admin.sock'),
    };
    const { status, output } = await runDemo(directory, () => undefined, variables);
    assert.equal(status, 0, output);
    for (const expected of [
      'Hello from a container on varve.',
      'A file that layer 3 replaced: after',
      'A directory that layer 3 began anew holds: shown',
      'SnapshotCommitted',
      'SnapshotRemoved',
      ...(deviceObstacle() === undefined ? sharing : ['Without the part about overlaybd images']),
    ]) {
      assert.ok(output.includes(expected), `"${expected}" is missing in:\n${output}`);
    }
  });
});

/** What only two containers on one device show. */
const sharing = [
  'localhost/demo-overlaybd:latest',
  'I am demo-first. A file that layer 3 replaced: after',
  'My note says demo-second',
  'leased for   container',
  'DeviceDetached',
];

for (const moment of ['containerd … ', 'container … ', 'containers … ', 'removal of both … ']) {
  test(`interrupted at "${moment.trim()}" the demo takes everything away`, options, async () => {
    await inEmptyDirectory(async (directory) => {
      let isSent = false;
      const { status, output } = await runDemo(directory, (printed, child) => {
        if (isSent || !printed.includes(moment)) return;
        isSent = true;
        child.kill('SIGINT');
      });
      assert.equal(status, 1, output);
      assert.match(output, /The demo was interrupted/);
      assert.doesNotMatch(output, /left behind/);
    });
  });
}
