// varve-layer, the real program: what it makes of the golden layers, and what it says.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';

import { findNativeFile } from '../../src/adapters/native/location.ts';
import {
  copyFixture,
  expectations,
  fixture,
  inspect,
  rangeArguments,
  readJson,
  runTool,
  sha256,
  tool,
  type ImageConfig,
  type ZFileFacts,
  writeConfig,
} from './layer-tool.ts';
import { scratchDirectory, until } from './scratch.ts';

/** Whole devices up to this size are read; of larger ones the ranges. */
const wholeMax = 64 << 20;

test('every golden device has the content that its expectation says', (t) => {
  const directory = scratchDirectory(t);
  const all = expectations();
  assert.ok(all.length >= 30, `${all.length} expectations`);
  for (const expected of all) {
    const folder = expected.name.split('/')[0] ?? '';
    const isWritable = folder.startsWith('rw-') || folder.startsWith('tcmu-rw');
    const config = isWritable
      ? copyFixture(folder, join(directory, folder))
      : fixture(expected.name);
    const lines = tool('checksum', config, ...rangeArguments(expected))
      .trim()
      .split('\n');
    assert.deepEqual(
      lines,
      expected.ranges.map((range) => range.sha256),
      expected.name,
    );
    if (expected.sha256 !== null && expected.virtualSize <= wholeMax) {
      assert.equal(tool('checksum', config), `${expected.sha256}\n`, expected.name);
    }
  }
});

test('a range behind the end of the device is refused', () => {
  const config = fixture('stack3/config.v1.json');
  const refused = runTool(['checksum', config, '--range', '20M:1']);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /--range 20M:1: ends behind the device, which has 20 MiB/);
  assert.equal(runTool(['checksum', config, '--range', '5']).status, 2);
});

/** The options with which a ZFile was written. */
const compressOptions = (zfile: ZFileFacts): readonly string[] => [
  ...['--algorithm', zfile.algorithm],
  ...['--bs', String(zfile.blockSize / 1024)],
  ...(zfile.hasChecksums ? [] : ['--no-checksums']),
  zfile.describedBy === 'header' ? '--final-header' : '--no-final-header',
];

test('golden ZFiles, decompressed and compressed again, are the same bytes', (t) => {
  const directory = scratchDirectory(t);
  const names = [
    ...readdirSync(fixture('zfile')).filter((name) => !name.endsWith('.json')),
    ...['tar/commit-lz4.tar', 'tar/zfile-zstd.tar', 'zfile-noise-64k/layer'],
    ...['huge/layer.lz4', 'lsmt-commit-sealed/layer.lz4', 'ext4-apply/layer1.tar'],
  ].map((name) => (name.includes('/') ? name : `zfile/${name}`));
  for (const name of names) {
    const plain = join(directory, 'plain');
    const again = join(directory, 'again');
    tool('decompress', '-f', fixture(name), plain);
    const facts = inspect(fixture(name));
    const wrapping = facts.tar === undefined ? [] : ['-t'];
    tool('compress', '-f', ...wrapping, ...compressOptions(facts.zfile), plain, again);
    assert.ok(readFileSync(again).equals(readFileSync(fixture(name))), name);
    // Any number of threads gives the same.
    const threads = ['--threads', '3'];
    tool('compress', '-f', ...threads, ...wrapping, ...compressOptions(facts.zfile), plain, again);
    assert.ok(readFileSync(again).equals(readFileSync(fixture(name))), `${name} by 3 threads`);
  }
  assert.deepEqual(readdirSync(directory).sort(), ['again', 'plain']);
});

interface PlainFile {
  readonly file: string;
  readonly algorithm: string;
  readonly blockSize: number;
  readonly originalSha256: string;
}

test('ZFiles of ordinary content give that content, from a file and from a pipe', (t) => {
  const directory = scratchDirectory(t);
  const expected = readJson(fixture('zfile-plain/expected.json')) as readonly PlainFile[];
  assert.ok(expected.length > 4);
  for (const { file, algorithm, blockSize, originalSha256 } of expected) {
    const path = fixture(`zfile-plain/${file}`);
    const plain = join(directory, file);
    tool('decompress', path, plain);
    const content = readFileSync(plain);
    assert.equal(sha256(content), originalSha256, file);
    assert.match(tool('inspect', path), /The content is no layer/);
    assert.equal(runTool(['verify', path]).status, 0, file);
    const piped = join(directory, `${file}.piped`);
    const options = ['--algorithm', algorithm, '--bs', String(blockSize / 1024)];
    const result = runTool(['compress', ...options, '-', piped], content);
    assert.equal(result.status, 0, result.stderr);
    assert.ok(readFileSync(piped).equals(readFileSync(path)), file);
  }
});

