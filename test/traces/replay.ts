// Replays a recorded session against a server: calls in their order of arrival, each begun only
// when every call that had ended by then has ended here too. Answers are compared with the recorded
// ones.
import { deviationOf } from './deviations.ts';
import { Player, type Expected } from './player.ts';
import type { Server } from './server.ts';
import type { Trace, TraceCall } from './trace.ts';

export interface Replayed {
  /** Recorded calls that were made. */
  readonly callCount: number;
  readonly overlappingCount: number;
  readonly inferredCount: number;
  readonly restartCount: number;
  /** How often each deviation was met, by name. */
  readonly deviationCounts: ReadonlyMap<string, number>;
  /** What differed, each with the call and the command it belongs to. */
  readonly problems: readonly string[];
}

/** Replays `trace` against `server`, restarting it where it was restarted then. */
export async function replay(trace: Trace, server: Server): Promise<Replayed> {
  const player = new Player(server);
  const calls = trace.steps.flatMap((step) => ('call' in step ? [step.call] : []));
  const problems: string[] = [];
  const deviationCounts = new Map<string, number>();
  const running: Promise<void>[] = [];
  let restartCount = 0;
  let command = '';

  const play = async (call: TraceCall, index: number): Promise<void> => {
    const deviation = deviationOf(trace, call);
    if (deviation !== undefined) {
      const { name } = deviation;
      deviationCounts.set(name, (deviationCounts.get(name) ?? 0) + 1);
    }
    const during = command.slice(0, commandLengthMax);
    const expected: Expected = deviation?.instead(call) ?? call.reply;
    const found = [...(await player.play(call, expected, changingDuring(calls, index)))];
    if (deviation !== undefined && call.reply.standsFor !== undefined) {
      found.push(...(await player.standIn(call, call.reply.standsFor)));
    }
    const { name, key } = call.request;
    const subject = `call ${index + 1}, ${call.method} ${name ?? key ?? ''}, of "${during}"`;
    problems.push(...found.map((problem) => `${subject}: ${problem}`));
  };

  for (const step of trace.steps) {
    if ('command' in step) command = step.command;
    else if ('restart' in step) {
      await Promise.all(running);
      await server.stop();
      await server.start();
      restartCount += 1;
    } else {
      const overlapping = new Set(step.call.during?.map((distance) => running.length - distance));
      await Promise.all(running.filter((_, index) => !overlapping.has(index)));
      running.push(play(step.call, running.length));
    }
  }
  await Promise.all(running);
  const inferredCount = calls.filter(({ inferred }) => inferred === true).length;
  return {
    callCount: running.length - inferredCount,
    overlappingCount: calls.filter(({ during }) => during !== undefined).length,
    inferredCount,
    restartCount,
    deviationCounts,
    problems,
  };
}

const commandLengthMax = 80;

/** Names that calls overlapping with this one make or remove. */
function changingDuring(calls: readonly TraceCall[], index: number): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [at, other] of calls.entries()) {
    const [earlier, later] = at < index ? [at, index] : [index, at];
    if (!(calls[later]?.during ?? []).includes(later - earlier)) continue;
    if (['Prepare', 'View', 'Commit', 'Remove'].includes(other.method)) {
      for (const name of [other.request.key, other.request.name]) {
        if (name !== undefined) names.add(name);
      }
    }
  }
  return names;
}
