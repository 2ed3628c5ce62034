// The commands against a real daemon: what they print, as text and as JSON, and how they end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { controlDefinition, snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { TestClient } from '../server/client.ts';
import { Daemon, program, scratch, startVarve, varve } from './varve.ts';
import type { Ended } from './varve.ts';

const place = scratch();
let daemon: Daemon;

before(async () => {
  daemon = await Daemon.start(place.path);
  const ok = async (reply: Promise<{ readonly code: number }>): Promise<void> => {
    assert.equal((await reply).code, 0);
  };
  const { snapshots } = daemon;
  const prepare = (key: string, parent: string) =>
    snapshots.call(snapshotsDefinition.prepare, { snapshotter: 'varve', key, parent });
  await ok(prepare('default/1/extract sha256:aa', ''));
  const commit = { snapshotter: 'varve', name: 'default/2/sha256:aa' };
  await ok(
    snapshots.call(snapshotsDefinition.commit, { ...commit, key: 'default/1/extract sha256:aa' }),
  );
  await ok(prepare('default/3/box', 'default/2/sha256:aa'));
  await ok(prepare('default/4/gone', 'default/2/sha256:aa'));
  await ok(
    snapshots.call(snapshotsDefinition.remove, { snapshotter: 'varve', key: 'default/4/gone' }),
  );
  await ok(snapshots.call(snapshotsDefinition.cleanup, { snapshotter: 'varve' }));
});

after(async () => {
  await daemon?.stop('SIGKILL');
  place.remove();
});

const ask = (...args: readonly string[]): Promise<Ended> =>
  varve([...args, '--address', daemon.address]);

async function asked(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ask(...args);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  return stdout;
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const text = await asked(...args, '--json');
  assert.equal(text.trimEnd().split('\n').length, 1, 'one line');
  return JSON.parse(text) as Record<string, unknown>;
}

const refused = async (
  code: number,
  message: RegExp,
  ...args: readonly string[]
): Promise<void> => {
  const ended = await ask(...args);
  assert.match(ended.stderr, message);
  assert.equal(ended.stderr.trimEnd().split('\n').length, 1, 'one line');
  assert.equal(ended.code, code);
};

test('ls lists what clients see, in aligned columns', async () => {
  const [title = '', ...rows] = (await asked('ls')).trimEnd().split('\n');
  assert.match(title, /^ID +KIND +ROLE +SIZE +CREATED +KEY +PARENT$/);
  assert.equal(rows.length, 2);
  const column = title.indexOf('KEY');
  assert.ok(rows.every((row) => row.slice(column).startsWith('default/')));
  const state = await json('ls');
  assert.equal(state['format'], 'varve-state');
  const keys = (state['snapshots'] as { key: string }[]).map(({ key }) => key);
  assert.deepEqual(keys.sort(), ['default/2/sha256:aa', 'default/3/box']);
});