/** The options that give a layer the identity of another one. */
function identityOf(path: string): readonly string[] {
  const { uuid, parentUuid, userTag } = inspect(path).trailer;
  return [
    ...(uuid === null ? [] : ['--uuid', uuid]),
    ...(parentUuid === null ? [] : ['-p', parentUuid]),
    ...(userTag === '' ? [] : ['-m', userTag]),
  ];
}

test('a finished layer committed again is the same bytes', (t) => {
  const directory = scratchDirectory(t);
  const commit = (source: string, golden: string, ...options: readonly string[]): void => {
    const target = join(directory, 'layer');
    const identity = identityOf(fixture(golden));
    tool('commit', '--commit_sealed', '-f', ...options, ...identity, fixture(source), target);
    assert.ok(readFileSync(target).equals(readFileSync(fixture(golden))), `${source}, ${golden}`);
  };
  commit('lsmt-raw/layer.lsmt', 'lsmt-raw/layer.lsmt');
  commit('lsmt-sealed/layer.sealed', 'lsmt-commit-sealed/layer.lz4', '-z');
  commit('zfile/lz4-16k', 'zfile/zstd-64k', '-z', '--algorithm', 'zstd', '--bs', '64');
  commit('tar/ustar-raw.tar', 'tar/commit-lz4.tar', '-z', '-t');
});

for (const folder of ['rw-append', 'rw-append-group', 'rw-sparse']) {
  test(`${folder} keeps its content when it is committed and when it is sealed`, (t) => {
    const directory = scratchDirectory(t);
    const config = copyFixture(folder, join(directory, folder));
    const { lowers = [] } = readJson(config) as ImageConfig;
    const [data, index] = ['data', 'index'].map((name) => join(directory, folder, name));
    assert.ok(data !== undefined && index !== undefined);
    const before = readFileSync(data);
    const expected = expectations().find(({ name }) => name === `${folder}/config.v1.json`);
    const contentWith = (layer: string): string => {
      const path = join(directory, 'config.json');
      return tool('checksum', writeConfig(path, { lowers: [...lowers, { file: layer }] })).trim();
    };
    const formats = [[], ['-z'], ['-t'], ['-z', '-t', '--algorithm', 'zstd', '--bs', '16']];
    for (const format of formats) {
      const layer = join(directory, 'layer');
      tool('commit', '-f', ...format, data, index, layer);
      assert.equal(contentWith(layer), expected?.sha256, `${folder} ${format.join(' ')}`);
      assert.equal(runTool(['verify', layer]).status, 0);
    }
    assert.ok(readFileSync(data).equals(before), 'a commit leaves the data as it was');
    tool('commit', '--seal', data, index);
    const sealed = readFileSync(data);
    // Again, also when the index has gone meanwhile.
    rmSync(index);
    assert.match(tool('commit', '--seal', data, index), /sealed already/);
    assert.ok(readFileSync(data).equals(sealed), 'what is sealed stays as it is');
    assert.equal(contentWith(data), expected?.sha256);
    assert.match(tool('inspect', data), /Layer: finished \(sealed in place\)/);
    assert.equal(runTool(['verify', data]).status, 0);
  });
}

/** A layer without the layer numbers in its index, which the format leaves open. */
function withoutLayerNumbers(path: string): Buffer {
  const bytes = readFileSync(path);
  const { indexOffset, indexEntries } = inspect(path).trailer;
  for (let entry = 0; entry < indexEntries; entry += 1) bytes[indexOffset + entry * 16 + 15] = 0;
  return bytes;
}

