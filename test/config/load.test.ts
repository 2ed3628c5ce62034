// Loading the configuration: what is accepted, what is refused and how, and where values come from.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { defaultConfiguration } from '../../src/config/configuration.ts';
import { defaultConfigurationFile } from '../../src/config/default-file.ts';
import { configurationKeys } from '../../src/config/keys.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import type { LoadRequest, LoadResult } from '../../src/config/load.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'varve-config-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const configPath = path.join(scratch, 'config.json');
const defaultPath = path.join(scratch, 'absent.json');

function load(file: unknown, request: LoadRequest = {}): LoadResult {
  writeFileSync(configPath, typeof file === 'string' ? file : JSON.stringify(file));
  return loadConfiguration({ configPath, ...request });
}

function accepted(file: unknown, request: LoadRequest = {}) {
  const result = load(file, request);
  assert.ok(result.ok, JSON.stringify(result));
  return result;
}

function problems(file: unknown, request: LoadRequest = {}): readonly string[] {
  const result = load(file, request);
  assert.ok(!result.ok, 'it should be refused');
  return result.problems.map((problem) => problem.replace(`${configPath}: `, ''));
}

test('without flags, file and environment everything is at its default', () => {
  const result = loadConfiguration({ defaultPath });
  assert.ok(result.ok);
  assert.deepEqual(result.configuration, defaultConfiguration);
  assert.deepEqual([...new Set(Object.values(result.origins))], ['default']);
  assert.ok('retention.maxAgeMs' in result.origins);
});

test('the file that config default prints is accepted and says the defaults', () => {
  assert.deepEqual(accepted(defaultConfigurationFile()).configuration, defaultConfiguration);
});

test('the default file is read when no other is named', () => {
  writeFileSync(path.join(scratch, 'standard.json'), '{"asyncRemove": true}');
  const result = loadConfiguration({ defaultPath: path.join(scratch, 'standard.json') });
  assert.ok(result.ok);
  assert.equal(result.configuration.asyncRemove, true);
});

test('upstream’s shipped file is accepted as it is', () => {
  const { configuration } = accepted({
    root: '/var/lib/containerd/io.containerd.snapshotter.v1.overlaybd',
    address: '/run/overlaybd-snapshotter/overlaybd.sock',
    verbose: 'info',
    rwMode: 'overlayfs',
    logReportCaller: false,
    autoRemoveDev: false,
    exporterConfig: { enable: false, uriPrefix: '/metrics', port: 9863 },
    writableLayerType: 'append',
    mirrorRegistry: [],
    runtimeType: 'containerd',
    defaultFsType: 'ext4',
    rootfsQuota: '',
    tenant: -1,
    turboFsType: ['erofs', 'ext4'],
  });
  assert.equal(configuration.root, '/var/lib/containerd/io.containerd.snapshotter.v1.overlaybd');
  assert.equal(configuration.adminAddress, '/run/overlaybd-snapshotter/admin.sock');
});

test('names match in any case, null leaves the default, blanks around paths are cut', () => {
  const { configuration } = accepted({ ROOT: ' /data/ ', AsyncRemove: true, tenant: null });
  assert.equal(configuration.root, '/data');
  assert.equal(configuration.asyncRemove, true);
});

test('upstream’s level names become ours, whatever their case', () => {
  for (const [verbose, level] of [
    ['Warning', 'warn'],
    ['PANIC', 'fatal'],
    ['trace', 'trace'],
  ]) {
    const { configuration, origins } = accepted({ verbose });
    assert.equal(configuration.logLevel, level);
    assert.equal(origins['logLevel'], `file ${configPath} (verbose)`);
  }
});

test('flags win over the environment, and that over the file', () => {
  const environment = { VARVE_ADDRESS: '/env/a.sock', VARVE_ADMIN_ADDRESS: '' };
  const file = { address: '/file/a.sock', root: '/file', logLevel: 'warn' };
  const flags = { root: '/flag' };
  const { configuration, origins } = accepted(file, { environment, flags });
  assert.deepEqual(
    [configuration.address, configuration.adminAddress, configuration.root],
    ['/env/a.sock', '/env/admin.sock', '/flag'],
  );
  assert.equal(origins['address'], 'environment VARVE_ADDRESS');
  assert.equal(origins['root'], 'flag --root');
  assert.equal(origins['logLevel'], `file ${configPath}`);
  assert.equal(origins['commitSync'], 'default');
});

test('a relative path on the command line is taken from where one stands', () => {
  const { configuration } = accepted({}, { flags: { root: 'data', address: 'unix:///a/b.sock' } });
  assert.equal(configuration.root, path.resolve('data'));
  assert.equal(configuration.address, '/a/b.sock');
});

