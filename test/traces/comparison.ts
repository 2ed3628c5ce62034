// Compares what varve answers with what was recorded. Ids differ between the two: each recorded id
// must stand for one id of varve's for a whole session, and no two for the same. Times and sizes
// differ by nature and are only checked for being there.
import { existsSync } from 'node:fs';
import type { TraceInfo } from './trace.ts';

export interface WireMount {
  readonly type?: string | null;
  readonly source?: string | null;
  readonly options?: readonly string[] | null;
}

interface WireTime {
  readonly seconds?: number | string | { toString(): string } | null;
  readonly nanos?: number | null;
}

export interface WireInfo {
  readonly name?: string | null;
  readonly parent?: string | null;
  readonly kind?: number | null;
  readonly createdAt?: WireTime | null;
  readonly updatedAt?: WireTime | null;
  readonly labels?: Readonly<Record<string, string>> | null;
}

// All recordings are from kernels with this parameter; without it the option is no option.
const indexOption = 'index=off';
const hasIndex = existsSync('/sys/module/overlay/parameters/index');

/** Ids of the recorded snapshotter and of varve, one to one. */
export class IdPairs {
  readonly #ours = new Map<string, string>();
  readonly #recorded = new Map<string, string>();

  /** Whether the two may be, and from now on are, the same snapshot. */
  pair(recorded: string, ours: string): boolean {
    const knownOurs = this.#ours.get(recorded);
    const knownRecorded = this.#recorded.get(ours);
    if (knownOurs === undefined && knownRecorded === undefined) {
      this.#ours.set(recorded, ours);
      this.#recorded.set(ours, recorded);
      return true;
    }
    return knownOurs === ours && knownRecorded === recorded;
  }
}

/** Mounts as `type source option,option`, with paths relative to the snapshots' directory. */
export const plainMounts = (mounts: readonly WireMount[], directory: string): readonly string[] =>
  mounts.map(({ type, source, options }) =>
    `${type} ${source} ${(options ?? []).join(',')}`.replaceAll(`${directory}/`, ''),
  );

/** The mount of an active snapshot with the given layers, its own first. */
export function ordinaryMount([own = '', ...lower]: readonly string[]): string {
  if (lower.length === 0) return `bind ${own}/fs rw,rbind`;
  const below = lower.map((id) => `${id}/fs`).join(':');
  return `overlay overlay ${indexOption},workdir=${own}/work,upperdir=${own}/fs,lowerdir=${below}`;
}

/** Ids that a mount names: the snapshot's own if writable, and the layers below, nearest first. */
export function idsOf(mount: string): { readonly own?: string; readonly lower: readonly string[] } {
  const upper = /upperdir=(\d+)\/fs/.exec(mount)?.[1] ?? /^bind (\d+)\/fs rw/.exec(mount)?.[1];
  const lower = /lowerdir=([^,]*)/.exec(mount)?.[1] ?? /^bind (\S+) ro/.exec(mount)?.[1];
  return {
    ...(upper === undefined ? {} : { own: upper }),
    lower: (lower?.split(':') ?? []).map((path) => path.replace('/fs', '')),
  };
}

/** What differs between mounts; the order of options is each snapshotter's own. */
export function compareMounts(
  recorded: readonly string[],
  ours: readonly string[],
  pairs: IdPairs,
): readonly string[] {
  if (recorded.length !== ours.length) return [`${ours.length} mounts, not ${recorded.length}`];
  return recorded.flatMap((mount, index) => {
    const other = ours[index] ?? '';
    return sameMount(mount, other, pairs) ? [] : [`mount "${other}", not "${mount}"`];
  });
}

const optionName = (option: string): string => option.split('=')[0] ?? '';

function byOptionName(a: string, b: string): number {
  return optionName(a) < optionName(b) ? -1 : 1;
}

function sameMount(recorded: string, ours: string, pairs: IdPairs): boolean {
  const words = (mount: string): readonly string[] => {
    const [type = '', source = '', options = ''] = mount.split(' ');
    const kept = options.split(',').filter((option) => hasIndex || option !== indexOption);
    return [type, source, ...kept.toSorted(byOptionName)];
  };
  const left = words(recorded);
  const right = words(ours);
  if (left.length !== right.length) return false;
  return left.every((word, index) => {
    const other = right[index] ?? '';
    if (word.replace(/\d+(?=\/)/g, '#') !== other.replace(/\d+(?=\/)/g, '#')) return false;
    const ids = word.match(/\d+(?=\/)/g) ?? [];
    const otherIds = other.match(/\d+(?=\/)/g) ?? [];
    return ids.every((id, at) => pairs.pair(id, otherIds[at] ?? ''));
  });
}

/** An Info in the words of the recording. */
export function plainInfo(info: WireInfo): TraceInfo {
  const labels = Object.entries(info.labels ?? {});
  return {
    name: info.name ?? '',
    ...(info.parent ? { parent: info.parent } : {}),
    kind: (['VIEW', 'ACTIVE', 'COMMITTED'] as const)[(info.kind ?? 0) - 1] ?? 'VIEW',
    ...(labels.length === 0 ? {} : { labels: Object.fromEntries(labels.toSorted()) }),
  };
}

/** An Info as one line, the same for equal ones. */
export function infoLine(info: TraceInfo): string {
  const labels = Object.entries(info.labels ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `${info.kind} ${info.name} on ${info.parent ?? 'nothing'} ${JSON.stringify(labels)}`;
}

/** What differs between two listings, leaving out names that were changing while they were made. */
export function compareInfos(
  recorded: readonly TraceInfo[],
  ours: readonly TraceInfo[],
  changing: ReadonlySet<string>,
): readonly string[] {
  const lines = (infos: readonly TraceInfo[]): ReadonlySet<string> =>
    new Set(infos.filter(({ name }) => !changing.has(name)).map(infoLine));
  const expected = lines(recorded);
  const actual = lines(ours);
  return [
    ...[...expected].filter((line) => !actual.has(line)).map((line) => `without ${line}`),
    ...[...actual].filter((line) => !expected.has(line)).map((line) => `with ${line}`),
  ];
}