test('a stack is merged into the layer that upstream makes of it', (t) => {
  const directory = scratchDirectory(t);
  const config = fixture('stack3/config.v1.json');
  const merged = join(directory, 'merged');
  tool('merge', '--no-compress', ...identityOf(fixture('merged/merged.lsmt')), config, merged);
  const golden = withoutLayerNumbers(fixture('merged/merged.lsmt'));
  assert.ok(withoutLayerNumbers(merged).equals(golden));
  const expected = expectations().find(({ name }) => name === 'merged/config.v1.json');
  for (const format of [[], ['--algorithm', 'zstd', '--bs', '64', '-t'], ['--no-compress', '-t']]) {
    tool('merge', '-f', ...format, config, merged);
    assert.equal(tool('checksum', merged).trim(), expected?.sha256, format.join(' '));
    assert.equal(runTool(['verify', merged]).status, 0);
  }
});

test('an image with a writable layer is merged with it', (t) => {
  const directory = scratchDirectory(t);
  const config = copyFixture('rw-append', join(directory, 'rw'));
  const merged = join(directory, 'merged');
  tool('merge', config, merged);
  const expected = expectations().find(({ name }) => name === 'rw-append/config.v1.json');
  assert.equal(tool('checksum', merged).trim(), expected?.sha256);
});

test('a device is exported to a file with holes', (t) => {
  const directory = scratchDirectory(t);
  for (const name of ['stack3/config.v1.json', 'lsmt-raw/config.v1.json']) {
    const image = join(directory, 'image');
    tool('export', '-f', fixture(name), image);
    const expected = expectations().find((one) => one.name === name);
    assert.equal(statSync(image).size, expected?.virtualSize);
    assert.equal(sha256(readFileSync(image)), expected?.sha256, name);
    assert.ok(statSync(image).blocks * 512 < statSync(image).size / 4, name);
  }
  // Of one of 1.3 TiB only what is written takes time and room.
  const huge = join(directory, 'huge');
  const refused = runTool(['export', fixture('huge/config.v1.json'), huge]);
  if (refused.status === 0) {
    assert.equal(statSync(huge).size, 1421634174976);
    assert.ok(statSync(huge).blocks * 512 < 64 << 20);
  } else {
    // Some file systems hold no file of that size.
    assert.match(refused.stderr, /File too large/);
  }
});

test('a new layer has the size and the identity that were asked for', (t) => {
  const directory = scratchDirectory(t);
  const uuid = '3fc7f4b7-215e-49d4-89c7-c155c53f17c2';
  const parent = '11111111-2222-4333-8444-555555555555';
  const sizes: readonly (readonly [readonly string[], number])[] = [
    [['1'], 1 << 30],
    [['512M'], 512 << 20],
    [['--size', '1048576'], 1 << 20],
    [['--size', '3K'], 3072],
    [['0'], 0],
  ];
  for (const [number, [size, bytes]] of sizes.entries()) {
    for (const sparse of [[], ['-s']]) {
      const folder = join(directory, `${number}${sparse.join('')}`);
      mkdirSync(folder);
      const [data, index] = [join(folder, 'data'), join(folder, 'index')];
      const identity = ['--uuid', uuid, '-u', parent, '-m', 'tag'];
      tool('create', ...sparse, ...identity, data, index, ...size);
      assert.deepEqual(readdirSync(folder).sort(), ['data', 'index']);
      const facts = inspect(data, '--index', index);
      assert.equal(facts.virtualSize, bytes);
      assert.equal(facts.kind, `writable, ${sparse.length > 0 ? 'sparse' : 'append-only'}`);
      assert.equal(facts.header.uuid, uuid.toUpperCase());
      assert.equal(facts.header.parentUuid, parent);
      assert.equal(facts.header.userTag, 'tag');
      assert.equal(statSync(data).size, sparse.length > 0 ? 4096 + bytes : 4096);
      assert.equal(runTool(['verify', data, '--index', index]).status, 0);
      const layer = join(folder, 'layer');
      tool('commit', data, index, layer);
      assert.equal(statSync(layer).size, 8192);
    }
  }
});

