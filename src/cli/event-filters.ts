// The filters of `varve events`: a name that cannot match is refused, since no output would look
// like a history in which nothing happened.
import { nearestName } from '../config/nearest.ts';
import { quoted } from '../history/text.ts';
import { eventVersions } from '../machines/event-types.ts';
import { CliFailure, exitCodes } from './exit-codes.ts';

/** Refuses types and streams that no event can have. */
export function checkFilters(streams: readonly string[], types: readonly string[]): void {
  const known = Object.keys(eventVersions);
  for (const type of types) {
    if (known.includes(type)) continue;
    const nearest = nearestName(type, known);
    const next = nearest === undefined ? 'docs/events.md lists them' : `did you mean ${nearest}?`;
    throw new CliFailure(exitCodes.usage, `there is no event type ${quoted(type)}; ${next}`);
  }
  for (const stream of streams) {
    if (canMatch(stream)) continue;
    throw new CliFailure(
      exitCodes.usage,
      `there is no stream ${quoted(stream)}: name node, snapshot-<id>, device-<id>, snapshot-* or device-*`,
    );
  }
}

function canMatch(stream: string): boolean {
  if (stream === 'node' || /^(snapshot|device)-\d+\*?$/.test(stream)) return true;
  const beginning = stream.slice(0, -1);
  const isOpen = stream.endsWith('*');
  return isOpen && ['node', 'snapshot-', 'device-'].some((name) => name.startsWith(beginning));
}
