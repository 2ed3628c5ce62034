// Lookups in the index of a stack, beside a plain binary search over the same mappings.
import { print, table } from '../report.ts';
import { json, type Programs } from './programs.ts';

interface Lookups {
  readonly content: string;
  readonly mappings: number;
  readonly candidate: string;
  readonly millionLookupsPerSecond: number;
  readonly ratioToPlain: number;
}
interface Opening {
  readonly layers: number;
  readonly mappingsEach: number;
  readonly bestOpeningMs: number;
  readonly firstOpeningMs: number;
}

export async function measureLookups(programs: Programs): Promise<void> {
  const figures = await json<readonly (Lookups | Opening)[]>(programs.lookups, ['--json']);
  const lookups = figures.filter((figure) => 'candidate' in figure);
  const openings = figures.filter((figure) => 'layers' in figure);
  const candidates = [...new Set(lookups.map(({ candidate }) => candidate))];
  const counts = [...new Set(lookups.map(({ mappings }) => mappings))];
  print('### Lookups');
  print();
  print(
    'Million whole lookups a second of one thread, by its processor time (the ratio to the plain ' +
      'binary search), by the number of mappings.',
  );
  print();
  for (const content of new Set(lookups.map((figure) => figure.content))) {
    table(
      [content, ...counts.map((count) => count.toLocaleString('en'))],
      candidates.map((candidate) => [
        candidate,
        ...counts.map((count) => {
          const found = lookups.find(
            (figure) =>
              figure.content === content &&
              figure.candidate === candidate &&
              figure.mappings === count,
          );
          if (found === undefined) return '';
          const ratio = `${found.ratioToPlain.toFixed(1)}×`;
          return `${found.millionLookupsPerSecond.toFixed(1)} (${ratio})`;
        }),
      ]),
    );
  }
  table(
    ['opening', 'best of 7', 'first'],
    openings.map(({ layers, mappingsEach, bestOpeningMs, firstOpeningMs }) => [
      `${layers} × ${mappingsEach.toLocaleString('en')} mappings`,
      `${bestOpeningMs.toFixed(1)} ms`,
      `${firstOpeningMs.toFixed(1)} ms`,
    ]),
  );
}
