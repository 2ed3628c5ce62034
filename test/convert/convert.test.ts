// `varve convert` on image layouts made here: what comes out, and that it is the same each time.
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import { scratch, varve } from '../cli/varve.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { docker, file, Layout, oci, sha256, smallLayout, type Descriptor } from './layouts.ts';

const { path: directory, remove } = scratch();
after(remove);

interface Index {
  readonly manifests: readonly Descriptor[];
}

interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly (Descriptor & { readonly annotations: Record<string, string> })[];
}

const at = (...names: string[]): string => join(directory, ...names);

async function convert(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await varve(['convert', '--vsize', '128M', ...argv]);
  assert.equal(code, 0, stderr);
  return stdout;
}

const topIndex = (path: string): Index =>
  JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as Index;

const digestOfFile = (path: string): string => sha256(readFileSync(path));

function treeOf(path: string): Readonly<Record<string, string>> {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8', withFileTypes: true });
  const files = names.filter((entry) => entry.isFile());
  return Object.fromEntries(
    files
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((name) => [name.slice(path.length), digestOfFile(name)]),
  );
}

test('documents are kept but for their layers, which are overlaybd layers in archives', async () => {
  const small = smallLayout(at('documents'));
  await convert(small.path, at('documents-out'));
  const out = new Layout(at('documents-out'));
  const [image] = topIndex(out.path).manifests;
  const manifest = out.read<Manifest>(image!.digest);
  assert.equal(manifest.mediaType, oci('manifest.v1+json'));
  for (const { mediaType, digest, size, annotations } of manifest.layers) {
    assert.equal(mediaType, oci('layer.v1.tar'));
    assert.deepEqual(annotations, {
      'containerd.io/snapshot/overlaybd/blob-digest': digest,
      'containerd.io/snapshot/overlaybd/blob-size': String(size),
      'containerd.io/snapshot/overlaybd/blob-fs-type': 'ext4',
      'containerd.io/snapshot/overlaybd/version': '0.1.0',
    });
    assert.equal(digestOfFile(out.blobPath(digest)), digest);
    const listed = await runCommand(['tar', '-tf', out.blobPath(digest)]);
    assert.equal(listed, 'overlaybd.commit\n');
    await runCommand([findNativeFile('varve-layer'), 'verify', out.blobPath(digest)]);
  }
  const before = small.read<Manifest>(topIndex(small.path).manifests[0]!.digest);
  assert.deepEqual(out.read(manifest.config.digest), {
    ...small.read<object>(before.config.digest),
    rootfs: { type: 'layers', diff_ids: manifest.layers.map(({ digest }) => digest) },
  });
  const uuids = await Promise.all(
    manifest.layers.map(({ digest }) =>
      runCommand([findNativeFile('varve-layer'), 'inspect', '--json', out.blobPath(digest)]),
    ),
  );
  const { rootfs } = small.read<{ rootfs: { diff_ids: string[] } }>(before.config.digest);
  const [first = '', second = ''] = rootfs.diff_ids;
  const chainIds = [first, sha256(`${first} ${second}`)];
  for (const [index, text] of uuids.entries()) {
    const hex = chainIds[index]!.slice('sha256:'.length, 'sha256:'.length + 32);
    const uuid = /"uuid": "([^"]+)"/i.exec(text)?.[1] ?? '';
    assert.equal(uuid.replaceAll('-', '').toLowerCase(), hex);
  }
});

