// The build of the native part, with a stand-in for CMake: what is configured anew, and when.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const scripts = fileURLToPath(new URL('../../scripts', import.meta.url));

/** Notes its call; to configure, it leaves behind what the real one does. */
const standIn = `#!/bin/sh
echo "$1" >>"$CMAKE_CALLS"
[ "$1" = -S ] || exit 0
mkdir -p "$4"
touch "$4/build.ninja"
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/native" >"$4/CMakeCache.txt"
`;

test('a checkout that was moved is configured anew, and builds its own sources', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'varve-build-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const calls = join(directory, 'calls');
  const programs = join(directory, 'programs');
  mkdirSync(programs);
  writeFileSync(join(programs, 'cmake'), standIn, { mode: 0o755 });
  const build = (checkout: string): readonly string[] => {
    const env = { ...process.env, PATH: `${programs}:${process.env['PATH']}`, CMAKE_CALLS: calls };
    execFileSync('sh', [join(checkout, 'scripts/build-native.sh')], { env, stdio: 'pipe' });
    const done = readFileSync(calls, 'utf8').trim().split('\n');
    rmSync(calls);
    return done;
  };
  const before = join(directory, 'before');
  mkdirSync(join(before, 'native'), { recursive: true });
  mkdirSync(join(before, 'scripts'));
  for (const name of ['build-native.sh', 'step.sh']) {
    cpSync(join(scripts, name), join(before, 'scripts', name));
  }
  assert.deepEqual(build(before), ['-S', '--build']);
  assert.deepEqual(build(before), ['--build']);
  const now = join(directory, 'now');
  renameSync(before, now);
  writeFileSync(join(now, 'build/native/built-before'), '');
  assert.deepEqual(build(now), ['-S', '--build']);
  assert.equal(existsSync(join(now, 'build/native/built-before')), false);
});