test('an unknown key is refused with the nearest valid name', () => {
  assert.deepEqual(problems({ asynRemove: true }), [
    '"asynRemove" is not a key; did you mean "asyncRemove"?',
  ]);
  assert.deepEqual(problems({ exporterConfig: { prt: 1 } }), [
    '"exporterConfig.prt" is not a key; did you mean "exporterConfig.port"?',
  ]);
  assert.deepEqual(problems({ qqqqqqqq: 1 }), [
    '"qqqqqqqq" is not a key; varve config default prints all of them',
  ]);
  assert.deepEqual(problems({ 'retention.maxAgeMs': 1 }), [
    '"retention.maxAgeMs" is not a key; write {"retention": {"maxAgeMs": …}}',
  ]);
  assert.match(problems('{"__proto__": 1}')[0] ?? '', /"__proto__" is not a key/);
});

test('a wrong type is named with key, what was got and what is wanted', () => {
  assert.deepEqual(problems({ asyncRemove: 'yes' }), [
    '"asyncRemove" is the string "yes"; it must be true or false',
  ]);
  assert.deepEqual(problems({ root: 'data' }), [
    '"root" is the string "data"; it must be an absolute path',
  ]);
  assert.deepEqual(problems({ callDeadlineMs: 0 }), [
    '"callDeadlineMs" is the number 0; it must be a whole number from 1 to 3600000 (milliseconds)',
  ]);
  assert.deepEqual(problems({ retention: 7 }), [
    '"retention" is the number 7; it must be an object',
  ]);
  assert.match(
    problems({ address: `/${'a'.repeat(120)}` })[0] ?? '',
    /at most 107: choose a shorter/,
  );
});

const laterValues: Readonly<Record<string, unknown>> = {
  exporterConfig: { enable: true },
  mirrorRegistry: [{ host: 'example.test', insecure: true }],
  turboFsType: ['ext4'],
  logReportCaller: true,
};

test('a key of a later release is accepted at its default only, and refused by name', () => {
  for (const [key, value] of Object.entries(laterValues)) {
    const [problem = '', ...rest] = problems({ [key]: value });
    assert.deepEqual(rest, []);
    assert.ok(problem.startsWith(`"${key}`), problem);
    assert.match(problem, /this version accepts only .* with a later release$/);
  }
  accepted({ turboFsType: ['erofs'] });
});

test('R-17c: a tenant whose devices would have the names of another’s is refused', () => {
  for (const tenant of [-1, 0, 98]) {
    assert.equal(accepted({ tenant }).configuration.tenant, tenant);
  }
  const twins = { 99: 'no tenant \\(-1\\)', 100: 'tenant 0', 1234: 'tenant 34', 1299: 'no tenant' };
  for (const [tenant, twin] of Object.entries(twins)) {
    const [problem = ''] = problems({ tenant: Number(tenant) });
    assert.match(
      problem,
      new RegExp(`names of those of ${twin}.*: choose one from 0 to 98, or -1`),
    );
  }
  assert.match(problems({ tenant: -2 })[0] ?? '', /"tenant" is the number -2; it must be/);
});

test('how devices reach the kernel is one of the transports, or left to the machine', () => {
  assert.equal(accepted({}).configuration.transport, 'auto');
  for (const transport of ['ublk', 'tcmu', 'fuse']) {
    assert.equal(accepted({ transport }).configuration.transport, transport);
  }
  assert.match(problems({ transport: 'nbd' })[0] ?? '', /"ublk" or "tcmu" or "fuse"/);
});

test('every problem of a file, the flags and the environment is reported at once', () => {
  const found = problems(
    { root: 1, tenant: 'x', nonsense: 1, verbose: 'info', loglevel: 'debug', Root: 2 },
    { flags: { logLevel: 'loud' }, environment: { VARVE_ADDRESS: '/x/' } },
  );
  assert.equal(found.length, 7, found.join('\n'));
  assert.ok(found.some((problem) => /"root" and "Root" are the same key/.test(problem)));
  assert.ok(found.some((problem) => /"verbose" and "logLevel" say different/.test(problem)));
  assert.ok(found.some((problem) => problem.startsWith('VARVE_ADDRESS is the string "/x/"')));
  assert.ok(found.some((problem) => problem.startsWith('--log-level is the string "loud"')));
});

test('what containers write: modes, forms and file systems, and what goes together', () => {
  accepted({ rwMode: 'dir', writableLayerType: 'sparse', defaultFsType: 'xfs;nouuid;-f -K' });
  assert.match(problems({ rwMode: 'file' })[0] ?? '', /must be "overlayfs" or "dir" or "dev"/);
  assert.match(problems({ writableLayerType: 'dense' })[0] ?? '', /"append" or "sparse"/);
  for (const text of ['btrfs', 'erofs', 'ext4;errors=panic', 'ext4;;-d /etc']) {
    assert.match(problems({ defaultFsType: text })[0] ?? '', /^"defaultFsType" is /);
  }
  const [problem = '', ...rest] = problems({ rwMode: 'dir', runtimeType: 'docker' });
  assert.deepEqual(rest, []);
  assert.match(problem, /"rwMode" .* is dir: with "runtimeType": "docker"/);
});

test('both services cannot have the same socket', () => {
  assert.deepEqual(problems({ address: '/x/admin.sock' }), [
    `"address" (file ${configPath}) and "adminAddress" (beside address: file ${configPath}) are ` +
      'both /x/admin.sock: the two services need a socket each; name another one with ' +
      '"adminAddress" or --admin-address',
  ]);
});