test('what makes no sense is refused with 2, what cannot be done with 1', (t) => {
  const directory = scratchDirectory(t);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  const layer = fixture('lsmt-raw/layer.lsmt');
  const misuses: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /subcommand/i],
    [['nonsense'], /there is no command nonsense; see varve-layer --help/],
    [['create', data], /INDEX/],
    [['create', data, index], /give the size of the device once/],
    [['create', data, index, '1', '--size', '1G'], /give the size of the device once/],
    [['create', data, index, '1073741824'], /a plain number counts GiB here/],
    [['create', data, index, '--size', '1000'], /whole number of sectors/],
    [['create', data, index, '1', '--uuid', 'x\u001b'], /--uuid: x\\x1b is no UUID/],
    [['create', data, index, '1', '-m', 'x'.repeat(257)], /the user tag has 257 bytes/],
    [['commit', layer, index], /name three files/],
    [['commit', '--seal', '--commit_sealed', layer, index], /exclude each other/],
    [['compress', '--bs', '5', layer, data], /5 not in/],
    [['verify', layer, '--index', layer], /no writable layer/],
  ];
  for (const [args, message] of misuses) {
    const { status, stdout, stderr } = runTool(args);
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, message);
    assert.equal(stdout, '');
  }
  const failures: readonly (readonly [readonly string[], RegExp])[] = [
    [['inspect', join(directory, 'absent')], /absent: cannot be opened: No such file/],
    [['inspect', directory], /is not a regular file/],
    [['inspect', fixture('README.md')], /is no layer: it begins neither like/],
    [['inspect', fixture('rw-append/data')], /name that file, too/],
    [['inspect', fixture('rw-append/index')], /is the index of a writable layer/],
    [['decompress', layer, data], /is not compressed/],
    [['compress', layer, join(directory, 'no/such')], /no file can be made beside it/],
    [['compress', layer, directory], /exists already/],
    [['compress', '-f', layer, directory], /is not a regular file and is not replaced/],
    [
      ['commit', layer, fixture('rw-append/index'), data],
      /a finished layer, which cannot be written/,
    ],
    [['checksum', fixture('bad/cases.json')], /cases\.json/],
  ];
  for (const [args, message] of failures) {
    const { status, stdout, stderr } = runTool(args);
    assert.equal(status, 1, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, message);
    assert.equal(stdout, '');
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('a file that is there is left as it is unless it is to be replaced', (t) => {
  const directory = scratchDirectory(t);
  const target = join(directory, 'target');
  writeFileSync(target, 'precious');
  const layer = fixture('lsmt-raw/layer.lsmt');
  const writing = [
    ['compress', layer, target],
    ['decompress', fixture('zfile/lz4-4k'), target],
    ['commit', '--commit_sealed', layer, target],
    ['merge', fixture('stack3/config.v1.json'), target],
    ['export', layer, target],
  ];
  for (const args of writing) {
    const refused = runTool(args);
    assert.equal(refused.status, 1, args.join(' '));
    assert.match(refused.stderr, /exists already/);
    assert.equal(readFileSync(target, 'utf8'), 'precious');
  }
  assert.equal(runTool(['create', target, join(directory, 'index'), '1']).status, 1);
  assert.equal(runTool(['create', join(directory, 'data'), target, '1']).status, 1);
  assert.deepEqual(readdirSync(directory), ['target']);
  for (const [command = '', ...args] of writing) {
    tool(command, '-f', ...args);
    assert.notEqual(readFileSync(target).length, 8);
  }
});

test('an output is none of the inputs, whatever it is called', (t) => {
  const directory = scratchDirectory(t);
  const path = (name: string): string => join(directory, name);
  tool('create', path('data'), path('index'), '1');
  const layer = path('layer.lz4');
  copyFileSync(fixture('stack3/layer0.lz4'), layer);
  const config = writeConfig(path('config.json'), {
    lowers: [{ file: layer }],
    upper: { data: path('data'), index: path('index') },
  });
  linkSync(layer, path('link'));
  const contents = (): readonly string[] =>
    readdirSync(directory).map((name) => `${name} ${sha256(readFileSync(path(name)))}`);
  const before = contents();
  const replacing = [
    ['commit', path('data'), path('index'), path('data')],
    ['commit', path('data'), path('index'), path('index')],
    ['commit', '--commit_sealed', layer, path('link')],
    ['merge', config, config],
    ['merge', config, layer],
    ['merge', config, `${directory}/./index`],
    ['compress', layer, layer],
    ['decompress', layer, path('link')],
    ['export', config, path('data')],
    ['export', path('data'), '--index', path('index'), path('index')],
  ];
  for (const [command = '', ...args] of replacing) {
    const { status, stderr } = runTool([command, '-f', ...args]);
    assert.equal(status, 2, `${command} ${args.join(' ')}: ${stderr}`);
    assert.match(stderr, /is what is read here.*give another name/);
  }
  for (const [command = '', ...args] of replacing) {
    const { status, stderr } = runTool([command, ...args.slice(0, -1), '-']);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /-: the output cannot go to standard output/);
  }
  const same = runTool(['create', path('new'), `${directory}/./new`, '1']);
  assert.equal(same.status, 2);
  assert.match(same.stderr, /DATA and INDEX are two files/);
  assert.deepEqual(contents(), before);
});

