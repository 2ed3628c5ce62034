// `varve-layer apply` and `create --mkfs`: file systems in layers, without mounting anything.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { runTool, sha256, tool, writeConfig } from './layer-tool.ts';
import { scratchDirectory } from './scratch.ts';

/** A tar of a folder with a few files, and of what is below a name of it. */
function makeTar(directory: string, name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(directory, `${name}.d`);
  mkdirSync(join(folder, 'etc'), { recursive: true });
  for (const [path, content] of Object.entries(files)) writeFileSync(join(folder, path), content);
  const tar = join(directory, `${name}.tar`);
  const options = ['--format=pax', '--sort=name', '--mtime=@1700000000', '--owner=7', '--group=8'];
  execFileSync('tar', [...options, '-C', folder, '-cf', tar, '.']);
  return tar;
}

/** The writable layer of a test, and its configuration. */
interface Upper {
  readonly data: string;
  readonly index: string;
  readonly config: string;
}

function makeUpper(folder: string, lowers: readonly string[], ...options: string[]): Upper {
  mkdirSync(folder);
  const [data, index] = [join(folder, 'data'), join(folder, 'index')];
  tool('create', ...options, data, index, lowers.length > 0 ? '0' : '64M');
  const config = writeConfig(join(folder, 'config.v1.json'), {
    lowers: lowers.map((file) => ({ file })),
    upper: { data, index },
  });
  return { data, index, config };
}