test('tree draws the container below its layer', async () => {
  const [layer, box] = (await asked('tree')).split('\n');
  assert.match(layer ?? '', /^default\/2\/sha256:aa \(#\d+, committed, /);
  assert.match(box ?? '', /^└─ default\/3\/box \(#\d+, active\)$/);
  const tree = await json('tree');
  const depths = (tree['snapshots'] as { depth: number }[]).map(({ depth }) => depth);
  assert.deepEqual(depths, [0, 1]);
});

test('show tells labels, mounts, chain and events of one snapshot', async () => {
  assert.match(await asked('show', 'default/3/box'), /^mounts +overlay overlay .*lowerdir=/m);
  const snapshot = await json('show', 'default/3/box');
  assert.equal(snapshot['format'], 'varve-snapshot');
  assert.deepEqual((snapshot['chain'] as { key: string }[])[0]?.key, 'default/2/sha256:aa');
});

test('why tells a history, also of what is removed', async () => {
  const layer = await asked('why', 'default/2/sha256:aa');
  assert.match(layer, /Prepare \(request [^)]+\) asked for "default\/1\/extract sha256:aa"/);
  assert.match(layer, /It is committed now, as "default\/2\/sha256:aa"\./);
  assert.match(await asked('why', 'default/4/gone'), /It is gone: nothing of it is left on disk\./);
  const why = await json('why', 'default/4/gone');
  assert.equal(why['format'], 'varve-why');
});

test('events prints one event a line; filters and ranges choose', async () => {
  const lines = (await asked('events', '--json')).trimEnd().split('\n');
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    events.map(({ globalSeq }) => globalSeq),
    events.map((_, index) => index + 1),
  );
  assert.deepEqual(Object.keys(events[0] ?? {}), [
    'globalSeq',
    'stream',
    'revision',
    'type',
    'schemaVersion',
    'time',
    'timeUs',
    'cause',
    'data',
    'hash',
    'previousHash',
  ]);
  const some = await asked('events', '--from', '2', '--to', '3');
  assert.equal(some.trimEnd().split('\n').length, 2);
  const nodeOnly = (await asked('events', '--stream', 'node', '--json')).trimEnd().split('\n');
  assert.ok(nodeOnly.every((line) => line.includes('"stream":"node"')));
  const commits = await asked('events', '--type', 'SnapshotCommitted');
  assert.match(commits, /^ +\d+ .* snapshot-\d+ .* SnapshotCommitted .* The commit succeeded/);
});

test('events --follow shows what comes, and ends with 130 on Ctrl-C without a word', async () => {
  const args = ['events', '--follow', '--json', '--stream', 'snapshot-*'];
  const child = startVarve([...args, '--address', daemon.address]);
  let stderr = '';
  child.stderr?.on('data', (chunk) => (stderr += String(chunk)));
  assert.ok(child.stdout);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.match((await lines.next()).value as string, /SnapshotPrepared/);
  const key = 'default/5/followed';
  await daemon.snapshots.call(snapshotsDefinition.prepare, { snapshotter: 'varve', key });
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    if (next.value.includes(key)) break;
  }
  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 130);
  assert.equal(stderr, '');
  await daemon.snapshots.call(snapshotsDefinition.remove, { snapshotter: 'varve', key });
});

