// What `varve convert` refuses, each with its message, and that nothing is left of it.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { scratch, varve } from '../cli/varve.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { writeTar, type TarEntry } from '../e2e/lab/tar.ts';
import { docker, file, Layout, oci, sha256, smallLayout, type Descriptor } from './layouts.ts';

const { path: directory, remove } = scratch();
after(remove);

interface Case {
  readonly name: string;
  /** Makes the input below a folder, and answers its path. */
  readonly make: (folder: string) => string | Promise<string>;
  readonly message: RegExp;
  readonly options?: readonly string[];
}

const small = (folder: string): Layout => smallLayout(join(folder, 'in'));

/** A small image with its first layer's descriptor changed. */
function withLayer(folder: string, change: Readonly<Record<string, unknown>>): string {
  const layout = new Layout(join(folder, 'in'));
  const { descriptor, diffId } = layout.layer([file('a', 'one\n')]);
  layout.index([layout.image({ layers: [{ descriptor: { ...descriptor, ...change }, diffId }] })]);
  return layout.path;
}

/** A small image with its manifest, its configuration or the manifest's descriptor changed. */
const withParts = (folder: string, parts: Partial<Parameters<typeof smallLayout>[1]>): string =>
  smallLayout(join(folder, 'in'), parts).path;

function manifestOf(layout: Layout): { layers: Descriptor[]; config: Descriptor } {
  const text = readFileSync(join(layout.path, 'index.json'), 'utf8');
  const index = JSON.parse(text) as { manifests: Descriptor[] };
  return layout.read(index.manifests[0]!.digest);
}

function withIndex(folder: string, text: string): string {
  const layout = small(folder);
  writeFileSync(join(layout.path, 'index.json'), text);
  return layout.path;
}

/** The archive of a small image, with its bytes changed. */
function withArchive(folder: string, change: (archive: Buffer) => Buffer): string {
  const path = small(folder).archive(join(folder, 'in.tar'));
  writeFileSync(path, change(readFileSync(path)));
  return path;
}

function withEntries(folder: string, change: (entries: TarEntry[]) => TarEntry[]): string {
  return small(folder).archive(join(folder, 'in.tar'), change);
}

const nested = (depth: number): ((folder: string) => string) => {
  return (folder) => {
    const layout = small(folder);
    const text = readFileSync(join(layout.path, 'index.json'), 'utf8');
    let index = JSON.parse(text) as object;
    for (let level = 0; level < depth; level += 1) {
      index = { schemaVersion: 2, manifests: [layout.document(oci('index.v1+json'), index)] };
    }
    layout.top('index.json', index);
    return layout.path;
  };
};

const many = <Value>(count: number, value: Value): Value[] =>
  Array.from({ length: count }, () => value);