/** What a file in the ext4 of a disk holds; e2fsck finds nothing wrong with that ext4. */
function contentOf(image: string, path: string): string {
  const check = spawnSync('e2fsck', ['-fn', image], { encoding: 'utf8' });
  assert.equal(check.status, 0, check.stdout);
  return execFileSync('debugfs', ['-R', `cat ${path}`, image], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

test('a tar becomes a layer, the same one every time, however it comes', (t) => {
  const directory = scratchDirectory(t);
  const tar = makeTar(directory, 'layer', { 'etc/name': 'one\n', file: 'x'.repeat(100_000) });
  const plain = readFileSync(tar);
  const gzipped = join(directory, 'layer.tar.gz');
  writeFileSync(gzipped, gzipSync(plain));
  const commit = (name: string, apply: (upper: Upper) => void): string => {
    const upper = makeUpper(join(directory, name), []);
    apply(upper);
    const layer = join(directory, name, 'layer');
    tool('commit', '-z', upper.data, upper.index, layer);
    assert.equal(runTool(['verify', layer]).status, 0);
    return layer;
  };
  const layer = commit('plain', ({ config }) => tool('apply', '--mkfs', tar, config));
  const others = [
    commit('gzip', ({ config }) => tool('apply', '--mkfs', gzipped, config)),
    commit('pipe', ({ config }) => {
      const { status, stderr } = runTool(['apply', '--mkfs', '-', config], plain);
      assert.equal(status, 0, stderr);
    }),
  ];
  for (const other of others) assert.ok(readFileSync(other).equals(readFileSync(layer)), other);
  const image = join(directory, 'image');
  tool('export', layer, image);
  assert.equal(contentOf(image, '/etc/name'), 'one\n');
  assert.equal(contentOf(image, '/file'), 'x'.repeat(100_000));
});

test('a second layer changes what the first one brought, and leaves its file alone', (t) => {
  const directory = scratchDirectory(t);
  const first = makeUpper(join(directory, 'first'), []);
  tool(
    'apply',
    '--mkfs',
    makeTar(directory, 'a', { 'etc/old': 'old', kept: 'kept' }),
    first.config,
  );
  const layer = join(directory, 'layer');
  tool('commit', first.data, first.index, layer);
  const before = readFileSync(layer);
  const second = makeUpper(join(directory, 'second'), [layer]);
  const tar = makeTar(directory, 'b', { 'etc/.wh.old': '', 'etc/new': 'new' });
  const result = tool('apply', '--json', tar, second.config);
  const { tarBytes, seconds } = JSON.parse(result) as {
    tarBytes: number;
    seconds: { apply: number; durable: number };
  };
  assert.equal(tarBytes, readFileSync(tar).length);
  assert.ok(seconds.apply > 0 && seconds.durable > 0, result);
  assert.ok(readFileSync(layer).equals(before));
  const image = join(directory, 'image');
  tool('export', second.config, image);
  assert.equal(contentOf(image, '/etc/old'), '');
  assert.equal(contentOf(image, '/etc/new'), 'new');
  assert.equal(contentOf(image, '/kept'), 'kept');
});

test('a tar goes onto a disk as it is, and is held against its checksum', (t) => {
  const directory = scratchDirectory(t);
  const tar = makeTar(directory, 'layer', { file: 'content' });
  const image = join(directory, 'image');
  writeFileSync(image, new Uint8Array(32 << 20));
  const sum = sha256(readFileSync(tar));
  tool('apply', '--raw', '--mkfs', '--checksum', `sha256:${sum}`, tar, image);
  assert.equal(contentOf(image, '/file'), 'content');
  const wrong = createHash('sha256').digest('hex');
  const before = sha256(readFileSync(image));
  const applyWrong = (...options: readonly string[]): string => {
    const refused = runTool([
      ...['apply', '--raw', '--checksum', `sha256:${wrong}`],
      ...[...options, tar, image],
    ]);
    assert.equal(refused.status, 1);
    assert.ok(refused.stderr.includes(sum) && refused.stderr.includes(wrong), refused.stderr);
    return refused.stderr;
  };
  // So small a tar is known to be the wrong one before anything of it reaches the disk.
  assert.match(applyWrong(), /image is as it was: nothing was written/);
  assert.equal(sha256(readFileSync(image)), before);
  assert.match(applyWrong('--mkfs'), /may hold a part of it: throw it away/);
});

test('a disk on which nothing was written is not called spoiled', (t) => {
  const directory = scratchDirectory(t);
  const tar = makeTar(directory, 'layer', { file: 'content' });
  const { data, config } = makeUpper(join(directory, 'upper'), [], '--mkfs');
  const before = readFileSync(data);
  const image = join(directory, 'image');
  writeFileSync(image, new Uint8Array(1 << 20));
  const refusals: readonly (readonly string[])[] = [
    [join(directory, 'absent'), config],
    ['--raw', tar, image],
    [config, config],
  ];
  for (const args of refusals) {
    const { status, stderr } = runTool(['apply', ...args]);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /is as it was: nothing was written/, args.join(' '));
    assert.doesNotMatch(stderr, /throw it away/);
  }
  for (const checksum of ['md5:1', `sha256:${'x'.repeat(64)}`, `sha256:${'0'.repeat(65)}`]) {
    const { status, stderr } = runTool(['apply', '--checksum', checksum, tar, config]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /--checksum: .* is not sha256: and 64 hexadecimal digits/);
  }
  assert.ok(readFileSync(data).equals(before));
});

test('a new layer may have an ext4 in it', (t) => {
  const directory = scratchDirectory(t);
  for (const [name, options] of Object.entries({ append: [], sparse: ['-s'] })) {
    const { data, index, config } = makeUpper(join(directory, name), [], '--mkfs', ...options);
    assert.equal(runTool(['verify', data, '--index', index]).status, 0);
    const image = join(directory, `${name}.img`);
    tool('export', config, image);
    assert.equal(contentOf(image, '/absent'), '');
  }
  const refused = runTool(['create', '--mkfs', join(directory, 'd'), join(directory, 'i'), '0']);
  assert.equal(refused.status, 2);
});

test('an image without a writable layer takes no tar', (t) => {
  const directory = scratchDirectory(t);
  const { data, index } = makeUpper(join(directory, 'upper'), []);
  const layer = join(directory, 'layer');
  tool('commit', data, index, layer);
  const config = writeConfig(join(directory, 'config'), { lowers: [{ file: layer }] });
  const refused = runTool(['apply', makeTar(directory, 'a', { file: '' }), config]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /names no writable layer; make one with varve-layer create/);
});