test('a reader that has seen enough is no failure', async () => {
  const command =
    '"$NODE" "$MAIN" events --json --address "$A" | head -n 1; echo "${PIPESTATUS[0]}"';
  const child = spawn('bash', ['-c', command], {
    env: { ...process.env, NODE: process.execPath, MAIN: program, A: daemon.address },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
  await once(child, 'close');
  const [first = '', code] = Buffer.concat(output).toString().trimEnd().split('\n');
  assert.match(first, /"globalSeq":1,/);
  assert.equal(code, '0');
});

test('replay shows the node as it was, diff what changed since', async () => {
  const before = await json('replay', '--at', '2');
  assert.equal(before['position'], 2);
  assert.deepEqual(before['snapshots'], []);
  const now = await json('replay');
  assert.ok((now['snapshots'] as unknown[]).length >= 2);
  assert.match(await asked('replay'), /^Position \d+, \d{4}-/);
  const diff = await json('diff', '--from', '2');
  assert.equal(diff['format'], 'varve-diff');
  assert.match(await asked('diff', '--from', '2'), /^\+ #\d+ default\/3\/box \(active\)$/m);
});

test('verify finds the live state equal to its history', async () => {
  const result = await json('verify');
  assert.equal(result['equal'], true);
  assert.match(await asked('verify'), /^Equal: \d+ events folded, from 1 to \d+\.$/m);
});

test('an exported history is read without the daemon, by every command that can', async () => {
  const file = path.join(place.path, 'history.ndjson');
  assert.match(await asked('export', file), /history\.ndjson: /);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(
    readdirSync(place.path).filter((name) => name.includes('partial')),
    [],
  );
  const alone = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await varve([...args, '--file', file]);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    return stdout;
  };
  const live = await json('replay', '--at', '5');
  assert.deepEqual(JSON.parse(await alone('replay', '--at', '5', '--json')), live);
  const diff = await json('diff', '--from', '2', '--to', '5');
  assert.deepEqual(JSON.parse(await alone('diff', '--from', '2', '--to', '5', '--json')), diff);
  assert.match(await alone('verify'), /^Equal: /);
  assert.deepEqual(
    JSON.parse(await alone('why', 'default/4/gone', '--json')),
    await json('why', 'default/4/gone'),
  );
  assert.equal(
    await alone('events', '--to', '5', '--json'),
    await asked('events', '--to', '5', '--json'),
  );
  const piped = await varve(['replay', '--file', '-', '--json'], { input: readFileSync(file) });
  assert.equal(piped.code, 0);
});

test('export - writes the same lines to stdout', async () => {
  const lines = (await asked('export', '-')).trimEnd().split('\n');
  assert.match(lines[0] ?? '', /"format":"varve-history"/);
  assert.match(lines.at(-1) ?? '', /"kind":"trailer"/);
});

test('a damaged or cut export is refused with its line', async () => {
  const file = path.join(place.path, 'cut.ndjson');
  const whole = await asked('export', '-');
  writeFileSync(file, whole.slice(0, whole.lastIndexOf('{"kind":"trailer"')));
  const cut = await varve(['verify', '--file', file]);
  assert.equal(cut.code, 6);
  assert.match(cut.stderr, /^varve: .*cut\.ndjson: line \d+: the file ends early, after event \d+/);
  const before = await varve(['events', '--to', '3', '--json', '--file', file]);
  assert.deepEqual([before.code, before.stdout.trimEnd().split('\n').length], [0, 3]);
  writeFileSync(file, whole.slice(0, whole.lastIndexOf('{"kind":"trailer"') - 9));
  const torn = await varve(['verify', '--file', file]);
  assert.equal(torn.code, 6);
  assert.match(
    torn.stderr,
    /line \d+: the file ends within this line, after event \d+: --at \d+ shows/,
  );
  writeFileSync(file, whole.replace('"SnapshotPrepared"', '"SnapshotPrepareD"'));
  assert.equal((await varve(['replay', '--file', file])).code, 6);
});

test('status tells that the node serves', async () => {
  assert.match(await asked('status'), /^health +serving$/m);
  const status = await json('status');
  assert.equal(status['condition'], 'serving');
});

test('config dump tells every value and where it came from', async () => {
  const text = await asked('config', 'dump');
  assert.match(text, /^root +\S+ +flag --root$/m);
  assert.match(text, /^retention\.maxAgeMs +604800000 +default$/m);
  assert.match(text, /^exporterConfig\.port +9863 +default$/m);
  assert.match(text, /^rwMode +overlayfs +default$/m);
  const document = await json('config', 'dump');
  assert.equal((document['origins'] as Record<string, string>)['address'], 'flag --address');
});

test('an unknown key ends with 4 and names the nearest', async () => {
  await refused(4, /"default\/3\/bax"; did you mean "default\/3\/box"\?/, 'show', 'default/3/bax');
  await refused(4, /did you mean "default\/4\/gone"/, 'why', 'default/4/gonn');
  // As a user of containerd knows them.
  await refused(4, /"box"; did you mean "default\/3\/box"\?/, 'show', 'box');
  await refused(4, /"gone"; did you mean "default\/4\/gone"\?/, 'why', 'gone');
});

test('a position beyond the history ends with 5', async () => {
  await refused(5, /99999/, 'replay', '--at', '99999');
  await refused(5, /99999/, 'diff', '--from', '99999');
});

test('positions begin at 1: 0 stands for nothing but the beginning that diff compares with', async () => {
  const file = path.join(place.path, 'zero.ndjson');
  await asked('export', file);
  for (const source of [[], ['--file', file]]) {
    for (const args of [
      ['replay', '--at', '0'],
      ['events', '--from', '0'],
      ['events', '--to', '0'],
      ['diff', '--from', '0', '--to', '0'],
    ]) {
      await refused(2, /'0' is invalid\. Positions begin at 1/, ...args, ...source);
    }
  }
  assert.match(await asked('diff', '--from', '0', '--to', '1'), /^From 0 to 1 /);
});

test('events refuses positions beyond the end, from the daemon and from a file alike', async () => {
  const file = path.join(place.path, 'end.ndjson');
  await asked('export', file);
  for (const source of [[], ['--file', file]]) {
    await refused(5, /position 99999 .* name one /, 'events', '--from', '99999', ...source);
    await refused(5, /position 99999 .* name one /, 'events', '--to', '99999', ...source);
  }
});

test('events refuses a type or stream that no event can have, and names the nearest', async () => {
  await refused(
    2,
    /no event type "snapshotprepared"; did you mean SnapshotPrepared\?/,
    'events',
    '--type',
    'snapshotprepared',
  );
  await refused(
    2,
    /no event type "Zzzzzzzz"; docs\/events\.md lists them/,
    'events',
    '--type',
    'Zzzzzzzz',
  );
  for (const stream of ['nope', 'snapshot-x', 'snapshots*', '']) {
    await refused(
      2,
      /there is no stream ".*": name node, snapshot-<id>, device-<id>, snapshot-\* or device-\*/,
      'events',
      '--stream',
      stream,
    );
  }
  for (const stream of ['*', 'no*', 'node*', 'snap*', 'snapshot-1*'])
    await asked('events', '--stream', stream);
});

test('show of a removed key says where to look, and tells of no history that it does not have', async () => {
  await refused(
    4,
    /no snapshot has the key or name "default\/4\/gone"; .*varve why tells of removed/,
    'show',
    'default/4/gone',
  );
  await refused(4, /no snapshot has the key or name ""; varve ls lists what there is/, 'show', '');
});

test('export into a directory that is not there says so and leaves nothing', async () => {
  const file = path.join(place.path, 'absent', 'x');
  await refused(1, /absent\/x: no such directory: make it first/, 'export', file);
  assert.equal(existsSync(path.dirname(file)), false);
});

test('the daemon may be named by flag, by environment, or before the command', async () => {
  const admin = path.join(path.dirname(daemon.address), 'admin.sock');
  assert.equal((await varve(['ls', '--admin-address', admin])).code, 0);
  assert.equal((await varve(['ls'], { env: { VARVE_ADMIN_ADDRESS: admin } })).code, 0);
  assert.equal((await varve(['ls'], { env: { VARVE_ADDRESS: daemon.address } })).code, 0);
  assert.equal((await varve(['--address', daemon.address, 'ls'])).code, 0);
});

test('repair refuses while the daemon runs', async () => {
  const { code, stderr } = await varve(['repair', '--root', daemon.root]);
  assert.equal(code, 1);
  assert.match(stderr, /another varve \(process \d+\) uses the root .*: stop it first/);
});

test('history that is compacted away is refused, from the daemon and from a file alike', async (t) => {
  const admin = new TestClient(path.join(path.dirname(daemon.address), 'admin.sock'));
  t.after(() => admin.close());
  const { code, details } = await admin.call(controlDefinition.compact, { throughSeq: 5 });
  assert.equal(code, 0, details);
  const file = path.join(place.path, 'compacted.ndjson');
  await asked('export', file);
  await refused(5, /the log begins at 6, .* ask from there on/, 'events', '--from', '1');
  await refused(5, /the log begins at 6, .* --from 6/, 'events', '--from', '1', '--follow');
  await refused(5, /name one from 6 to \d+/, 'events', '--from', '1', '--file', file);
  const { stdout } = await varve(['events', '--from', '6', '--json', '--file', file]);
  assert.equal(stdout, await asked('events', '--from', '6', '--json'));
});

test('the daemon goes on when nobody reads its output, and ends in order on Ctrl-C', async (t) => {
  const other = scratch();
  t.after(() => other.remove());
  const deaf = await Daemon.start(other.path, ['--log-level', 'trace']);
  t.after(() => deaf.stop('SIGKILL'));
  deaf.stopReading();
  for (const key of ['a', 'b', 'c']) {
    const { code } = await deaf.snapshots.call(snapshotsDefinition.prepare, { key });
    assert.equal(code, 0);
  }
  const events = await varve(['events', '--address', deaf.address, '--type', 'SnapshotPrepared']);
  assert.equal(events.stdout.trimEnd().split('\n').length, 3);
  assert.equal(await deaf.stop('SIGINT'), 0);
});