test('a file that is no file, no JSON, no object or too large is refused with its reason', () => {
  const reason = (file: string): string => problems(file)[0] ?? '';
  assert.match(reason('{"root": '), /^is not valid JSON: /);
  assert.match(reason('[]'), /^the file is a list \(\[\]\); it must be an object/);
  assert.match(reason(`"${'x'.repeat(1 << 20)}"`), /at most 1048576 are read/);
  const absent = loadConfiguration({ configPath: defaultPath });
  assert.ok(!absent.ok);
  assert.match(absent.problems[0] ?? '', /no such file; varve config default prints one/);
  const directory = loadConfiguration({ configPath: scratch });
  assert.ok(!directory.ok);
  assert.match(directory.problems[0] ?? '', /it is a directory/);
});

test('what is no JSON is named with line and column, on one line', () => {
  const first = (file: string): string => {
    const [problem = '', ...rest] = problems(file);
    assert.deepEqual([rest, problem.includes('\n')], [[], false]);
    return problem;
  };
  const cases: readonly (readonly [string, string])[] = [
    ['{\n  "asyncRemove": True\n}\n', "line 2, column 18: Unexpected token 'T'"],
    ['{\n  "root": trux,\n  "tenant": 1\n}', "line 2, column 14: Unexpected token 'x'"],
    ['{"mirrorRegistry": [1,]}', "line 1, column 23: Unexpected token ']'"],
    ['{root: "/a"}', "line 1, column 2: Expected property name or '}'"],
    ['{"root": "/a"\n"tenant": 1}', "line 2, column 1: Expected ',' or '}' after property value"],
    ['{"root": "/a",\n', 'line 2, column 1: Expected double-quoted property name'],
    ['', 'line 1, column 1: Unexpected end of JSON input'],
  ];
  for (const [file, reason] of cases) assert.equal(first(file), `is not valid JSON: ${reason}`);
  assert.equal(first('\uFEFF{}'), 'begins with a byte order mark; save it without one');
});

test('a key that is given twice is refused, in whatever case and wherever', () => {
  assert.deepEqual(problems('{"root": "/a", "root" : "/b"}'), [
    '"root" is given twice: keep one of them',
  ]);
  assert.deepEqual(problems('{"exporterConfig": {"port": 1, "po\\u0072t": 2}, "root": "/port"}'), [
    '"port" is given twice: keep one of them',
  ]);
  accepted('{"exporterConfig": {"enable": false}, "root": "/a:\\"{root\\":"}');
});

test('the admin socket lies beside the Snapshots socket that is named more strongly than it', () => {
  const adminAddress = (
    file: object,
    environment: Readonly<Record<string, string>>,
    flags: LoadRequest['flags'] = {},
  ): readonly string[] => {
    const { configuration, origins } = accepted(file, { environment, flags });
    return [configuration.adminAddress, origins['adminAddress'] ?? ''];
  };
  const named = { address: '/f/v.sock', adminAddress: '/f/x.sock' };
  const admin = { VARVE_ADMIN_ADDRESS: '/e/x.sock' };
  assert.deepEqual(adminAddress(named, {}), ['/f/x.sock', `file ${configPath}`]);
  assert.deepEqual(adminAddress(named, {}, { address: '/g/v.sock' }), [
    '/g/admin.sock',
    'beside address: flag --address',
  ]);
  assert.deepEqual(adminAddress(named, { VARVE_ADDRESS: '/e/v.sock' }), [
    '/e/admin.sock',
    'beside address: environment VARVE_ADDRESS',
  ]);
  assert.deepEqual(adminAddress({}, admin, { address: '/g/v.sock' })[0], '/g/admin.sock');
  assert.deepEqual(adminAddress(named, admin), ['/e/x.sock', 'environment VARVE_ADMIN_ADDRESS']);
  const both = { address: '/g/v.sock', adminAddress: '/g/x.sock' };
  assert.deepEqual(adminAddress(named, admin, both)[0], '/g/x.sock');
});

test('the file that config default prints leaves the admin socket beside an edited address', () => {
  const edited = { ...defaultConfigurationFile(), address: '/n/v.sock' };
  assert.equal(accepted(edited).configuration.adminAddress, '/n/admin.sock');
});

test('every key is in what is loaded, with where it came from', () => {
  const { configuration, origins } = accepted({ exporterConfig: { port: 1 }, tenant: -1 });
  assert.equal(configuration.exporterConfig.port, 1);
  assert.equal(origins['exporterConfig.port'], `file ${configPath}`);
  assert.equal(origins['exporterConfig.uriPrefix'], 'default');
  assert.equal(origins['tenant'], `file ${configPath}`);
  for (const { sets } of configurationKeys) assert.ok(sets in origins, sets);
});

test('every key has a default that its own rule accepts', () => {
  for (const { name, rule, defaultValue } of configurationKeys) {
    assert.ok('value' in rule(defaultValue), name);
  }
});
