// Sabotages of retention: what is dropped, when, and what must stay.
import type { Mutant } from './mutant.ts';

const retention = 'src/engine/retention.ts';
const policy = 'src/engine/retention-policy.ts';

export const retentionMutants: readonly Mutant[] = [
  {
    name: 'everything is dropped when retention is looked at',
    file: policy,
    search: '? throughSeq : undefined',
    replace: '? this.#store.lastSeq : undefined',
  },
  {
    name: 'what is younger than the maximum age is dropped',
    file: policy,
    search: 'event.timeUs < nowUs - maxAgeMs * 1_000',
    replace: 'event.timeUs < nowUs',
  },
  {
    name: 'what is older than the maximum age is kept',
    file: policy,
    search: '|| event.timeUs < nowUs - maxAgeMs * 1_000',
    replace: '|| event.timeUs < nowUs - maxAgeMs * 1_000_000',
  },
  {
    name: 'the maximum count is not kept',
    file: policy,
    search: 'return isOver ?',
    replace: 'return isOver && lastSeq === 0 ?',
  },
  {
    name: 'each event more drops one',
    file: policy,
    search: 'Math.floor(maxEventCount * retentionSlackRatio)',
    replace: '0',
  },
  {
    name: 'a busy node drops at every look',
    file: policy,
    search: ' * (1 + retentionSlackRatio)',
    replace: '',
  },
  {
    name: 'what dropping leaves is a reason to drop',
    file: policy,
    search: 'nodeEventCount >= nodeEventsWorthDropping',
    replace: 'nodeEventCount > 0',
  },
  {
    name: 'events of the node alone are kept for ever',
    file: policy,
    search: ' || nodeEventCount >= nodeEventsWorthDropping',
    replace: '',
  },
  {
    name: 'what was found before the horizon moved still counts',
    file: policy,
    search: 'if (this.#examined?.firstSeq !== firstSeq)',
    replace: 'if (this.#examined === undefined)',
  },
  {
    name: 'work that is not resolved is dropped',
    file: retention,
    search: 'if (isInFlight(state)) yield state;',
    replace: 'if (isInFlight(state) && state.lastSeq < 0) yield state;',
  },
  {
    name: 'the event that began what is in flight is dropped',
    file: retention,
    search: 'Math.min(horizonSeq, lastSeq - 1)',
    replace: 'Math.min(horizonSeq, lastSeq)',
  },
  {
    name: 'work is dropped whose outcome is not durable',
    file: retention,
    search: '    await sequencer.durableAt(sequencer.appliedSeq);\n',
    replace: '',
  },
  {
    name: 'a snapshot loses its beginning when it is removed',
    file: retention,
    search: 'liveStreamsOf(checkpoint)',
    replace: 'liveStreamsOf(projection.toCheckpoint())',
  },
  {
    name: 'a snapshot that lives on loses its beginning',
    file: retention,
    search: 'new Set(liveStreamsOf(checkpoint));',
    replace: 'new Set(liveStreamsOf(checkpoint).slice(2));',
  },
  {
    name: 'the events of the node are kept for ever',
    file: retention,
    search: '    live.delete(nodeStream);\n',
    replace: '',
  },
  {
    name: 'dropping is not recorded',
    file: retention,
    search: "recordNode([{ type: 'LogCompacted', data }], cause)",
    replace: 'recordNode([], cause)',
  },
];
