// Which events a Read or a Watch answers: by stream (exact, or by a prefix with `*`) and by type.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { varve } from './messages.ts';

export interface EventMatcher {
  matches(event: StoredEvent): boolean;
  /** The one stream asked for, if it is one: the log then reads it by its index. */
  readonly stream: string | undefined;
}

/** The matcher of a filter; none, or one without conditions, matches everything. */
export function eventMatcher(
  filter: varve.v1.EventFilter.$Properties | null | undefined,
): EventMatcher {
  const streams = filter?.streams ?? [];
  const types = new Set(filter?.types ?? []);
  const exact = new Set(streams.filter((stream) => !stream.endsWith('*')));
  const prefixes = streams.filter((s) => s.endsWith('*')).map((s) => s.slice(0, -1));
  const streamMatches = (stream: string): boolean =>
    streams.length === 0 ||
    exact.has(stream) ||
    prefixes.some((prefix) => stream.startsWith(prefix));
  return {
    matches: (event) => (types.size === 0 || types.has(event.type)) && streamMatches(event.stream),
    stream: prefixes.length === 0 && exact.size === 1 ? [...exact][0] : undefined,
  };
}
