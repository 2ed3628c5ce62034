// Builds OCI images without any tool: an OCI layout directory, and the same as an archive that
// `ctr images import` reads. The same content gives the same digests.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { busyboxLayer, changingLayer, extraLayer, variedLayer } from './layers.ts';
import { writeTar, type TarEntry } from './tar.ts';

export interface ImageOptions {
  readonly name: string;
  /** Where the layout and the archive are put. */
  readonly directory: string;
  readonly layers: readonly (readonly TarEntry[])[];
  /** What a container of it runs; a shell, if it does not say. */
  readonly command?: readonly string[];
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly diffId: string;
  /** The name that the layer and all below it have together: what containerd names snapshots by. */
  readonly chainId: string;
  readonly entries: readonly TarEntry[];
}

export interface Image {
  /** The name it has after an import, such as `localhost/NAME:latest`. */
  readonly reference: string;
  readonly name: string;
  readonly archivePath: string;
  readonly layoutDirectory: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly ImageLayer[];
}

const created = '2024-01-01T00:00:00Z';
const oci = (kind: string): string => `application/vnd.oci.image.${kind}`;

const digestOf = (content: Buffer | string): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`;

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** The file of a blob inside an OCI layout. */
export function blobPath(layoutDirectory: string, digest: string): string {
  return join(layoutDirectory, 'blobs', digest.replace(':', '/'));
}

interface Blobs {
  readonly add: (mediaType: string, content: Buffer) => Descriptor;
  readonly entries: TarEntry[];
}

function blobsIn(layoutDirectory: string): Blobs {
  mkdirSync(join(layoutDirectory, 'blobs/sha256'), { recursive: true });
  const entries: TarEntry[] = [];
  const add = (mediaType: string, content: Buffer): Descriptor => {
    const digest = digestOf(content);
    writeFileSync(blobPath(layoutDirectory, digest), content);
    const path = `blobs/${digest.replace(':', '/')}`;
    entries.push({ path, kind: 'file', mode: 0o644, content });
    return { mediaType, digest, size: content.length };
  };
  return { add, entries };
}

/** The name of a layer and those below it together; without any below it is the layer's own. */
export function chainIdOf(below: string, diffId: string): string {
  return below === '' ? diffId : digestOf(`${below} ${diffId}`);
}

function addLayers(blobs: Blobs, layers: readonly (readonly TarEntry[])[]): readonly ImageLayer[] {
  let chainId = '';
  return layers.map((entries) => {
    const tar = writeTar(entries);
    const diffId = digestOf(tar);
    chainId = chainIdOf(chainId, diffId);
    const descriptor = blobs.add(oci('layer.v1.tar+gzip'), gzipSync(tar, { level: 6 }));
    return { descriptor, diffId, chainId, entries };
  });
}

function configOf(layers: readonly ImageLayer[], command: readonly string[]): Buffer {
  return json({
    created,
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: command, WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map((_, index) => ({ created, created_by: `layer ${index + 1}` })),
  });
}

/** Builds an image of these layers, the lowest first. */
export function buildImage({
  name,
  directory,
  layers: contents,
  command = ['/bin/sh'],
}: ImageOptions): Image {
  const reference = `localhost/${name}:latest`;
  const layoutDirectory = join(directory, name);
  const blobs = blobsIn(layoutDirectory);
  const layers = addLayers(blobs, contents);
  const config = blobs.add(oci('config.v1+json'), configOf(layers, command));
  const manifest = blobs.add(
    oci('manifest.v1+json'),
    json({
      schemaVersion: 2,
      mediaType: oci('manifest.v1+json'),
      config,
      layers: layers.map(({ descriptor }) => descriptor),
    }),
  );
  const annotations = {
    'io.containerd.image.name': reference,
    'org.opencontainers.image.ref.name': 'latest',
  };
  const topFiles = {
    'index.json': json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
    'oci-layout': json({ imageLayoutVersion: '1.0.0' }),
  };
  const topEntries = Object.entries(topFiles).map(([path, content]): TarEntry => {
    writeFileSync(join(layoutDirectory, path), content);
    return { path, kind: 'file', mode: 0o644, content };
  });
  const archivePath = join(directory, `${name}.oci.tar`);
  writeFileSync(archivePath, writeTar([...topEntries, ...blobs.entries]));
  return { reference, name, archivePath, layoutDirectory, manifest, config, layers };
}

/** The same image, each of whose layers has these annotations; only to be pushed. */
export function annotateLayers(image: Image, annotations: Readonly<Record<string, string>>): Image {
  const { layoutDirectory, manifest } = image;
  const text = readFileSync(blobPath(layoutDirectory, manifest.digest), 'utf8');
  const known = JSON.parse(text) as { layers: { annotations?: object }[] };
  const layers = known.layers.map((layer) => ({
    ...layer,
    annotations: { ...layer.annotations, ...annotations },
  }));
  const { add } = blobsIn(layoutDirectory);
  return { ...image, manifest: add(manifest.mediaType, json({ ...known, layers })) };
}

export interface SampleOptions {
  readonly name: string;
  readonly directory: string;
  readonly busybox: string;
  readonly extraLayers?: number;
}

/** The image of three layers that tests and the demo use, with extra layers of one file each. */
export async function buildSampleImage(options: SampleOptions): Promise<Image> {
  const { name, directory, busybox, extraLayers = 0 } = options;
  const extra = Array.from({ length: extraLayers }, (_, index) => extraLayer(index + 1));
  const layers = [await busyboxLayer(busybox), variedLayer(), changingLayer(), ...extra];
  return buildImage({ name, directory, layers });
}
