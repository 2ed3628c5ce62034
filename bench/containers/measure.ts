// Containers on overlaybd images beside containerd's overlayfs snapshotter on ordinary images of
// the same files: what it takes to begin one, to remove one, and to read the image inside.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { median, print, ratioOf, table } from '../report.ts';
import { makeDisk } from '../snapshots/disk.ts';
import { withServer, type Contestant, type RunningServer } from '../snapshots/servers.ts';
import { SnapshotsClient, timed, type BenchMount } from './client.ts';
import { blockLayer, makeBlockLayers, makeTar, ordinaryLayer, unpack } from './images.ts';

const run = promisify(execFile);

export interface ContainersBench {
  readonly scratch: string;
  readonly rounds: number;
  readonly peer: Contestant;
  readonly varve: Contestant;
  /** varve-bd and varve-layer. */
  readonly daemon: string;
  readonly layerTool: string;
}

/** How many containers one round begins, after as many that do not count. */
const containerCount = 300;
const imageCount = 100;
const snapshotCount = 1_000;
const files = { fileCount: 500, fileBytes: 64 * 1024 } as const;

const percentile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

const ms = (value: number): string => `${value.toFixed(2)} ms`;

interface World {
  readonly client: SnapshotsClient;
  readonly server: RunningServer;
  readonly daemonMiB: () => Promise<number>;
}

