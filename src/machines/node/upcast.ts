// Older versions of the node's events, each brought to the next.
import type { NodeEventData } from './events.ts';

interface LogRepairedVersion1 {
  /** Everything behind it was dropped, and its positions were used again. */
  readonly savedThroughSeq: number;
  readonly lost: NodeEventData['LogRepaired']['lost'];
  readonly orphansKeptUpTo?: number;
}

/** Ids that version 1 reserved at a time. */
const blockSizeOfVersion1 = 1_000;

/** Version 1 did not say where a block begins. */
export function idsReservedFromVersion1(data: unknown): NodeEventData['IdsReserved'] {
  const { upTo } = data as { readonly upTo: number };
  return { fromId: Math.max(1, upTo - blockSizeOfVersion1 + 1), upTo };
}

/** Version 1 ended history at the first loss; what was kept folds without a gap. */
export function logRepairedFromVersion1(data: unknown): NodeEventData['LogRepaired'] {
  const { lost, orphansKeptUpTo = 0 } = data as LogRepairedVersion1;
  return { lost, resumedAtSeq: 0, orphansKeptUpTo, idsReservedUpTo: 0 };
}
