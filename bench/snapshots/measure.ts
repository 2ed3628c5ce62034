// What is measured. Contestants take turns within each round, on servers that have just started and
// are warm: each run begins with a time that does not count.
import { join } from 'node:path';
import type { Contestants } from './contestants.ts';
import { makeDisk, type Disk } from './disk.ts';
import { load, type LoadResult } from './load.ts';
import { median, print, ratioOf, table } from '../report.ts';
import { withServer, type Contestant, type RunningServer } from './servers.ts';

export interface Bench {
  /** The load program. */
  readonly loadProgram: string;
  readonly contestants: Contestants;
  readonly scratch: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Figures by contestant and what was measured, one for each round. */
class Figures {
  readonly #values = new Map<string, number[]>();

  add(contestant: Contestant, what: string, value: number): void {
    const name = `${contestant.name}/${what}`;
    this.#values.set(name, [...(this.#values.get(name) ?? []), value]);
  }

  of(contestant: Contestant, what: string): readonly number[] {
    return this.#values.get(`${contestant.name}/${what}`) ?? [];
  }
}

interface Stand {
  readonly contestant: Contestant;
  readonly disk: Disk;
}

/** A disk for each contestant, filled with `present` snapshots, for as long as `work` goes on. */
async function withStands(
  bench: Bench,
  { all, present }: { all: readonly Contestant[]; present: number },
  work: (stands: readonly Stand[]) => Promise<void>,
): Promise<void> {
  const stands: Stand[] = [];
  try {
    for (const [index, contestant] of all.entries()) {
      const disk = await makeDisk(join(bench.scratch, `disk${index}`));
      stands.push({ contestant, disk });
      if (present === 0) continue;
      await withServer(contestant, disk.path, (server) =>
        load(bench.loadProgram, server, 'fill', { snapshots: present, clients: 64 }),
      );
    }
    await work(stands);
  } finally {
    for (const { disk } of stands) await disk.remove();
  }
}

/** Each round begins with another contestant. */
function inTurn<Item>(items: readonly Item[], round: number): readonly Item[] {
  const first = round % Math.max(items.length, 1);
  return [...items.slice(first), ...items.slice(0, first)];
}

/** The same load twice: first for the time that does not count. */
async function loadWarm(
  bench: Bench,
  server: RunningServer,
  subcommand: 'cycles' | 'reads',
  flags: Readonly<Record<string, string | number>>,
): Promise<LoadResult> {
  const { loadProgram, seconds, warmUpSeconds } = bench;
  await load(loadProgram, server, subcommand, { ...flags, seconds: warmUpSeconds });
  return load(loadProgram, server, subcommand, { ...flags, seconds });
}

/** The whole life of a snapshot, again and again, side by side; ends with Cleanup. */
export async function measureCycles(
  bench: Bench,
  present: number,
  clientCounts: readonly number[],
): Promise<void> {
  const { peer, varve, varveSyncfs, peerAsync, varveAsync } = bench.contestants;
  const pairs: readonly (readonly [Contestant, Contestant])[] = [
    [peer, peer],
    [varve, peer],
    [varveSyncfs, peer],
    [peerAsync, peerAsync],
    [varveAsync, peerAsync],
  ];
  const figures = new Figures();
  const all = pairs.map(([contestant]) => contestant);
  await withStands(bench, { all, present }, async (stands) => {
    for (let round = 0; round < bench.rounds; round++) {
      for (const clients of clientCounts) {
        for (const { contestant, disk } of inTurn(stands, round)) {
          const result = await withServer(contestant, disk.path, (server) =>
            loadWarm(bench, server, 'cycles', { clients }),
          );
          figures.add(contestant, String(clients), result.cyclesPerSecond ?? Number.NaN);
        }
      }
    }
  });
  print(
    `### Cycles (Prepare, Mounts, Commit, Prepare, Remove, Remove), ${present} snapshots there`,
  );
  print();
  table(
    ['', ...clientCounts.map((count) => `${count} client${count === 1 ? '' : 's'}`)],
    pairs.map(([contestant, rival]) => [
      contestant.name,
      ...clientCounts.map((count) => {
        const mine = figures.of(contestant, String(count));
        const rate = `${median(mine).toFixed(0)}/s`;
        if (contestant === rival) return rate;
        return `${rate} (${ratioOf(mine, figures.of(rival, String(count)))})`;
      }),
    ]),
  );
}

/** Stat, Mounts and List with many snapshots there, and the memory that holds them. */
export async function measureReads(bench: Bench, present: number): Promise<void> {
  const { peer, varve } = bench.contestants;
  const operations = ['stat', 'mounts', 'list'];
  const clientCounts = [1, 8];
  const figures = new Figures();
  await withStands(bench, { all: [peer, varve], present }, async (stands) => {
    for (let round = 0; round < bench.rounds; round++) {
      for (const { contestant, disk } of inTurn(stands, round)) {
        await withServer(contestant, disk.path, async (server) => {
          for (const operation of operations) {
            for (const clients of clientCounts) {
              const result = await loadWarm(bench, server, 'reads', { clients, operation });
              const p50Ms = result.calls[operation]?.p50Ms ?? Number.NaN;
              const figure = clients === 1 ? p50Ms : result.callsPerSecond;
              figures.add(contestant, `${operation}/${clients}`, figure);
            }
          }
          figures.add(contestant, 'memory', await server.residentMiB());
        });
      }
    }
  });
  const row = (name: string, what: string, format: (value: number) => string): string[] => [
    name,
    ...[peer, varve].map((contestant) => format(median(figures.of(contestant, what)))),
    ratioOf(figures.of(varve, what), figures.of(peer, what)),
  ];
  print(`### Reads, ${present} snapshots there`);
  print();
  table(
    ['', peer.name, varve.name, 'ratio'],
    [
      ...operations.flatMap((operation) => [
        row(`${operation}, p50 at 1 client`, `${operation}/1`, (ms) => `${ms.toFixed(3)} ms`),
        row(`${operation}, 8 clients`, `${operation}/8`, (rate) => `${rate.toFixed(0)}/s`),
      ]),
      row('resident memory after it', 'memory', (mib) => `${mib.toFixed(0)} MiB`),
    ],
  );
}

/** From spawn to SERVING: empty, with a long history, and with it after a kill. */
export async function measureStart(bench: Bench): Promise<void> {
  const { peer, varve } = bench.contestants;
  const figures = new Figures();
  const startAll = async (
    stands: readonly Stand[],
    { what, ending = 'SIGTERM' }: { what: string; ending?: 'SIGTERM' | 'SIGKILL' },
  ): Promise<void> => {
    for (let round = 0; round < bench.rounds; round++) {
      for (const { contestant, disk } of inTurn(stands, round)) {
        const measure = async (server: RunningServer): Promise<void> => {
          figures.add(contestant, `${what} start`, server.startMs);
          figures.add(contestant, `${what} memory`, await server.residentMiB());
        };
        await withServer(contestant, disk.path, measure, ending);
      }
    }
  };
  await withStands(bench, { all: [peer, varve], present: 0 }, async (stands) => {
    await startAll(stands, { what: 'empty' });
    for (const { contestant, disk } of stands) {
      await withServer(contestant, disk.path, async (server) => {
        await load(bench.loadProgram, server, 'cycles', { cycles: 8_750, clients: 64 });
        await load(bench.loadProgram, server, 'fill', { snapshots: 10_000, clients: 64 });
      });
    }
    await startAll(stands, { what: 'full' });
    // The first of these starts still follows an orderly end.
    await withServer(varve, stands[1]?.disk.path ?? '', () => Promise.resolve(), 'SIGKILL');
    await startAll(stands, { what: 'killed', ending: 'SIGKILL' });
  });
  const cell = (contestant: Contestant, what: string): string =>
    `${median(figures.of(contestant, `${what} start`)).toFixed(0)} ms, ` +
    `${median(figures.of(contestant, `${what} memory`)).toFixed(0)} MiB`;
  const row = (name: string, what: string): string[] => [name, cell(peer, what), cell(varve, what)];
  print('### Start: from spawn to SERVING, and resident memory then');
  print();
  table(
    ['', peer.name, varve.name],
    [
      row('empty', 'empty'),
      row('10,000 snapshots, 100,000 events', 'full'),
      row('the same, after kill -9', 'killed'),
    ],
  );
}