/** Calls `work` with varve and varve-bd on a disk of their own. */
async function withVarve<Value>(
  bench: ContainersBench,
  { name, lingerMs }: { readonly name: string; readonly lingerMs: number },
  work: (world: World) => Promise<Value>,
): Promise<Value> {
  const disk = await makeDisk(join(bench.scratch, name));
  const socket = join(disk.path, 'bd.sock');
  const daemon = spawn(bench.daemon, ['--socket', socket], { stdio: 'ignore' });
  const ended = once(daemon, 'exit');
  try {
    for (let look = 0; look < 400 && !existsSync(socket); look += 1) await delay(25);
    const own = { autoRemoveDev: true, lingerMs, blockDaemonAddress: socket };
    const contestant = { ...bench.varve, config: { ...bench.varve.config, ...own } };
    const daemonMiB = async (): Promise<number> => {
      const status = await readFile(`/proc/${daemon.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
    };
    return await withServer(contestant, disk.path, async (server) => {
      const client = new SnapshotsClient(server.address);
      try {
        return await work({ client, server, daemonMiB });
      } finally {
        client.close();
      }
    });
  } finally {
    await unmountBelow(disk.path);
    daemon.kill('SIGTERM');
    await ended;
    await disk.remove();
  }
}

/** Devices that linger outlive their server. */
async function unmountBelow(folder: string): Promise<void> {
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8');
  const points = mountinfo.split('\n').map((line) => line.split(' ')[4] ?? '');
  for (const point of points.reverse()) {
    if (point.startsWith(`${folder}/`)) await run('umount', [point]);
  }
}

async function withPeer<Value>(
  bench: ContainersBench,
  name: string,
  work: (client: SnapshotsClient) => Promise<Value>,
): Promise<Value> {
  const disk = await makeDisk(join(bench.scratch, name));
  try {
    return await withServer(bench.peer, disk.path, async ({ address }) => {
      const client = new SnapshotsClient(address);
      try {
        return await work(client);
      } finally {
        client.close();
      }
    });
  } finally {
    await disk.remove();
  }
}

/** Prepare and Mounts of containers one after another; each is removed in between. */
async function beginContainers(client: SnapshotsClient, image: string): Promise<readonly number[]> {
  const times: number[] = [];
  for (let index = 0; index < containerCount; index += 1) {
    const key = `box-${index}`;
    times.push(
      await timed(async () => {
        await client.prepare(key, image);
        await client.mounts(key);
      }),
    );
    await client.remove(key);
  }
  return times;
}

async function measureFurther(bench: ContainersBench, tars: readonly string[]): Promise<void> {
  const layers = await makeBlockLayers(bench.layerTool, join(bench.scratch, 'layers'), tars);
  const mine: (readonly number[])[] = [];
  const theirs: (readonly number[])[] = [];
  for (let round = 0; round < bench.rounds; round += 1) {
    theirs.push(
      await withPeer(bench, `peer-${round}`, async (client) => {
        const image = await unpack(client, 'image', tars.map(ordinaryLayer));
        await client.prepare('first', image);
        await beginContainers(client, image);
        return beginContainers(client, image);
      }),
    );
    mine.push(
      await withVarve(bench, { name: `varve-${round}`, lingerMs: 60_000 }, async ({ client }) => {
        const image = await unpack(client, 'image', layers.map(blockLayer));
        await client.prepare('first', image);
        await beginContainers(client, image);
        const times = await beginContainers(client, image);
        await client.remove('first');
        return times;
      }),
    );
  }
  print('### A further container of an image: Prepare and Mounts');
  print();
  const row = (name: string, share: number): readonly string[] => {
    const of = (rounds: readonly (readonly number[])[]): readonly number[] =>
      rounds.map((times) => percentile(times, share));
    const ratio = ratioOf(of(mine), of(theirs));
    return [name, ms(median(of(theirs))), ms(median(of(mine))), ratio];
  };
  table(
    ['', bench.peer.name, 'varve, on a block device', 'ratio'],
    [row('p50', 0.5), row('p99', 0.99)],
  );
}

async function measureFirst(bench: ContainersBench, layers: readonly string[]): Promise<void> {
  const times = await withVarve(bench, { name: 'first', lingerMs: 0 }, async ({ client }) => {
    const image = await unpack(client, 'image', layers.map(blockLayer));
    const found: number[] = [];
    for (let index = 0; index < 30; index += 1) {
      found.push(await timed(() => client.prepare('box', image)));
      await client.remove('box');
      while ((await readFile('/proc/self/mountinfo', 'utf8')).includes('first/root/snapshots')) {
        await delay(5);
      }
    }
    return found;
  });
  print('### The first container of an image: attach and mount');
  print();
  table(['p50', 'p99'], [[ms(percentile(times, 0.5)), ms(percentile(times, 0.99))]]);
}

/** What one contestant does with many containers over many images. */
interface Many {
  readonly firstMs: number;
  readonly prepares: readonly number[];
  readonly removes: readonly number[];
}

/** A first container of each image at once; then further ones begun and removed one by one. */
async function runMany(
  client: SnapshotsClient,
  images: readonly string[],
  meanwhile: () => Promise<void>,
): Promise<Many> {
  const firstMs = await timed(() =>
    Promise.all(images.map((image, index) => client.prepare(`first-${index}`, image))),
  );
  const prepares: number[] = [];
  for (let index = 0; index < snapshotCount; index += 1) {
    const image = images[index % images.length] ?? '';
    prepares.push(await timed(() => client.prepare(`box-${index}`, image)));
  }
  await meanwhile();
  const removes: number[] = [];
  for (let index = 0; index < snapshotCount; index += 1) {
    removes.push(await timed(() => client.remove(`box-${index}`)));
  }
  for (let index = 0; index < images.length; index += 1) await client.remove(`first-${index}`);
  return { firstMs, prepares, removes };
}

async function measureMany(bench: ContainersBench, layer: string, tar: string): Promise<void> {
  const unpackAll = async (
    client: SnapshotsClient,
    one: Parameters<typeof unpack>[2][number],
  ): Promise<readonly string[]> => {
    const images: string[] = [];
    for (let index = 0; index < imageCount; index += 1) {
      images.push(await unpack(client, `image-${index}`, [one]));
    }
    return images;
  };
  const theirs = await withPeer(bench, 'peer-many', async (client) =>
    runMany(client, await unpackAll(client, ordinaryLayer(tar)), async () => undefined),
  );
  await withVarve(bench, { name: 'many', lingerMs: 60_000 }, async (world) => {
    const { client, server, daemonMiB } = world;
    let memory: readonly number[] = [];
    const mine = await runMany(client, await unpackAll(client, blockLayer(layer)), async () => {
      memory = [await server.residentMiB(), await daemonMiB()];
    });
    print(`### ${snapshotCount} containers over ${imageCount} images, each with a device`);
    print();
    const row = (name: string, of: (many: Many) => number): readonly string[] => {
      const ratio = `${(of(mine) / of(theirs)).toFixed(2)}×`;
      return [name, ms(of(theirs)), ms(of(mine)), ratio];
    };
    const rows = [
      row(`${imageCount} first containers at once`, ({ firstMs }) => firstMs),
      row('Prepare of a further one, p50', ({ prepares }) => percentile(prepares, 0.5)),
      row('Prepare of a further one, p99', ({ prepares }) => percentile(prepares, 0.99)),
      row('Remove, p50', ({ removes }) => percentile(removes, 0.5)),
      row('Remove, p99', ({ removes }) => percentile(removes, 0.99)),
    ];
    const [serve = Number.NaN, daemon = Number.NaN] = memory;
    rows.push([
      'memory of varve serve, of varve-bd',
      '',
      `${serve.toFixed(0)}, ${daemon.toFixed(0)} MiB`,
      '',
    ]);
    table(['', bench.peer.name, 'varve, on block devices', 'ratio'], rows);
  });
}

/** Mounts what Prepare answered and reads every file, cold and then warm. */
async function readAll(
  folder: string,
  [mount]: readonly BenchMount[],
): Promise<readonly [coldMs: number, warmMs: number]> {
  await mkdir(folder, { recursive: true });
  const { type = '', source = '', options = [] } = mount ?? {};
  await run('mount', ['-t', type, source, folder, '-o', options.join(',')]);
  try {
    const read = (): Promise<unknown> =>
      run('sh', ['-c', `find ${folder} -type f -exec cat {} + >/dev/null`]);
    await run('sync');
    await writeFile('/proc/sys/vm/drop_caches', '3');
    return [await timed(read), await timed(read)];
  } finally {
    await run('umount', [folder]);
  }
}

async function measureReading(
  bench: ContainersBench,
  { tars, layers }: { readonly tars: readonly string[]; readonly layers: readonly string[] },
): Promise<void> {
  const at = (name: string): string => join(bench.scratch, name);
  const theirs: (readonly [number, number])[] = [];
  const mine: (readonly [number, number])[] = [];
  for (let round = 0; round < bench.rounds; round += 1) {
    theirs.push(
      await withPeer(bench, `peer-read-${round}`, async (client) => {
        const image = await unpack(client, 'image', tars.map(ordinaryLayer));
        return readAll(at('peer-mounted'), await client.prepare('box', image));
      }),
    );
    const where = { name: `varve-read-${round}`, lingerMs: 0 };
    mine.push(
      await withVarve(bench, where, async ({ client }) => {
        const image = await unpack(client, 'image', layers.map(blockLayer));
        const times = await readAll(at('varve-mounted'), await client.prepare('box', image));
        await client.remove('box');
        return times;
      }),
    );
  }
  const mebibytes = (tars.length * files.fileCount * files.fileBytes) / 2 ** 20;
  print(`### Reading all files of an image inside a container (${mebibytes.toFixed(0)} MiB)`);
  print();
  const row = (name: string, which: 0 | 1): readonly string[] => {
    const of = (rounds: readonly (readonly [number, number])[]): readonly number[] =>
      rounds.map((times) => times[which]);
    const ratio = ratioOf(of(mine), of(theirs));
    return [name, ms(median(of(theirs))), ms(median(of(mine))), ratio];
  };
  table(
    ['page cache', 'overlayfs on ext4', 'overlay over a block device', 'ratio'],
    [row('cold', 0), row('warm', 1)],
  );
}

/** All that is measured of containers on block images; ratios below 1 are quicker than the peer. */
export async function measureContainers(bench: ContainersBench): Promise<void> {
  const folder = join(bench.scratch, 'tars');
  await mkdir(folder);
  const tars: string[] = [];
  for (const name of ['base', 'middle', 'top']) tars.push(await makeTar(folder, name, files));
  await measureFurther(bench, tars);
  const layers = ['block-0', 'block-1', 'block-2'].map((name) =>
    join(bench.scratch, 'layers', name, 'overlaybd.commit'),
  );
  await measureFirst(bench, layers);
  const small = await makeTar(folder, 'small', { fileCount: 10, fileBytes: 4096 });
  const [layer = ''] = await makeBlockLayers(bench.layerTool, join(bench.scratch, 'small'), [
    small,
  ]);
  await measureMany(bench, layer, small);
  await measureReading(bench, { tars, layers });
}