const cases: readonly Case[] = [
  {
    name: 'a path at which nothing is',
    make: (folder) => join(folder, 'nowhere'),
    message: /nowhere cannot be read: ENOENT/,
  },
  {
    name: 'a device',
    make: () => '/dev/null',
    message: /is neither a file nor a folder/,
  },
  {
    name: 'a folder that is no layout',
    make: (folder) => folder,
    message: /it has no oci-layout/,
  },
  {
    name: 'an archive of Docker before 25',
    make: (folder) => {
      writeFileSync(join(folder, 'in.tar'), writeTar([file('manifest.json', '[]')]));
      return join(folder, 'in.tar');
    },
    message: /as Docker before version 25 wrote it/,
  },
  {
    name: 'a layout of another version',
    make: (folder) => {
      const layout = small(folder);
      layout.top('oci-layout', { imageLayoutVersion: '2.0.0' });
      return layout.path;
    },
    message: /oci-layout: version 2\.0\.0 is not known/,
  },
  {
    name: 'a compressed archive',
    make: (folder) => withArchive(folder, (archive) => gzipSync(archive)),
    message: /is compressed by gzip: decompress it first/,
  },
  {
    name: 'a file that is no archive',
    make: (folder) => withArchive(folder, (archive) => Buffer.alloc(archive.length, 'x')),
    message: /is not a tar archive/,
  },
  {
    name: 'an archive that is cut off in a file',
    make: (folder) => withArchive(folder, (archive) => archive.subarray(0, -3 * 512)),
    message: /is cut off: less follows than the entry/,
  },
  {
    name: 'an archive that is cut off in a header',
    make: (folder) => withArchive(folder, (archive) => archive.subarray(0, 700)),
    message: /is cut off at byte 700/,
  },
  {
    name: 'an archive with a damaged header',
    make: (folder) =>
      withArchive(folder, (archive) => {
        archive.write('x', 512 + 3);
        return archive;
      }),
    message: /no header with a right checksum is at byte 512/,
  },
  {
    name: 'an archive with an endless extended header',
    make: (folder) =>
      withEntries(folder, (entries) => [
        { path: 'x'.repeat(3 << 20), kind: 'file', mode: 0o644 },
        ...entries,
      ]),
    message: /extended header at byte 512 is longer than any that is needed/,
  },
  {
    name: 'an archive with two index.json',
    make: (folder) => withEntries(folder, (entries) => [...entries, file('./index.json', '{}')]),
    message: /holds more than one index\.json/,
  },
  {
    name: 'no index.json',
    make: (folder) => {
      const { path } = small(folder);
      rmSync(join(path, 'index.json'));
      return path;
    },
    message: /it has no index\.json/,
  },
  {
    name: 'an index.json that is a folder',
    make: (folder) => {
      const { path } = small(folder);
      rmSync(join(path, 'index.json'));
      mkdirSync(join(path, 'index.json'));
      return path;
    },
    message: /index\.json is not a file/,
  },
  {
    name: 'a pipe where a blob is expected',
    make: async (folder) => {
      const layout = small(folder);
      const path = layout.blobPath(manifestOf(layout).layers[0]!.digest);
      rmSync(path);
      await runCommand(['mkfifo', path]);
      return layout.path;
    },
    message: /is not a file/,
  },
  {
    name: 'an index.json that is no JSON',
    make: (folder) => withIndex(folder, '{"manifests": [\u001b]'),
    message: /index\.json is no JSON document that can be read: [^\u001b]*$/,
  },
  {
    name: 'an index.json that is a list',
    make: (folder) => withIndex(folder, '[]'),
    message: /index\.json is JSON, but not an object/,
  },
  {
    name: 'an index.json that is not UTF-8',
    make: (folder) => {
      const { path } = small(folder);
      writeFileSync(join(path, 'index.json'), Buffer.from('7b22ff223a317d', 'hex'));
      return path;
    },
    message: /index\.json is no JSON document that can be read/,
  },
  {
    name: 'an index.json that is nested without end',
    make: (folder) => withIndex(folder, `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`),
    message: /index\.json is no JSON document that can be read: it is nested too deeply/,
  },
  {
    name: 'an index.json that is too large',
    make: (folder) => {
      const { path } = small(folder);
      truncateSync(join(path, 'index.json'), 5 << 20);
      return path;
    },
    message: /index\.json has 5242880 bytes; documents of more than 4194304 are not read/,
  },
  {
    name: 'a number that cannot be kept',
    make: (folder) => withParts(folder, { config: { number: 1e300 } }),
    message: /is too large to be kept exactly/,
  },
  {
    name: 'an index of another schema',
    make: (folder) => withIndex(folder, '{"schemaVersion": 1, "manifests": []}'),
    message: /index\.json: "schemaVersion" is not 2/,
  },
  {
    name: 'an index of too many manifests',
    make: (folder) =>
      withIndex(folder, JSON.stringify({ schemaVersion: 2, manifests: many(1001, 1) })),
    message: /"manifests" has 1001 elements; at most 1000/,
  },
  {
    name: 'documents that are too large together',
    make: (folder) => {
      const layout = new Layout(join(folder, 'in'));
      const layers = [layout.layer([file('a', 'one\n')])];
      const manifests = Array.from({ length: 17 }, (_, at) =>
        layout.image({ layers, config: { filling: String(at).padEnd((4 << 20) - 1000) } }),
      );
      layout.index(manifests);
      return layout.path;
    },
    message: /its manifests and configurations have more than 67108864 bytes together/,
  },
  {
    name: 'indexes in indexes',
    make: nested(5),
    message: /indexes lie in indexes more than 4 levels deep/,
  },
  {
    name: 'an index without images',
    make: (folder) => withIndex(folder, '{"schemaVersion": 2, "manifests": []}'),
    message: /it holds no image that can be converted/,
  },
  {
    name: 'an artifact',
    make: (folder) => withParts(folder, { configType: 'application/vnd.oci.empty.v1+json' }),
    message: /an artifact \(application\/vnd\.oci\.empty\.v1\+json\), not an image/,
  },
  {
    name: 'a digest that is a path',
    make: (folder) => withLayer(folder, { digest: 'sha256:../../../etc/passwd' }),
    message: /layers\[0\]: "sha256:\.\.\/\.\.\/\.\.\/etc\/passwd" is not a digest/,
  },
  {
    name: 'a digest of another algorithm',
    make: (folder) => withLayer(folder, { digest: `sha512:${'0'.repeat(128)}` }),
    message: /digests by sha512 are not supported/,
  },
  {
    name: 'a size that is none',
    make: (folder) => withLayer(folder, { size: -1 }),
    message: /layers\[0\]: "size" is not a number of bytes/,
  },
  {
    name: 'a layer of another size',
    make: (folder) => withLayer(folder, { size: 7 }),
    message: /blob sha256:[0-9a-f]{64} has \d+ bytes, and should have 7/,
  },
  {
    name: 'a layer that is missing',
    make: (folder) => {
      const layout = small(folder);
      rmSync(layout.blobPath(manifestOf(layout).layers[1]!.digest));
      return layout.path;
    },
    message: /linux\/amd64: layer 2 \(sha256:[0-9a-f]{64}\) is missing/,
  },
  {
    name: 'a layer whose content is another',
    make: (folder) => {
      const layout = small(folder);
      const { digest, size } = manifestOf(layout).layers[0]!;
      writeFileSync(layout.blobPath(digest), Buffer.alloc(size));
      return layout.path;
    },
    message: /layer 1 of 2 \(.*\): blob sha256:.* is damaged: its content has the digest sha256:/,
  },
  {
    name: 'a manifest whose content is another',
    make: (folder) => {
      const layout = small(folder);
      const text = readFileSync(join(layout.path, 'index.json'), 'utf8');
      const { digest } = (JSON.parse(text) as { manifests: Descriptor[] }).manifests[0]!;
      const path = layout.blobPath(digest);
      writeFileSync(path, readFileSync(path, 'utf8').replace('Docker', 'docker').replace('2', '1'));
      return layout.path;
    },
    message: /blob sha256:.* is damaged/,
  },
  {
    name: 'a layer that is not what the configuration says',
    make: (folder) =>
      withParts(folder, { config: { rootfs: { type: 'layers', diff_ids: many(2, sha256('x')) } } }),
    message: /layer 1 of 2 \(.*\): .*expected/,
  },
  {
    name: 'a layer that is no archive',
    make: (folder) => {
      const layout = new Layout(join(folder, 'in'));
      const content = Buffer.alloc(4096, 'x');
      const descriptor = layout.blob(oci('layer.v1.tar'), content);
      layout.index([layout.image({ layers: [{ descriptor, diffId: sha256(content) }] })]);
      return layout.path;
    },
    message: /layer 1 of 1 \(.*\): .*entry 1 \(at byte 0 of the tar\)/,
  },
  {
    name: 'more layers than are named',
    make: (folder) => withParts(folder, { config: { rootfs: { type: 'layers', diff_ids: [] } } }),
    message: /the manifest names 2 layers, the configuration 0/,
  },
  {
    name: 'too many layers',
    make: (folder) => withParts(folder, { manifest: { layers: many(256, {}) } }),
    message: /"layers" has 256 elements; at most 255/,
  },
  {
    name: 'no layers',
    make: (folder) => {
      const layout = new Layout(join(folder, 'in'));
      layout.index([layout.image({ layers: [] })]);
      return layout.path;
    },
    message: /has no layers: there is nothing to convert/,
  },
  {
    name: 'a manifest that is an index, too',
    make: (folder) => withParts(folder, { manifest: { Manifests: [] } }),
    message: /has a field "Manifests", which does not belong there/,
  },
  {
    name: 'a field that others take for another one',
    make: (folder) => withParts(folder, { manifest: { Layers: [] } }),
    message: /has a field "Layers", which some programs take for "layers"/,
  },
  {
    name: 'a media type that is not the one promised',
    make: (folder) => withParts(folder, { manifest: { mediaType: oci('index.v1+json') } }),
    message: /says that it is application\/vnd\.oci\.image\.index/,
  },
  {
    name: 'an encrypted layer',
    make: (folder) => withLayer(folder, { mediaType: oci('layer.v1.tar+gzip+encrypted') }),
    message: /layer 1 \(.*\+encrypted\) cannot be converted: it is encrypted/,
  },
  {
    name: 'a foreign layer',
    make: (folder) =>
      withLayer(folder, { mediaType: docker('image.rootfs.foreign.diff.tar.gzip') }),
    message: /layer 1 \(.*foreign.*\) cannot be converted: it is a foreign layer/,
  },
  {
    name: 'a layer that may not be distributed',
    make: (folder) => withLayer(folder, { mediaType: oci('layer.nondistributable.v1.tar') }),
    message: /cannot be converted: it is a foreign layer/,
  },
  {
    name: 'an unknown layer',
    make: (folder) => withLayer(folder, { mediaType: 'application/wasm' }),
    message: /layer 1 \(application\/wasm\) cannot be converted: such layers are not known here/,
  },
  {
    name: 'an image for Windows',
    make: (folder) => withParts(folder, { config: { os: 'windows' } }),
    message: /is for windows: only images for linux can be converted/,
  },
  {
    name: 'a platform that is not there',
    make: (folder) => small(folder).path,
    options: ['--platform', 'linux/arm64'],
    message: /it holds no image for linux\/arm64; there are: linux\/amd64/,
  },
  {
    name: 'one name for several images',
    make: (folder) => {
      const layout = small(folder);
      const text = readFileSync(join(layout.path, 'index.json'), 'utf8');
      const { manifests } = JSON.parse(text) as { manifests: Descriptor[] };
      layout.index([...manifests, ...manifests]);
      return layout.path;
    },
    options: ['--name', 'localhost/x:1'],
    message: /index\.json names 2 images: they cannot all have one name/,
  },
  {
    name: 'an image that is converted already',
    make: async (folder) => {
      const path = join(folder, 'in');
      const { code, stderr } = await varve(['convert', '--vsize', '1', makeFirst(folder), path]);
      assert.equal(code, 0, stderr);
      return path;
    },
    message: /is an overlaybd image already: import it as it is/,
  },
  {
    name: 'an image that is converted already and does not say so',
    make: async (folder) => {
      const path = join(folder, 'in');
      const { code, stderr } = await varve(['convert', '--vsize', '1', makeFirst(folder), path]);
      assert.equal(code, 0, stderr);
      const layout = new Layout(path);
      const { layers } = manifestOf(layout);
      const plain = layers.map(({ mediaType, digest, size }) => ({
        ...{ descriptor: { mediaType, digest, size }, diffId: digest },
      }));
      layout.index([layout.image({ layers: plain })]);
      return path;
    },
    message: /layer 1 of 2 .*: it is an overlaybd layer already/,
  },
  {
    name: 'a size that holds no file system',
    make: (folder) => small(folder).path,
    options: ['--vsize', '4K'],
    message: /layer 1 of 2/,
  },
];

