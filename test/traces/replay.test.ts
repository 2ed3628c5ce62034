// The recorded calls of real clients, replayed against a real `varve serve`, a fresh one for each
// session: every answer must be the recorded one, but for the deviations that are named.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { deviations } from './deviations.ts';
import { replay } from './replay.ts';
import { Server } from './server.ts';
import { readTraces } from './trace.ts';

const sessionMs = 60_000;
const shownProblemCount = 12;

/** How many calls of each client are recorded, so that none can go missing unnoticed. */
const recordedCallCounts: Readonly<Record<string, number>> = {
  BuildKit: 208,
  CRI: 335,
  'Docker 26': 1842,
  'Docker 29': 422,
  'ctr 1.6': 549,
  'ctr 1.7': 627,
  'ctr 2.4': 136,
  nerdctl: 129,
};

const replayedCallCounts = new Map<string, number>();
const deviationCounts = new Map(deviations.map(({ name }) => [name, 0]));

// Most of a session is waiting for the disk.
describe('replay', { concurrency: 4 }, () => {
  for (const trace of readTraces()) {
    test(
      `${trace.client} gets its recorded answers: session ${trace.session}`,
      { timeout: sessionMs },
      async (context) => {
        const server = new Server();
        context.after(() => server.dispose());
        await server.start();
        const replayed = await replay(trace, server);
        const shown = replayed.problems.slice(0, shownProblemCount).join('\n');
        assert.equal(
          replayed.problems.length,
          0,
          `answers differ from the recorded ones:\n${shown}`,
        );
        assert.equal(await leftoverCount(server), 0, 'directories of removed snapshots are left');
        await server.stop();

        count(replayedCallCounts, trace.client, replayed.callCount);
        for (const [name, met] of replayed.deviationCounts) count(deviationCounts, name, met);
        context.diagnostic(
          `${replayed.callCount} calls, ${replayed.overlappingCount} overlapping, ` +
            `${replayed.inferredCount} inferred, ${replayed.restartCount} restarts`,
        );
      },
    );
  }
});

test('all recorded calls of every client were replayed', (context) => {
  for (const [client, callCount] of replayedCallCounts) {
    context.diagnostic(`${client}: ${callCount} calls`);
  }
  assert.deepEqual(Object.fromEntries(replayedCallCounts), recordedCallCounts);
});

test('every deviation was met', (context) => {
  for (const [name, met] of deviationCounts) {
    context.diagnostic(`${name}: ${met} calls`);
    assert.notEqual(met, 0, `no call falls under the deviation "${name}": remove it`);
  }
});

/** After a Cleanup there is a directory for each snapshot and no other. */
async function leftoverCount(server: Server): Promise<number> {
  const { code, details } = await server.client.call(snapshotsDefinition.cleanup, {});
  assert.equal(code, 0, details);
  const { messages } = await server.client.all(snapshotsDefinition.list, {});
  const snapshotCount = messages.flatMap(({ info }) => info ?? []).length;
  return server.directoryIds().length - snapshotCount;
}

function count(counts: Map<string, number>, name: string, more: number): void {
  counts.set(name, (counts.get(name) ?? 0) + more);
}
