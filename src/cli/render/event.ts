// One event: as JSON for programs, as a sentence for people.
import { isoTime, printable } from '../../history/text.ts';
import { sentenceOf } from '../../history/why.ts';
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Output } from '../output.ts';
import { shortTime } from './state.ts';

/** The event with its time also as text. */
export function eventJson(event: StoredEvent): object {
  const { globalSeq, stream, revision, type, schemaVersion, timeUs, cause, data } = event;
  return {
    globalSeq,
    stream,
    revision,
    type,
    schemaVersion,
    time: isoTime(timeUs),
    timeUs,
    cause,
    data,
    hash: event.hash,
    previousHash: event.previousHash,
  };
}

/** Position, time, stream, type and sentence. */
export function eventLine(event: StoredEvent, output: Output): string {
  const sentence = sentenceOf(event);
  const text = sentence.tone === 'failed' ? output.styled('red', sentence.text) : sentence.text;
  return [
    String(event.globalSeq).padStart(6),
    output.styled('dim', shortTime(sentence.time)),
    output.styled('cyan', printable(event.stream).padEnd(12)),
    printable(event.type).padEnd(21),
    text,
  ].join('  ');
}
