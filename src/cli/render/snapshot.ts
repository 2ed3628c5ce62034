// One snapshot with everything around it, and its history in sentences, for people.
import { failureReason } from '../../history/failure-text.ts';
import type { SnapshotDocument } from '../../history/snapshot-document.ts';
import { counted, humanSize, printable } from '../../history/text.ts';
import type { Sentence, WhyDocument } from '../../history/why.ts';
import type { Output, Style } from '../output.ts';
import { shortTime } from './state.ts';

const labelWidth = 10;

/** The snapshot, one fact a line. */
export function snapshotLines(snapshot: SnapshotDocument, output: Output): readonly string[] {
  const fact = (name: string, text: string): string =>
    `${output.styled('bold', name.padEnd(labelWidth))} ${text}`;
  const { usage, operation, lastFailure } = snapshot;
  const parentId = snapshot.parentId === null ? '' : ` (#${snapshot.parentId})`;
  const lines = [
    fact('key', printable(snapshot.key)),
    fact('id', `#${snapshot.id}`),
    fact('kind', `${snapshot.kind ?? 'none'} (${snapshot.role}, ${snapshot.lifecycle})`),
    fact('parent', snapshot.parent === '' ? 'none' : printable(snapshot.parent) + parentId),
    fact('created', shortTime(snapshot.created)),
    fact('updated', shortTime(snapshot.updated)),
    fact(
      'usage',
      usage === null
        ? 'not measured yet'
        : `${humanSize(usage.sizeBytes)} in ${counted(usage.inodeCount, 'inode')}`,
    ),
  ];
  if (operation !== null) {
    const { name, attemptCount } = operation;
    const what = name === null ? 'deleting its directory' : `commit as ${printable(name)}`;
    lines.push(fact('going on', `${what}, attempt ${attemptCount}`));
  }
  if (lastFailure !== null) {
    const { step, code, path } = lastFailure;
    const at = path === undefined ? '' : ` at ${printable(path)}`;
    const reason = failureReason(lastFailure);
    const text = `${printable(step)} answered ${printable(code)}${at} (${reason})`;
    lines.push(fact('failure', output.styled('red', text)));
  }
  return [...lines, ...surroundings(snapshot, fact)];
}

function surroundings(
  snapshot: SnapshotDocument,
  fact: (name: string, text: string) => string,
): readonly string[] {
  const list = (name: string, texts: readonly string[]): readonly string[] =>
    texts.map((text, index) => fact(index === 0 ? name : '', text));
  return [
    ...list(
      'labels',
      Object.entries(snapshot.labels).map(([name, value]) => printable(`${name}=${value}`)),
    ),
    ...list('device', deviceTexts(snapshot)),
    ...list(
      'mounts',
      (snapshot.mounts ?? []).map(({ type, source, options }) =>
        printable(`${type} ${source} ${options.join(',')}`),
      ),
    ),
    ...list(
      'chain',
      snapshot.chain.map((ancestor) => `#${ancestor.id} ${printable(ancestor.key)}`),
    ),
    ...list(
      'children',
      snapshot.children.map((child) => `#${child.id} ${printable(child.key)}`),
    ),
    ...list(
      'events',
      snapshot.events.map((event) => `${event.globalSeq} ${shortTime(event.time)} ${event.type}`),
    ),
  ];
}

function deviceTexts({ device }: SnapshotDocument): readonly string[] {
  if (device === null) return [];
  const { id, path, transport, state } = device;
  return [[`#${id}`, path ?? '', transport ?? '', state].map(printable).join('  ')];
}

const toneStyles: Readonly<Record<Sentence['tone'], Style>> = {
  done: 'green',
  started: 'yellow',
  failed: 'red',
};

/** A sentence with its position and time. */
export function sentenceLine(sentence: Sentence, output: Output): string {
  const seq = String(sentence.globalSeq).padStart(6);
  const mark = output.styled(toneStyles[sentence.tone], sentence.tone === 'failed' ? '✗' : '·');
  return `${seq}  ${output.styled('dim', shortTime(sentence.time))}  ${mark} ${sentence.text}`;
}

/** The histories of everything that bore a key. */
export function whyLines(why: WhyDocument, output: Output): readonly string[] {
  return why.histories.flatMap((history, index) => [
    ...(index === 0 ? [] : ['']),
    output.styled('bold', `Snapshot #${history.snapshotId} ${printable(history.key)}`),
    ...history.sentences.map((sentence) => sentenceLine(sentence, output)),
    ...history.lost.map(
      ({ fromSeq, toSeq }) =>
        `        ${output.styled('red', `Lost for good, and perhaps part of this: events ${fromSeq} to ${toSeq}.`)}`,
    ),
    `        ${output.styled(history.isInFlight ? 'yellow' : 'bold', history.now)}`,
  ]);
}
