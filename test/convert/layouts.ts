// Image layouts of every kind for tests of `varve convert`: well-made ones, and with one document
// or blob changed, ones that are not.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { writeTar, type TarEntry } from '../e2e/lab/tar.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [name: string]: unknown;
}

export const oci = (kind: string): string => `application/vnd.oci.image.${kind}`;
export const docker = (kind: string): string => `application/vnd.docker.${kind}`;

export const sha256 = (content: Buffer | string): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`;

export const file = (path: string, content: string): TarEntry => ({
  ...{ path, kind: 'file', mode: 0o644 },
  content: Buffer.from(content),
});

type Compression = 'none' | 'gzip' | 'zstd';

const compressed: Readonly<Record<Compression, (tar: Buffer) => Buffer>> = {
  none: (tar) => tar,
  gzip: (tar) => gzipSync(tar),
  zstd: (tar) => zstdCompressSync(tar),
};

const layerTypes: Readonly<Record<Compression, string>> = {
  none: oci('layer.v1.tar'),
  gzip: oci('layer.v1.tar+gzip'),
  zstd: oci('layer.v1.tar+zstd'),
};

export interface Layer {
  readonly descriptor: Descriptor;
  readonly diffId: string;
}

export interface ImageParts {
  readonly layers: readonly Layer[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly manifest?: Readonly<Record<string, unknown>>;
  readonly descriptor?: Readonly<Record<string, unknown>>;
  readonly configType?: string;
  readonly manifestType?: string;
}

/** A layout in a folder, to which one adds. */
export class Layout {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    mkdirSync(join(path, 'blobs/sha256'), { recursive: true });
    this.top('oci-layout', { imageLayoutVersion: '1.0.0' });
  }

  blobPath(digest: string): string {
    return join(this.path, 'blobs', digest.replace(':', '/'));
  }

  top(name: string, document: unknown): void {
    writeFileSync(join(this.path, name), JSON.stringify(document));
  }

  blob(mediaType: string, content: Buffer | string): Descriptor {
    const digest = sha256(content);
    writeFileSync(this.blobPath(digest), content);
    return { mediaType, digest, size: Buffer.byteLength(content) };
  }

  document(mediaType: string, document: unknown): Descriptor {
    return this.blob(mediaType, JSON.stringify(document));
  }

  layer(entries: readonly TarEntry[], compression: Compression = 'gzip'): Layer {
    const tar = writeTar(entries);
    const descriptor = this.blob(layerTypes[compression], compressed[compression](tar));
    return { descriptor, diffId: sha256(tar) };
  }

  image({ layers, ...parts }: ImageParts): Descriptor {
    const config = {
      ...{ created: '2024-01-01T00:00:00Z', architecture: 'amd64', os: 'linux' },
      config: { Cmd: ['/bin/sh'], Healthcheck: { Interval: 30_000_000_000 } },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      ...parts.config,
    };
    const mediaType = parts.manifestType ?? oci('manifest.v1+json');
    const manifest = {
      schemaVersion: 2,
      mediaType,
      config: this.document(parts.configType ?? oci('config.v1+json'), config),
      layers: layers.map(({ descriptor }) => descriptor),
      ...parts.manifest,
    };
    return { ...this.document(mediaType, manifest), ...parts.descriptor };
  }

  index(manifests: readonly Descriptor[]): void {
    this.top('index.json', { schemaVersion: 2, manifests });
  }

  /** An archive of what is in the folder. */
  archive(path: string, change: (entries: TarEntry[]) => TarEntry[] = (all) => all): string {
    const names = readdirSync(this.path, { recursive: true, encoding: 'utf8' }).sort();
    const entries = names.map((name): TarEntry => {
      const own = join(this.path, name);
      if (statSync(own).isDirectory()) return { path: name, kind: 'directory', mode: 0o755 };
      return { path: name, kind: 'file', mode: 0o644, content: readFileSync(own) };
    });
    writeFileSync(path, writeTar(change(entries)));
    return path;
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the test knows it
  read<Document>(digest: string): Document {
    return JSON.parse(readFileSync(this.blobPath(digest), 'utf8')) as Document;
  }
}

/** A layout with one small image of two layers. */
export function smallLayout(path: string, parts: Partial<ImageParts> = {}): Layout {
  const layout = new Layout(path);
  const layers = [layout.layer([file('a', 'one\n')]), layout.layer([file('b', 'two\n')])];
  layout.index([layout.image({ layers, ...parts })]);
  return layout;
}
