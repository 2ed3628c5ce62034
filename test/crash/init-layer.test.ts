// `varve serve` with real devices, killed as by kill -9 at the boundaries that it passes while
// Docker makes and removes containers above a block layer: what was answered is there, a running
// container does not notice, and in the end nothing is left. A recording run names the boundaries.
// VARVE_LONG=1 takes all, the short form some; VARVE_BOUNDARY=effect:mountDevice:after:1 takes one.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { startBlockDaemon } from '../e2e/lab/block-daemon.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { settings } from '../property/settings.ts';
import { TestClient } from '../server/client.ts';
import { configurationIn, ServerProcess } from '../server/server-process.ts';
import { DockerNode } from './docker-node.ts';

/** What the time of the short form allows. */
const sampleCount = 4;

interface World {
  readonly path: string;
  readonly docker: DockerNode;
  readonly client: TestClient;
  readonly start: (environment?: Readonly<Record<string, string>>) => Promise<ServerProcess>;
}

async function makeWorld(t: TestContext): Promise<World> {
  const scratch = makeScratch('x-');
  t.after(scratch.dispose);
  const daemon = await startBlockDaemon(scratch.path);
  scratch.defer(() => daemon.service.stop());
  const places = configurationIn(scratch.path);
  const configuration = {
    ...places,
    ...({ runtimeType: 'docker', autoRemoveDev: true, lingerMs: 20 } as const),
    blockDaemonAddress: daemon.address,
  };
  const client = new TestClient(places.address);
  scratch.defer(async () => client.close());
  const rootfs = join(scratch.path, 'rootfs');
  const docker = new DockerNode({ root: places.root, daemonAddress: daemon.address, rootfs });
  return {
    path: scratch.path,
    docker,
    client,
    start: async (environment = {}) => {
      const server = new ServerProcess(t, configuration, { environment });
      scratch.defer(async () => {
        server.child.kill('SIGKILL');
        await server.exited;
      });
      await server.serving();
      // A client that was refused by a dead one waits for a while before it tries again.
      await client.connected();
      return server;
    },
  };
}

/** The boundaries that the work passes once the image is there, each with its number. */
async function recordedBoundaries(t: TestContext): Promise<readonly string[]> {
  const { path, docker, client, start } = await makeWorld(t);
  const trace = join(path, 'trace');
  const passed = (): readonly string[] => readFileSync(trace, 'utf8').split('\n').filter(Boolean);
  await start({ VARVE_CRASH_TRACE: trace });
  await docker.load(client);
  const before = passed().length;
  await docker.work(client, 'recorded');
  const counts = new Map<string, number>();
  const numbered = passed().map((name) => {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    return `${name}:${count}`;
  });
  await docker.clear(client);
  return numbered.slice(before);
}

describe('Docker’s containers above a block layer', { skip: deviceObstacle() ?? false }, () => {
  const options = { concurrency: 2 };
  test('are as they were answered after kill -9 at any boundary', options, async (t) => {
    const all = await recordedBoundaries(t);
    for (const kind of ['attachDevice', 'mountDevice', 'unmountDevice', 'detachDevice']) {
      assert.ok(
        all.some((at) => at.startsWith(`effect:${kind}`)),
        `${kind} is among ${all.join()}`,
      );
    }
    const { seed, runCount } = settings(sampleCount, all.length);
    t.diagnostic(`${runCount} of ${all.length} boundaries`);
    const bounds = { minLength: runCount, maxLength: runCount };
    const [sample = []] = fc.sample(fc.shuffledSubarray([...all], bounds), { seed, numRuns: 1 });
    const { VARVE_BOUNDARY } = process.env;
    const chosen = VARVE_BOUNDARY === undefined ? sample : [VARVE_BOUNDARY];
    const cases = chosen.map((at) =>
      t.test(`at ${at}`, async (each) => {
        const { docker, client, start } = await makeWorld(each);
        const killed = await start({ VARVE_CRASH_AT: at });
        const isDone = await docker.attempt(async () => {
          await docker.load(client);
          await docker.work(client, 'killed');
        });
        // How many appends there are depends on what comes together.
        if (isDone) killed.child.kill('SIGKILL');
        assert.deepEqual(await killed.exited, { code: null, signal: 'SIGKILL' });
        const server = await start();
        await docker.check(client);
        await docker.clear(client);
        await docker.load(client);
        await docker.work(client, 'after');
        await docker.clear(client);
        server.child.kill('SIGTERM');
        assert.deepEqual(await server.exited, { code: 0, signal: null });
        const complaints = server.lines.filter(({ level }) => ['error', 'fatal'].includes(level));
        assert.deepEqual(complaints, []);
      }),
    );
    await Promise.all(cases);
  });
});