test('the same image gives the same bytes, from an archive and a folder, at any time', async () => {
  const small = smallLayout(at('same'));
  const archive = small.archive(at('same.tar'));
  await convert(archive, at('same-1.tar'));
  const elsewhere = { env: { TZ: 'Pacific/Auckland', LC_ALL: 'C', SOURCE_DATE_EPOCH: '1' } };
  const again = ['convert', '--vsize', '128M', small.path];
  assert.equal((await varve([...again, at('same-2.tar')], elsewhere)).code, 0);
  assert.equal(digestOfFile(at('same-1.tar')), digestOfFile(at('same-2.tar')));
  await convert(archive, at('same-3'));
  await convert(archive, at('same-4'));
  assert.deepEqual(treeOf(at('same-3')), treeOf(at('same-4')));
  mkdirSync(at('unpacked'));
  await runCommand(['tar', '-xf', at('same-1.tar'), '-C', at('unpacked')]);
  assert.deepEqual(treeOf(at('unpacked')), treeOf(at('same-3')));
});

test('layers that are compressed by gzip, by zstd or not at all give the same', async () => {
  const outputs: string[] = [];
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    const layout = new Layout(at(`layers-${compression}`));
    const layers = [layout.layer([file('a', 'content\n')], compression)];
    layout.index([layout.image({ layers })]);
    await convert(layout.path, at(`layers-${compression}.tar`));
    outputs.push(digestOfFile(at(`layers-${compression}.tar`)));
  }
  assert.equal(new Set(outputs).size, 1);
});

test('--compression zstd gives other layers, and --vsize another size', async () => {
  const { path } = smallLayout(at('options'));
  await convert('--compression', 'zstd', path, at('options-zstd'));
  await convert(path, at('options-lz4'));
  const layerOf = (name: string): string => {
    const out = new Layout(at(name));
    const manifest = out.read<Manifest>(topIndex(out.path).manifests[0]!.digest);
    return out.blobPath(manifest.layers[1]!.digest);
  };
  const inspected = async (name: string): Promise<string> =>
    runCommand([findNativeFile('varve-layer'), 'inspect', layerOf(name)]);
  assert.match(await inspected('options-zstd'), /zstd/);
  assert.match(await inspected('options-lz4'), /lz4/);
  assert.match(await inspected('options-lz4'), /134217728 bytes/);
});

test('an image of Docker’s media types keeps them', async () => {
  const layout = new Layout(at('docker'));
  const { descriptor, diffId } = layout.layer([file('a', 'one\n')]);
  const mediaType = docker('image.rootfs.diff.tar.gzip');
  layout.index([
    layout.image({
      layers: [{ descriptor: { ...descriptor, mediaType }, diffId }],
      manifestType: docker('distribution.manifest.v2+json'),
      configType: docker('container.image.v1+json'),
    }),
  ]);
  await convert(layout.path, at('docker-out'));
  const out = new Layout(at('docker-out'));
  const manifest = out.read<Manifest>(topIndex(out.path).manifests[0]!.digest);
  assert.equal(manifest.mediaType, docker('distribution.manifest.v2+json'));
  assert.equal(manifest.config.mediaType, docker('container.image.v1+json'));
  assert.equal(manifest.layers[0]?.mediaType, docker('image.rootfs.diff.tar'));
});

/** An index as builders write it: two platforms upon one base, an attestation, one not saved. */
function severalPlatforms(path: string): Layout {
  const layout = new Layout(path);
  const base = layout.layer([file('base', 'base\n')]);
  const imageFor = (architecture: string): Descriptor => {
    const layers = [base, layout.layer([file('own', architecture)])];
    const descriptor = { platform: { os: 'linux', architecture } };
    return layout.image({ layers, config: { architecture }, descriptor });
  };
  const attestation = {
    ...layout.document(oci('manifest.v1+json'), { schemaVersion: 2 }),
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    platform: { os: 'unknown', architecture: 'unknown' },
  };
  const absent = {
    ...{ mediaType: oci('manifest.v1+json'), digest: sha256('absent'), size: 6 },
    platform: { os: 'linux', architecture: 'riscv64' },
  };
  const manifests = [imageFor('amd64'), imageFor('arm64'), attestation, absent];
  const index = layout.document(oci('index.v1+json'), { schemaVersion: 2, manifests });
  const annotations = { 'io.containerd.image.name': 'localhost/several:1' };
  layout.index([{ ...index, annotations }]);
  return layout;
}