test('an option that would do nothing is refused, and one that says no is heard', (t) => {
  const directory = scratchDirectory(t);
  const [data, index, layer] = ['data', 'index', 'layer'].map((name) => join(directory, name));
  assert.ok(data !== undefined && index !== undefined && layer !== undefined);
  tool('create', data, index, '1');
  const config = fixture('stack3/config.v1.json');
  const uuid = '3fc7f4b7-215e-49d4-89c7-c155c53f17c2';
  const compression = [
    ['--algorithm', 'zstd'],
    ['--bs', '64'],
    ['--threads', '2'],
    ['--no-checksums'],
    ['--final-header'],
    ['--no-final-header'],
  ];
  const others = [['-z'], ['-t'], ['-m', 'tag'], ['--uuid', uuid], ['-p', uuid], ['-f']];
  const refused = [
    ...[...compression, ...others].map((option) => ['commit', '--seal', ...option, data, index]),
    ...compression.map((option) => ['commit', ...option, data, index, layer]),
    ...compression.map((option) => ['merge', '--no-compress', ...option, config, layer]),
    ['commit', '--commit_sealed', '--drop-lost-writes', fixture('lsmt-raw/layer.lsmt'), layer],
  ];
  for (const args of refused) {
    const { status, stderr } = runTool(args);
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, /: has no effect here: /, args.join(' '));
  }
  const twice = runTool(['create', '-u', uuid, '-p', uuid, `${data}2`, `${index}2`, '1']);
  assert.equal(twice.status, 2, twice.stderr);
  assert.deepEqual(readdirSync(directory).sort(), ['data', 'index']);
  for (const option of ['--compress=false', '--no-compress']) {
    tool('merge', '-f', option, config, layer);
    assert.equal(inspect(layer).zfile, undefined, option);
  }
  tool('merge', '-f', '--no-compress=false', '--no-checksums=false', config, layer);
  assert.equal(inspect(layer).zfile.hasChecksums, true);
});

