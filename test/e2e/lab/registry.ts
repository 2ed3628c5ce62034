// An image registry on loopback, holding the images pushed to it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { registryProgram } from './debian-packages.ts';
import { blobPath, type Descriptor, type Image } from './image.ts';
import { startService, waitUntilReady } from './service.ts';

export interface Registry {
  /** Host and port, as in an image's name. */
  readonly host: string;
  /** Pushes an image, under another name if it is given; answers the name to pull it by. */
  readonly push: (image: Image, name?: string) => Promise<string>;
  readonly stop: () => Promise<unknown>;
}

const octets = 'application/octet-stream';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function expectStatus(answer: Response, status: number, what: string): Promise<Response> {
  if (answer.status === status) return answer;
  throw new Error(`${what}: the registry answered ${answer.status}: ${await answer.text()}`);
}

async function put(url: URL | string, body: Buffer, mediaType: string): Promise<Response> {
  const headers = { 'content-type': mediaType };
  return fetch(url, { method: 'PUT', headers, body: new Uint8Array(body) });
}

async function pushBlob(base: string, image: Image, blob: Descriptor): Promise<void> {
  const content = readFileSync(blobPath(image.layoutDirectory, blob.digest));
  const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
  await expectStatus(begun, 202, `upload of ${blob.digest}`);
  const target = new URL(begun.headers.get('location') ?? '', base);
  target.searchParams.set('digest', blob.digest);
  await expectStatus(await put(target, content, octets), 201, `blob ${blob.digest}`);
}

async function pushImage(host: string, image: Image, name = image.name): Promise<string> {
  const base = `http://${host}/v2/${name}`;
  for (const { descriptor } of image.layers) await pushBlob(base, image, descriptor);
  await pushBlob(base, image, image.config);
  const manifest = readFileSync(blobPath(image.layoutDirectory, image.manifest.digest));
  const answer = await put(`${base}/manifests/latest`, manifest, image.manifest.mediaType);
  await expectStatus(answer, 201, `manifest of ${name}`);
  return `${host}/${name}:latest`;
}

/** Starts Debian's registry below a directory. */
export async function startRegistry(directory: string): Promise<Registry> {
  const program = await registryProgram();
  const host = `127.0.0.1:${await freePort()}`;
  mkdirSync(directory, { recursive: true });
  const configPath = join(directory, 'config.json');
  // Its configuration is YAML, of which JSON is a part.
  const config = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: host },
  };
  writeFileSync(configPath, JSON.stringify(config));
  const service = startService({
    name: 'registry',
    argv: [program, 'serve', configPath],
    logPath: join(directory, 'log'),
    env: { OTEL_TRACES_EXPORTER: 'none' },
  });
  await waitUntilReady(service, async () => {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    return answer?.status === 200;
  });
  return { host, push: (image, name) => pushImage(host, image, name), stop: () => service.stop() };
}