const platformsOf = (out: Layout): readonly unknown[] =>
  out
    .read<Index>(topIndex(out.path).manifests[0]!.digest)
    .manifests.map(({ platform }) => (platform as { architecture: string }).architecture);

test('an index keeps its platforms; what is no image is left out and named', async () => {
  const { path } = severalPlatforms(at('several'));
  const printed = await convert(path, at('several-out'));
  assert.match(printed, /several:1 linux\/amd64: 2 layers/);
  assert.match(printed, /left out: .*unknown\/unknown: an attestation/);
  assert.match(printed, /left out: .*linux\/riscv64: its manifest was not saved/);
  const out = new Layout(at('several-out'));
  assert.deepEqual(platformsOf(out), ['amd64', 'arm64']);
  const [top] = topIndex(out.path).manifests;
  assert.deepEqual(top?.['annotations'], { 'io.containerd.image.name': 'localhost/several:1' });
});

test('--platform keeps one of them', async () => {
  const { path } = severalPlatforms(at('one'));
  await convert('--platform', 'linux/aarch64', path, at('one-out'));
  assert.deepEqual(platformsOf(new Layout(at('one-out'))), ['arm64']);
});

test('R-30: a layer that occurs twice in an image is made for each of its places', async () => {
  const layout = new Layout(at('twice'));
  const one = layout.layer([file('a', 'one\n')]);
  const layers = [one, layout.layer([file('a', 'two\n')]), one];
  layout.index([layout.image({ layers })]);
  await convert(layout.path, at('twice-out'));
  const out = new Layout(at('twice-out'));
  const manifest = out.read<Manifest>(topIndex(out.path).manifests[0]!.digest);
  const digests = manifest.layers.map(({ digest }) => digest);
  // The third is what the first is, on top of the second.
  assert.equal(new Set(digests).size, 3);
});

test('layers that images share are made once', async () => {
  const { path } = severalPlatforms(at('shared'));
  // A varve-layer that notes what it is asked.
  const native = at('noting');
  mkdirSync(native);
  const noting = join(native, 'varve-layer');
  const notes = at('notes');
  const real = findNativeFile('varve-layer');
  writeFileSync(noting, `#!/bin/sh\necho "$1" >>'${notes}'\nexec '${real}' "$@"\n`);
  chmodSync(noting, 0o755);
  const env = { VARVE_NATIVE_DIR: native };
  const { code, stderr } = await varve(['convert', path, at('shared.tar')], { env });
  assert.equal(code, 0, stderr);
  const asked = readFileSync(notes, 'utf8').trim().split('\n').sort();
  const three = (word: string): string[] => [word, word, word];
  assert.deepEqual(asked, [...three('apply'), ...three('commit'), ...three('create')]);
});

test('--name names the image; --json tells what was made', async () => {
  const { path } = smallLayout(at('named'));
  const printed = await convert('--name', 'localhost/new:2', '--json', path, at('named-out'));
  const [image] = topIndex(at('named-out')).manifests;
  assert.deepEqual(image?.['annotations'], {
    'io.containerd.image.name': 'localhost/new:2',
    'org.opencontainers.image.ref.name': '2',
  });
  const told = JSON.parse(printed) as { images: { digest: string; layers: unknown[] }[] };
  assert.equal(told.images[0]?.digest, image?.digest);
  assert.equal(told.images[0]?.layers.length, 2);
});

test('a layout of symbolic links is read', async () => {
  const { path } = smallLayout(at('real'));
  mkdirSync(at('links'));
  for (const name of ['blobs', 'index.json', 'oci-layout']) {
    symlinkSync(join(path, name), at('links', name));
  }
  await convert(at('links'), at('links.tar'));
  await convert(path, at('real.tar'));
  assert.equal(digestOfFile(at('links.tar')), digestOfFile(at('real.tar')));
});