const makeFirst = (folder: string): string => smallLayout(join(folder, 'first')).path;

for (const [index, { name, make, message, options = [] }] of cases.entries()) {
  test(`refused: ${name}`, async () => {
    const folder = join(directory, String(index));
    mkdirSync(folder);
    const input = await make(folder);
    const output = join(folder, 'out');
    mkdirSync(output);
    const to = join(output, index % 2 === 0 ? 'image' : 'image.tar');
    const { code, stdout, stderr } = await varve(['convert', ...options, input, to]);
    assert.equal(code, 1, stdout);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /VARVE_DEBUG|^ {4}at /m, 'the message says it all');
    assert.deepEqual(readdirSync(output), []);
  });
}

test('refused: outputs that are there, and folders that are not', async () => {
  const folder = join(directory, 'outputs');
  mkdirSync(folder);
  const { path } = small(folder);
  writeFileSync(join(folder, 'there.tar'), 'mine');
  mkdirSync(join(folder, 'there'));
  const refusals = {
    'there.tar': /there\.tar exists: remove it/,
    there: /there exists: remove it/,
    'none/image.tar': /the folder .*none does not exist/,
    'image.tar.gz': /archives are not compressed/,
  };
  for (const [name, message] of Object.entries(refusals)) {
    const { code, stderr } = await varve(['convert', path, join(folder, name)]);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
  assert.equal(readFileSync(join(folder, 'there.tar'), 'utf8'), 'mine');
  assert.deepEqual(readdirSync(folder).sort(), ['in', 'there', 'there.tar']);
});

test('refused: options that make no sense', async () => {
  const { path } = smallLayout(join(directory, 'sense'));
  const output = join(directory, 'sense.tar');
  const refusals: readonly (readonly [string[], RegExp])[] = [
    [['--platform', 'amd64'], /--platform 'amd64' is not os\/architecture/],
    [['--vsize', 'large'], /--vsize 'large' is not a number of GiB/],
    [['--name', 'a b'], /--name 'a b' is not a name of an image/],
    [['--compression', 'gzip'], /Allowed choices are lz4, zstd/],
  ];
  for (const [options, message] of refusals) {
    const { code, stderr } = await varve(['convert', ...options, path, output]);
    assert.equal(code, 2);
    assert.match(stderr, message);
  }
});
