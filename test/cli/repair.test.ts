// A damaged log as its operator meets it: the daemon stays up and says what to run, repair says
// what it saved, and the daemon serves again.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { Daemon, scratch, varve } from './varve.ts';

const boxCount = 20;

/** Flips one bit in the middle of what the file with most events holds. */
function damage(root: string): void {
  const files = readdirSync(path.join(root, 'log'))
    .filter((name) => /\.(?:log|ldb)$/.test(name))
    .map((name) => path.join(root, 'log', name))
    .map((file) => ({ file, bytes: readFileSync(file) }))
    .map((one) => ({ ...one, usedBytes: one.bytes.findLastIndex((byte) => byte !== 0) + 1 }))
    .sort((left, right) => right.usedBytes - left.usedBytes);
  const [largest] = files;
  assert.ok(largest);
  const { file, bytes, usedBytes } = largest;
  const middle = usedBytes >> 1;
  bytes[middle] = (bytes[middle] as number) ^ 4;
  writeFileSync(file, bytes);
}

async function commandsSaySo({ address }: Daemon): Promise<void> {
  const commands = [['ls'], ['show', 'box-1'], ['events', '--follow'], ['verify']];
  const ends = commands.map(async (command) => {
    const { code, stderr } = await varve([...command, '--address', address]);
    assert.equal(code, 6, `${command.join(' ')}: ${stderr}`);
    assert.match(stderr, /^varve: [^\n]*run varve repair[^\n]*\n$/, command.join(' '));
  });
  await Promise.all(ends);
}

async function whatIsSoundIsExported({ address }: Daemon, file: string): Promise<void> {
  const exported = await varve(['export', file, '--address', address, '--json']);
  assert.equal(exported.code, 6);
  assert.equal((JSON.parse(exported.stdout) as { isWhole: boolean }).isWhole, false);
  const { stdout } = await varve(['events', '--address', address]);
  const soundCount = stdout.trimEnd().split('\n').length;
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  assert.equal(lines.length, 1 + soundCount, 'a header, and the events before the damage');
  const cut = await varve(['replay', '--file', file]);
  assert.equal(cut.code, 6);
  assert.match(cut.stderr, new RegExp(`--at ${soundCount} shows the state`));
  const replayed = await varve(['replay', '--file', file, '--at', String(soundCount), '--json']);
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.equal((JSON.parse(replayed.stdout) as { position: number }).position, soundCount);
}

test('a damaged log leaves the daemon up, is explained, and is repaired', async (t) => {
  const place = scratch();
  t.after(() => place.remove());
  let daemon = await Daemon.start(place.path);
  t.after(() => daemon.stop('SIGKILL'));
  for (let index = 0; index < boxCount; index += 1) {
    const key = `box-${index}`;
    const { code } = await daemon.snapshots.call(snapshotsDefinition.prepare, { key });
    assert.equal(code, 0);
  }
  const whole = await varve(['repair', '--root', path.join(place.path, 'root')]);
  assert.equal(whole.code, 1, 'the daemon runs');
  // Killed, so that no checkpoint covers the part that is damaged.
  await daemon.stop('SIGKILL');
  damage(daemon.root);

  daemon = await Daemon.start(place.path);
  const status = await varve(['status', '--address', daemon.address]);
  assert.equal(status.code, 6);
  assert.match(status.stderr, /^varve: [^\n]*run varve repair[^\n]*\n$/);
  assert.match(status.stdout, /^health +damaged$/m);
  const document = await varve(['status', '--address', daemon.address, '--json']);
  assert.ok((JSON.parse(document.stdout) as { damage: unknown[] }).damage.length > 0);
  await commandsSaySo(daemon);
  await whatIsSoundIsExported(daemon, path.join(place.path, 'history.ndjson'));
  const fsck = ['fsck', '--root', daemon.root, '--config', path.join(place.path, 'config.json')];
  const asked = await varve([...fsck, '--address', daemon.address]);
  assert.match(asked.stderr, /run varve repair/);
  assert.equal(asked.code, 6);
  await daemon.stop();
  for (const flags of [[], ['--apply']]) {
    const examined = await varve([...fsck, ...flags]);
    assert.match(examined.stderr, /is damaged \([^\n]*\): run varve repair\n$/);
    assert.equal(examined.code, 6);
  }

  const repaired = await varve(['repair', '--root', daemon.root, '--json']);
  assert.equal(repaired.code, 0, repaired.stderr);
  const result = JSON.parse(repaired.stdout) as RepairAnswer;
  assert.equal(result.status, 'repaired');
  const [{ fromSeq, toSeq } = { fromSeq: 0, toSeq: 0 }] = result.lost;
  assert.ok(result.lost.length === 1 && fromSeq > 0, 'one bit hits one batch');
  const lostCount = toSeq - fromSeq + 1;
  const again = await varve(['repair', '--root', daemon.root]);
  assert.match(again.stdout, /nothing to repair/);

  daemon = await Daemon.start(place.path);
  const healthy = await varve(['status', '--address', daemon.address]);
  assert.equal(healthy.code, 0, healthy.stderr);
  await historyGoesOnOverTheLoss(daemon, { fromSeq, toSeq });
  const { stdout: list } = await varve(['ls', '--address', daemon.address, '--json']);
  const found = (JSON.parse(list) as { snapshots: { key: string; id: number }[] }).snapshots;
  assert.equal(found.length, boxCount - lostCount, 'what was not hit is there');
  const { code } = await daemon.snapshots.call(snapshotsDefinition.prepare, { key: 'new-box' });
  assert.equal(code, 0);
  const shown = await varve(['show', 'new-box', '--address', daemon.address, '--json']);
  const { id } = JSON.parse(shown.stdout) as { id: number };
  assert.ok(id > boxCount, `id ${id} may have been handed out before`);
});

interface RepairAnswer {
  readonly status: string;
  readonly lost: readonly { readonly fromSeq: number; readonly toSeq: number }[];
}

/** What is lost is told as lost, by everyone who meets it, and no one is sent to repair again. */
async function historyGoesOnOverTheLoss(
  { address }: Daemon,
  lost: { readonly fromSeq: number; readonly toSeq: number },
): Promise<void> {
  const verified = await varve(['verify', '--address', address]);
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /lost, as an earlier repair found/);
  const events = await varve(['events', '--address', address]);
  assert.equal(events.code, 6);
  assert.match(events.stderr, new RegExp(`lost.*: read on from ${lost.toSeq + 1}\\n$`));
  assert.doesNotMatch(events.stderr, /run varve repair/);
  const rest = await varve(['events', '--from', String(lost.toSeq + 1), '--address', address]);
  assert.equal(rest.code, 0, rest.stderr);
  assert.match(rest.stdout, /LogRepaired/);
  const why = await varve(['why', 'box-0', '--address', address]);
  assert.equal(why.code, 0, why.stderr);
  assert.match(why.stdout, /Lost for good, and perhaps part of this/);
}
