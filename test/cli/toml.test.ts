// The reader of containerd's configuration: what it takes, and what it refuses by its line.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseToml, TomlError } from '../../src/cli/doctor/toml.ts';

/** Without the missing prototypes, which deepEqual would tell apart. */
const plain = (text: string): unknown => JSON.parse(JSON.stringify(parseToml(text)));

test('tables, dotted and quoted keys, strings, arrays and inline tables are read', () => {
  const text = `
version = 2  # a comment
imports = ["/etc/a.toml", '/etc/b.toml', # one more
  "c\\u0041.toml",
]
[proxy_plugins]
  [proxy_plugins.varve]
    type = "snapshot"
    exports.root = '/var/lib/varve'
  [proxy_plugins."with.dot"]
    address = "/run/\\"x\\".sock"
    exports = { root = "/r", enable_remote_snapshot_annotations = "true" }
[[list]]
name = "one"
[[list]]
name = "two"
[list.below]
deep = true
[plugins.'io.containerd.grpc.v1.cri'.containerd]
snapshotter = """
var\\
   ve"""
`;
  assert.deepEqual(plain(text), {
    version: '2',
    imports: ['/etc/a.toml', '/etc/b.toml', 'cA.toml'],
    proxy_plugins: {
      varve: { type: 'snapshot', exports: { root: '/var/lib/varve' } },
      'with.dot': {
        address: '/run/"x".sock',
        exports: { root: '/r', enable_remote_snapshot_annotations: 'true' },
      },
    },
    list: [{ name: 'one' }, { name: 'two', below: { deep: 'true' } }],
    plugins: { 'io.containerd.grpc.v1.cri': { containerd: { snapshotter: 'varve' } } },
  });
});

for (const [what, text, line] of [
  ['a string without an end', 'a = 1\nb = "x', 2],
  ['a table without an end', '[a\nb = 1', 1],
  ['two values on a line', 'a = 1 2', 1],
  ['a value that is missing', 'a =\nb = 1', 1],
  ['a key that is missing', '\n\n= 1', 3],
  ['a table that is a string already', 'a = "x"\n[a.b]', 2],
  ['an array without an end', 'a = [1, 2', 1],
  ['what is nested without an end', `a = ${'['.repeat(100_000)}`, 1],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(
      () => parseToml(text),
      (error) => error instanceof TomlError && error.message.startsWith(`line ${line}: `),
    );
  });
}

test('a key named like a member of every object is a key like any other', () => {
  const table = parseToml('[__proto__]\ntype = "snapshot"\n[constructor]\nx = 1');
  assert.deepEqual(Object.keys(table), ['__proto__', 'constructor']);
  assert.equal(({} as Record<string, unknown>)['type'], undefined);
});
