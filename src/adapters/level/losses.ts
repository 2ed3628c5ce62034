// What repairs could not save: ranges of positions within which events are missing for good. A read
// of them answers that they are lost; nothing else is held against the log because of them.
import type { SeqRange } from '../../engine/ports.ts';
import type { Database } from './database.ts';
import { lossesKey } from './keys.ts';
import { seal, unsealJson } from './sealed-value.ts';

export interface Losses {
  /** In order, apart from one another. Within them events may be missing; those found are sound. */
  readonly ranges: readonly SeqRange[];
  /**
   * Position of the checkpoint behind all of them, which is kept: history folds from there on. 0
   * when nothing is lost.
   */
  readonly resumedAtSeq: number;
}

export const noLosses: Losses = { ranges: [], resumedAtSeq: 0 };

/** More ranges than this are told as fewer, wider ones. */
export const lostRangesMax = 1000;

/** Ranges in order with none touching the next, the nearest joined while there are too many. */
export function joinedRanges(ranges: readonly SeqRange[], countMax = lostRangesMax): SeqRange[] {
  const joinedWithin = (gapSeqs: number): SeqRange[] => {
    const joined: SeqRange[] = [];
    for (const { fromSeq, toSeq } of [...ranges].sort((a, b) => a.fromSeq - b.fromSeq)) {
      const last = joined.at(-1);
      if (last !== undefined && fromSeq <= last.toSeq + 1 + gapSeqs) {
        joined[joined.length - 1] = { ...last, toSeq: Math.max(last.toSeq, toSeq) };
      } else {
        joined.push({ fromSeq, toSeq });
      }
    }
    return joined;
  };
  let joined = joinedWithin(0);
  for (let gapSeqs = 1; joined.length > countMax; gapSeqs *= 2) joined = joinedWithin(gapSeqs);
  return joined;
}

/** The range that holds a position, if it lies within a loss. */
export function lossAt({ ranges }: Losses, seq: number): SeqRange | undefined {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle] as SeqRange;
    if (seq < range.fromSeq) high = middle - 1;
    else if (seq > range.toSeq) low = middle + 1;
    else return range;
  }
  return undefined;
}

/** Whether any position strictly between two lies within a loss. */
export function isLossBetween({ ranges }: Losses, afterSeq: number, beforeSeq: number): boolean {
  return ranges.some(({ fromSeq, toSeq }) => fromSeq < beforeSeq && toSeq > afterSeq);
}

export function encodeLosses(losses: Losses): string {
  return seal(lossesKey, JSON.stringify(losses));
}

export function decodeLosses(value: string | undefined): Losses | undefined {
  return unsealJson(lossesKey, value) as Losses | undefined;
}

/** The stored losses; none when they cannot be read: what is missing is damage again then. */
export async function loadLosses(database: Database): Promise<Losses> {
  try {
    return decodeLosses(await database.get(lossesKey)) ?? noLosses;
  } catch {
    // LevelDB found the block unreadable.
    return noLosses;
  }
}
