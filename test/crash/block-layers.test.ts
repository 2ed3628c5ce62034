// `varve serve` killed as by kill -9 at every boundary of an effect that work with block layers
// passes, beside a container that runs: what was answered is there, the work goes on where it was,
// nothing is left over in the end, and the device of the one that runs is what it was.
// A recording run says which boundaries there are; VARVE_LONG=1 takes all of them, the short form
// some by a seed that it prints (VARVE_SEED repeats it).
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { setTimeout as rest } from 'node:timers/promises';
import fc from 'fast-check';
import { waitUntil } from '../e2e/lab/service.ts';
import { mountsBelow } from '../e2e/lab/scratch.ts';
import { base, BlockNode } from '../cli/block-node.ts';
import { devicesOf } from '../faults/devices.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { settings } from '../property/settings.ts';
import { nodes, works, type Step, type Work } from './block-work.ts';

/** How many boundaries of one kind of work are taken, and how many kinds. */
const { seed, runCount } = settings(1, 1_000);
const { runCount: workCount } = settings(3, works.length);
const chosen = fc
  .sample(fc.shuffledSubarray([...works], { minLength: workCount, maxLength: workCount }), {
    ...{ seed, numRuns: 1 },
  })
  .flat();

/** What is not passed within this time never is. */
const patienceMs = 60_000;

/** A container that runs all the time, on a chain of its own. */
const running = 'running';

/** Every passage of an effect's boundary, as VARVE_CRASH_AT names it. */
function passagesIn(trace: string): readonly string[] {
  const counts = new Map<string, number>();
  return trace
    .split('\n')
    .filter((name) => name.startsWith('effect:'))
    .map((name) => {
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      return `${name}:${count}`;
    });
}

for (const nodeSettings of nodes) {
  const ofNode = chosen.filter((work) => work.node === nodeSettings);
  if (ofNode.length === 0) continue;
  const skip = deviceObstacle() ?? false;
  const { runtimeType, writableLayerType } = nodeSettings;
  const nodeName = `${runtimeType}, ${writableLayerType}`;
  describe(`killed with block layers, ${nodeName}`, { skip, timeout: 600_000 }, () => {
    let node: BlockNode;
    let untouched: unknown;

    before(async () => {
      node = await BlockNode.start({ lingerMs: 0, ...nodeSettings });
      await node.unpackLayers();
      await node.prepare(running, base);
      [untouched] = await devicesOf(node);
    });
    after(() => node?.scratch.dispose());

    /** Nothing is in flight, and nothing is there but what was before. */
    async function settle(): Promise<void> {
      const state = async (): Promise<string> => {
        const { snapshots } = await node.json<{ snapshots: { key: string }[] }>('ls');
        const directories = readdirSync(path.join(node.root, 'snapshots')).length;
        const mounts = mountsBelow(node.scratch.path).length;
        const devices = (await devicesOf(node)).map(({ device }) => device);
        return JSON.stringify({ count: snapshots.length, directories, mounts, devices });
      };
      const atRest = { count: 3, directories: 3, mounts: 1, devices: ['snapshot-1'] };
      await waitUntil(
        'nothing is left over',
        async () => (await state()) === JSON.stringify(atRest),
      );
      assert.deepEqual(await devicesOf(node), [untouched], 'the device of the one that runs');
      const place = path.join(node.root, 'snapshots', '1', 'block', 'mountpoint');
      assert.equal(readFileSync(path.join(place, 'base'), 'utf8'), 'base\n');
    }

    async function carryOut(steps: readonly Step[], isAgain = false): Promise<void> {
      for (const step of steps) {
        const { code, details } = await step.call(node);
        const isDone = code === status.OK || (isAgain && code === step.again);
        assert.ok(isDone, `${step.name}: ${status[code]} ${details}`);
        await step.check(node);
      }
    }

    async function undo(work: Work): Promise<void> {
      for (const { name, call } of work.undo) {
        const { code, details } = await call(node);
        assert.equal(code, status.OK, `${name}: ${details}`);
      }
      await settle();
    }

    /** The boundaries that the work passes, its end included. */
    async function record(work: Work): Promise<readonly string[]> {
      await carryOut(work.before);
      const trace = path.join(node.scratch.path, `trace-${works.indexOf(work)}`);
      await node.restart('SIGTERM', { VARVE_CRASH_TRACE: trace });
      // Without checks, which pass boundaries of their own.
      for (const step of work.steps) {
        const { code, details } = await step.call(node);
        assert.equal(code, status.OK, `${step.name}: ${details}`);
      }
      if (work.undo.length === 0) await settle();
      const passages = existsSync(trace) ? passagesIn(readFileSync(trace, 'utf8')) : [];
      await node.restart();
      await undo(work);
      return passages;
    }

    /** Works until the server is gone; answers how many steps were answered. */
    async function workUntilGone(steps: readonly Step[]): Promise<number> {
      let answeredCount = 0;
      for (const step of steps) {
        const { code, details } = await step.call(node).catch(() => ({
          ...{ code: status.UNAVAILABLE, details: '' },
        }));
        if (code === status.UNAVAILABLE) break;
        assert.equal(code, status.OK, `${step.name}: ${details}`);
        answeredCount += 1;
      }
      const isGone = node.daemon.gone().then(() => true);
      const patience = rest(patienceMs, false, { ref: false });
      assert.ok(await Promise.race([isGone, patience]), 'the boundary is not passed');
      return answeredCount;
    }

    async function killAt(passage: string, work: Work): Promise<void> {
      await carryOut(work.before);
      await node.restart('SIGTERM', { VARVE_CRASH_AT: passage });
      const answeredCount = await workUntilGone(work.steps);
      await node.restart('SIGKILL');
      // The one that was not answered may have taken away what there was.
      const taken = new Set(work.steps.slice(0, answeredCount + 1).map(({ takes }) => takes));
      for (const { makes, check } of [...work.before, ...work.steps.slice(0, answeredCount)]) {
        if (makes === undefined || !taken.has(makes)) await check(node);
      }
      // What was not answered may have happened, and is asked for again.
      await carryOut(work.steps.slice(answeredCount), true);
      await undo(work);
    }

    for (const work of ofNode) {
      test(work.name, async (t: TestContext) => {
        const passages = await record(work);
        assert.ok(passages.length > 0, 'the work passes boundaries of effects');
        const count = Math.min(runCount, passages.length);
        const some = fc.shuffledSubarray([...passages], { minLength: count, maxLength: count });
        const taken = fc.sample(some, { seed, numRuns: 1 }).flat();
        t.diagnostic(`VARVE_SEED=${seed}: ${taken.length} of ${passages.length} boundaries`);
        for (const passage of taken) {
          await t.test(`at ${passage}`, () => killAt(passage, work));
        }
      });
    }
  });
}
