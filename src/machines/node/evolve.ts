// Folds the node stream: starts, stops, reserved ids, compaction.
import { invariant } from '../kernel/invariant.ts';
import type { NodeEvent } from './events.ts';
import type { NodeState } from './state.ts';

export function evolveNode(state: NodeState, event: NodeEvent): NodeState {
  invariant(
    event.revision === state.revision + 1,
    `node: revision ${event.revision} follows ${state.revision}`,
  );
  return { ...state, ...change(state, event), revision: event.revision };
}

function change(state: NodeState, event: NodeEvent): Partial<NodeState> {
  switch (event.type) {
    case 'NodeStarted': {
      const { bootId, version } = event.data;
      return { bootId, version, startedAtUs: event.timeUs, isRunning: true };
    }
    case 'NodeStopped':
      return { isRunning: false };
    case 'IdsReserved': {
      const { fromId, upTo } = event.data;
      // Directories of ids in between were there when this log had not handed any out: an older
      // copy of it was put back. They may hold what a newer one knew.
      const isGap = fromId - 1 > state.idsReservedUpTo;
      return {
        idsReservedUpTo: Math.max(state.idsReservedUpTo, upTo),
        orphansKeptUpTo: isGap
          ? Math.max(state.orphansKeptUpTo, fromId - 1)
          : state.orphansKeptUpTo,
      };
    }
    case 'LogCompacted':
      return { horizonSeq: event.data.horizonSeq };
    case 'LogRepaired':
      return {
        orphansKeptUpTo: Math.max(state.orphansKeptUpTo, event.data.orphansKeptUpTo),
        idsReservedUpTo: Math.max(state.idsReservedUpTo, event.data.idsReservedUpTo),
      };
    case 'OrphansRemoved':
      return {};
  }
}
