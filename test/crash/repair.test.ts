// `varve repair` as a real process, killed as by kill -9 at each of its points: run again it brings
// back what an undisturbed repair does, and the server goes on from there.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { Daemon, scratch, varve } from '../cli/varve.ts';
import { namedCrashPoints } from './points.ts';

const points = namedCrashPoints().filter((name) => name.startsWith('repair:'));
const boxCount = 12;

interface Listed {
  readonly snapshots: readonly { readonly key: string }[];
}

/** A root whose server was killed, and the record of one snapshot then hit by a flipped bit. */
async function damagedRoot(place: string): Promise<string> {
  const daemon = await Daemon.start(place);
  try {
    for (let index = 0; index < boxCount; index += 1) {
      const request = { key: `box-${index}` };
      const { code } = await daemon.snapshots.call(snapshotsDefinition.prepare, request);
      assert.equal(code, 0);
    }
  } finally {
    await daemon.stop('SIGKILL');
  }
  const log = path.join(daemon.root, 'log');
  const name = readdirSync(log).find((file) => file.endsWith('.log')) ?? '';
  const bytes = readFileSync(path.join(log, name));
  const at = bytes.indexOf('"key":"box-5"');
  assert.ok(at > 0);
  bytes[at + 2] = 0x2a;
  writeFileSync(path.join(log, name), bytes);
  return daemon.root;
}

describe('a repair that is killed', { concurrency: 2, timeout: 240_000 }, () => {
  test('is run again', async (t) => {
    const place = scratch();
    t.after(() => place.remove());
    const damaged = await damagedRoot(place.path);
    assert.ok(points.length >= 5, 'the points are found');
    const cases = points.map(async (point) => {
      const own = path.join(place.path, point.replace(':', '-'));
      const root = path.join(own, 'root');
      cpSync(damaged, root, { recursive: true });
      const env = { VARVE_CRASH_AT: `${point}:1` };
      const killed = await varve(['repair', '--root', root], { env });
      assert.equal(killed.signal, 'SIGKILL', point);
      const again = await varve(['repair', '--root', root]);
      assert.equal(again.code, 0, `${point}: ${again.stderr}`);
      const daemon = await Daemon.start(own);
      try {
        const status = await varve(['status', '--address', daemon.address]);
        assert.equal(status.code, 0, `${point}: ${status.stdout}`);
        const { stdout } = await varve(['ls', '--address', daemon.address, '--json']);
        const keys = (JSON.parse(stdout) as Listed).snapshots.map(({ key }) => key);
        assert.equal(keys.length, boxCount - 1, `${point}: ${keys.join()}`);
        assert.ok(!keys.includes('box-5'), point);
        const verified = await varve(['verify', '--address', daemon.address, '--json']);
        const { equal, lost } = JSON.parse(verified.stdout) as { equal: boolean; lost: object[] };
        assert.equal(equal, true, point);
        assert.equal(lost.length, 1, point);
      } finally {
        await daemon.stop();
      }
    });
    await Promise.all(cases);
  });
});
