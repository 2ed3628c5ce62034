// Sabotages of the engine: order of durability, effects and replies; ids; recovery.
import type { Mutant } from './mutant.ts';

const commands = 'src/engine/commands.ts';
const dispatcher = 'src/engine/dispatcher.ts';
const effects = 'src/engine/effect-runner.ts';
const sequencer = 'src/engine/sequencer.ts';

export const engineMutants: readonly Mutant[] = [
  {
    name: 'an effect begins before its event is durable',
    file: dispatcher,
    search: 'if (state?.lastSeq === globalSeq) this.resume(state,',
    replace: 'if (state !== undefined) this.resume(state,',
  },
  {
    name: 'a reply leaves before its event is durable',
    file: sequencer,
    search: 'if (seq <= this.#durable.value) return Promise.resolve();',
    replace: 'if (seq <= this.appliedSeq) return Promise.resolve();',
  },
  {
    name: 'Prepare replies before it is durable',
    file: commands,
    search: '    await sequencer.durableAt(seq);\n    return mounts;',
    replace: '    return mounts;',
  },
  {
    name: 'Commit replies when its log fails',
    file: effects,
    search: '(await this.#isDurableAt(seq));',
    replace: '(await this.#isDurableAt(seq)) || true;',
  },
  {
    name: 'Commit replies with the outcome of an earlier attempt',
    file: commands,
    search: `{ failure } = await dispatcher.settled(snapshotId, operation?.operationId);
    return failure`,
    replace: `{ failure } = await dispatcher.settled(snapshotId);
    return failure`,
  },
  {
    name: 'two commands are decided on one state',
    file: commands,
    search: 'if (state === undefined || !isInFlight(state)) return work(state);',
    replace:
      'if (state === undefined || !isInFlight(state)) return Promise.resolve(state).then(work);',
  },
  {
    name: 'an id is handed out twice',
    file: 'src/engine/ids.ts',
    search: 'return this.#next++;',
    replace: 'return (this.#next += this.#next % 2);',
  },
  {
    name: 'an id is handed out again after a crash',
    file: 'src/engine/boot.ts',
    search: 'Math.max(max, id), idsReservedUpTo)',
    replace: 'Math.max(max, id), 0)',
  },
  {
    name: 'ids leave before their block is durable',
    file: 'src/engine/ids.ts',
    search: '      await this.#sequencer.durableAt(seq);\n',
    replace: '      void seq;\n',
  },
  {
    name: 'two Prepares of one key are under way at a time',
    file: commands,
    search: 'this.#reservedKeys.add(request.key);',
    replace: '',
  },
  {
    name: 'a Prepare does not look again whether its parent is still there',
    file: commands,
    search: 'const again = decidePrepare(command, this);',
    replace: 'const again = decided;',
  },
  {
    name: 'a directory that could not be made stays',
    file: commands,
    search:
      '      // It may be half made.\n      this.#undoPrepare(decided.value.data, call.cause);\n',
    replace: '',
  },
  {
    name: 'a failed log is written on',
    file: sequencer,
    search: '        this.#fail(error);\n        return;\n',
    replace: '',
  },
  {
    name: 'work in flight is forgotten at start',
    file: 'src/engine/recovery.ts',
    search: 'for (const state of plan.boot.inFlight) {',
    replace: 'for (const state of plan.boot.inFlight.slice(0, 0)) {',
  },
  {
    name: 'orphaned directories stay',
    file: 'src/engine/recovery.ts',
    search: 'this.#removeOrphans(plan.boot.orphans.filter(',
    replace: 'void (plan.boot.orphans.filter(',
  },
  {
    name: 'a start deletes directories that are in use',
    file: 'src/engine/boot.ts',
    search: 'orphans: unknown.filter(isOurs),',
    replace: 'orphans: found.filter(isOurs),',
  },
  {
    name: 'a checkpoint runs ahead of the log',
    file: 'src/engine/retention.ts',
    search: '    await sequencer.durableAt(checkpoint.globalSeq);\n',
    replace: '',
  },
  {
    name: 'a read tells what is not durable',
    file: 'src/engine/queries.ts',
    search: 'if (seq <= sequencer.durableSeq) return answered();',
    replace: 'if (seq <= sequencer.appliedSeq) return answered();',
  },
  {
    name: 'an outcome does not say which request began it',
    file: effects,
    search: '      ...cause,\n',
    replace: '',
  },
  {
    name: 'outcomes are recorded behind a closed log',
    file: sequencer,
    search: '    if (this.#isClosed) throw new NodeStopping();\n',
    replace: '',
  },
  {
    name: 'any number of calls waits for one snapshot',
    file: commands,
    search: 'dispatcher.waiterCount(snapshotId) < waiterCountMax',
    replace: 'dispatcher.waiterCount(snapshotId) >= 0',
  },
  {
    name: 'a Usage that the removal broke is a failure',
    file: 'src/engine/queries.ts',
    search: 'return isGone\n      ? this.usage(key)',
    replace: 'return isGone && key === ""\n      ? this.usage(key)',
  },
  {
    name: 'a failed deletion is not tried again',
    file: effects,
    search: '    this.#delayed.set(id, { job, cancel });\n',
    replace: '    this.#delayed.set(id, { job, cancel });\n    cancel();\n',
  },
];