test('what overlaybd has and this has not is refused by name', (t) => {
  const directory = scratchDirectory(t);
  const [one, two] = [join(directory, 'one'), join(directory, 'two')];
  const unsupported = [
    ['create', '--turboOCI', one, two, '1'],
    ['create', '--fastoci', one, two, '1'],
    ['create', '--verbose', one, two, '1'],
    ['commit', one, two, '--verbose'],
    ['commit', '--turboOCI', one, two],
    ['commit', '--fastoci', one, two, 'three'],
    ['commit', '--upload', 'http://localhost/', one, two],
    ['commit', one, two, '--upload=http://localhost/'],
    ['merge', '--upload', 'http://localhost/', one, two],
    ['apply', '--from_qcow2', one, two],
    ['merge', '--service_config_path', one, two, two],
    ['apply', '--gz_index_path', one, two, two],
    ['apply', '--service_config_path', one, two, two],
    ['apply', '--no-extract-rootfs', one, two],
    ['apply', one, two, '--verbose'],
  ];
  for (const args of unsupported) {
    const { status, stderr } = runTool(args);
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, /--[-a-zA-Z_0-9]+: is not supported yet/, args.join(' '));
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('control characters of a path do not reach the terminal, letters do', (t) => {
  const directory = scratchDirectory(t);
  const odd = join(directory, 'ä\u001b[31m\n');
  assert.ok(runTool(['inspect', odd]).stderr.includes('ä\\x1b[31m\\x0a: cannot be opened'));
  copyFileSync(fixture('lsmt-raw/layer.lsmt'), odd);
  for (const command of ['verify', 'inspect']) {
    assert.ok(tool(command, odd).includes('ä\\x1b[31m\\x0a: '), command);
  }
  const ranges = join(directory, 'ranges');
  writeFileSync(ranges, '\u001b[2J\n');
  const { stderr } = runTool(['bench', odd, '--ranges', ranges]);
  assert.match(stderr, /line 1 is no range .*\\x1b\[2J/);
});

test('what is no layer is called that', (t) => {
  const directory = scratchDirectory(t);
  const [empty, list] = [join(directory, 'empty'), join(directory, 'list')];
  writeFileSync(empty, '');
  writeFileSync(list, '[]');
  for (const path of [empty, list, fixture('zfile-plain/empty.zfile')]) {
    const { status, stderr } = runTool(['checksum', path]);
    assert.equal(status, 1);
    assert.match(stderr, /: is neither a configuration, which begins with {, nor a layer/);
    assert.match(tool('inspect', fixture('zfile-plain/empty.zfile')), /The content is no layer/);
  }
  assert.match(runTool(['verify', empty]).stdout, /is no layer: it begins neither like/);
});

test('an interrupted command leaves nothing behind', { timeout: 60_000 }, async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    const directory = scratchDirectory(t);
    const child = spawn(findNativeFile('varve-layer'), ['compress', '-', 'target'], {
      cwd: directory,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    t.after(() => child.kill('SIGKILL'));
    child.stdin.on('error', () => undefined);
    child.stdin.write(Buffer.alloc(4 << 20, 'x'));
    const files = `/proc/${child.pid}/fd`;
    const isOutput = (file: string): boolean => {
      try {
        return readlinkSync(file).startsWith(directory) && statSync(file).size > 4096;
      } catch {
        // A program that starts opens and closes others.
        return false;
      }
    };
    const begun = (): boolean => readdirSync(files).some((file) => isOutput(join(files, file)));
    await until(begun);
    const hasName = readdirSync(directory).length > 0;
    child.kill(signal);
    const [, endedBy] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    assert.equal(endedBy, signal);
    // Where the file system has no files without names, killing leaves one.
    if (signal !== 'SIGKILL' || !hasName) assert.deepEqual(readdirSync(directory), []);
  }
});

test('a damaged layer is not exported, and the message says where the damage is', (t) => {
  const directory = scratchDirectory(t);
  const damaged = join(directory, 'damaged');
  const bytes = readFileSync(fixture('zfile/lz4-4k'));
  const at = 63250;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(damaged, bytes);
  for (const command of ['export', 'decompress']) {
    const refused = runTool([command, damaged, join(directory, 'target')]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /damaged: at \d+: block \d+ of the ZFile.* has the checksum 0x/);
    assert.match(refused.stderr, /cannot be read at \d+: Input\/output error/);
  }
  assert.deepEqual(readdirSync(directory), ['damaged']);
});

test('inspect shows the wrapping, both ends, the index and a picture', () => {
  const text = tool('inspect', '--extents', fixture('tar/commit-lz4.tar'));
  assert.match(text, /Tar archive\n {2}first member, .* at 1536\n/);
  assert.match(text, /ZFile\n {2}algorithm +lz4\n/);
  assert.match(text, /Layer: finished\n/);
  assert.match(text, /Header\n {2}flags +header, data, sealed\n {2}virtual size +4 MiB/);
  assert.match(text, /Trailer\n {2}flags +trailer, data, sealed\n/);
  assert.match(text, /Device, each letter 4 KiB: # data, \+ partly data, z zeros, \. not mapped\n/);
  assert.match(text, /\n +0 bytes {2}[#+z.]{64}\n/);
  assert.match(text, /\n +offset +length +kind +in the layer\n/);
});

test('inspect lists every extent, and they are the mapped parts of the device', () => {
  const path = fixture('lsmt-raw/layer.lsmt');
  assert.equal(inspect(path).extents, undefined);
  const { extents = [], index, trailer, virtualSize } = inspect('--extents', path);
  assert.equal(extents.length, index.mappings);
  let end = 0;
  const bytes = { data: 0, zeros: 0 };
  for (const { offset, length, kind, layerOffset = 0 } of extents) {
    assert.ok(offset >= end && offset + length <= virtualSize);
    end = offset + length;
    bytes[kind] += length;
    if (kind === 'data') assert.ok(layerOffset >= 4096 && layerOffset < trailer.indexOffset);
  }
  assert.deepEqual(bytes, { data: index.dataBytes, zeros: index.zeroBytes });
});

test('what a configuration asks for and does not get is said', (t) => {
  const directory = scratchDirectory(t);
  const { lowers = [] } = readJson(fixture('stack3/config.v1.json')) as ImageConfig;
  const absolute = lowers.map(({ file }) => ({ file: fixture(`stack3/${file}`) }));
  const config = join(directory, 'config.v1.json');
  writeFileSync(config, JSON.stringify({ lowers: absolute, accelerationLayer: true }));
  for (const args of [['checksum'], ['verify'], ['merge', join(directory, 'merged')]]) {
    const [command = '', ...more] = args;
    const { status, stderr } = runTool([command, config, ...more]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /config\.v1\.json: accelerationLayer: the last of lowers .* is left out/);
  }
});

test('a writable layer that somebody writes to is not read, one that is read is not sealed', (t) => {
  const directory = scratchDirectory(t);
  copyFixture('rw-append', directory);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  const layer = join(directory, 'layer');
  const under = (lock: '-x' | '-s', ...args: string[]): { status: number | null; stderr: string } =>
    spawnSync('flock', [lock, data, findNativeFile('varve-layer'), ...args], { encoding: 'utf8' });
  for (const args of [
    ['commit', data, index, layer],
    ['commit', '--seal', data, index],
    ['checksum', data, '--index', index],
    ['export', data, '--index', index, layer],
  ]) {
    const refused = under('-x', ...args);
    assert.equal(refused.status, 1, args.join(' '));
    assert.match(refused.stderr, /data: is in use as the writable layer of another device/);
    assert.match(refused.stderr, /; close the device first \(varve bd ls says which it is/);
  }
  assert.equal(existsSync(layer), false);
  assert.equal(under('-s', 'commit', '--seal', data, index).status, 1);
  assert.equal(under('-s', 'commit', data, index, layer).status, 0);
  assert.equal(runTool(['commit', '--seal', data, index]).status, 0);
  const again = runTool(['commit', '--seal', data, index]);
  assert.equal(again.status, 0);
  assert.match(again.stdout, /sealed already/);
  const written = runTool(['commit', data, index, join(directory, 'other')]);
  assert.equal(written.status, 1);
  assert.match(written.stderr, /was sealed: a finished layer now/);
});

test('a data file and the index of another one are refused, by both names', (t) => {
  const directory = scratchDirectory(t);
  const [data, index] = [join(directory, 'data1'), join(directory, 'index3')];
  tool('create', data, join(directory, 'index1'), '1M');
  tool('create', join(directory, 'data3'), index, '1M');
  const before = readFileSync(data);
  const layer = join(directory, 'layer');
  for (const args of [
    ['commit', data, index, layer],
    ['commit', '--seal', data, index],
    ['inspect', data, '--index', index],
    ['checksum', data, '--index', index],
  ]) {
    const refused = runTool(args);
    assert.equal(refused.status, 1, args.join(' '));
    assert.match(refused.stderr, /index3: belongs to another data file than .*data1: its uuid is /);
  }
  assert.equal(existsSync(layer), false);
  assert.deepEqual(readFileSync(data), before);
  const { status, stdout } = runTool(['verify', data, '--index', index]);
  assert.equal(status, 1);
  assert.match(stdout, /index3: defect at 56: this is the index of another data file than .*data1/);
});

test('an index file that is in use is not sealed with another data file', (t) => {
  const directory = scratchDirectory(t);
  copyFixture('rw-append', directory);
  const [data, index] = [join(directory, 'data'), join(directory, 'index')];
  const sealing = [findNativeFile('varve-layer'), 'commit', '--seal', data, index];
  const refused = spawnSync('flock', ['-x', index, ...sealing], { encoding: 'utf8' });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /index: is in use as the writable layer of another device/);
});

test('every command explains itself', () => {
  const help = tool('--help');
  const commands = [...help.matchAll(/^ {2}([a-z]+) {2,}/gm)].map((match) => match[1] ?? '');
  for (const command of [
    'create',
    'apply',
    'commit',
    'merge',
    'inspect',
    'verify',
    'checksum',
    'bench',
  ]) {
    assert.ok(commands.includes(command), command);
  }
  for (const command of commands) {
    const text = tool(command, '--help');
    assert.match(text, new RegExp(`Usage: varve-layer ${command}`));
    assert.ok(text.length > 200, basename(command));
  }
});
