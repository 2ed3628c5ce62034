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
    case 'IdsReserved':
      return { idsReservedUpTo: Math.max(state.idsReservedUpTo, event.data.upTo) };
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
