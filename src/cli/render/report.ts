// Differences, verification, status and configuration, for people.
import type { ConfigurationDocument } from '../configuration-document.ts';
import type { Change, DiffDocument } from '../../history/diff.ts';
import { counted, humanSize, printable } from '../../history/text.ts';
import type { VerifyDocument } from '../../history/verification.ts';
import type { StatusDocument } from '../../server/status-document.ts';
import type { Output } from '../output.ts';
import { tableLines } from '../table.ts';
import { shortTime } from './state.ts';

const valueText = (value: unknown): string => printable(JSON.stringify(value ?? null));

const changeLine = (change: Change): string =>
  `    ${printable(change.field)}: ${valueText(change.from)} → ${valueText(change.to)}`;

/** What changed between two positions. */
export function diffLines(diff: DiffDocument, output: Output): readonly string[] {
  const at = (side: DiffDocument['from']): string =>
    side.time === null ? String(side.position) : `${side.position} (${shortTime(side.time)})`;
  const lines = [output.styled('bold', `From ${at(diff.from)} to ${at(diff.to)}`)];
  for (const snapshot of diff.added) {
    const kind = snapshot.kind ?? snapshot.lifecycle;
    const text = `+ #${snapshot.id} ${printable(snapshot.key)} (${kind})`;
    lines.push(output.styled('green', text));
  }
  for (const snapshot of diff.removed) {
    lines.push(output.styled('red', `- #${snapshot.id} ${printable(snapshot.key)}`));
  }
  for (const { id, key, changes } of diff.changed) {
    lines.push(output.styled('yellow', `~ #${id} ${printable(key)}`), ...changes.map(changeLine));
  }
  if (diff.node.length > 0) {
    lines.push(output.styled('yellow', '~ node'), ...diff.node.map(changeLine));
  }
  return lines.length === 1 ? [...lines, 'Nothing is different.'] : lines;
}

/** The outcome of a verification. */
export function verifyLines(result: VerifyDocument, output: Output): readonly string[] {
  const lines = result.damage.map((damage) =>
    output.styled(
      'red',
      `damaged: events ${damage.fromSeq} to ${damage.toSeq}: ${printable(damage.reason)}`,
    ),
  );
  for (const { fromSeq, toSeq, reason } of result.lost) {
    const range = fromSeq === toSeq ? `event ${fromSeq}` : `events ${fromSeq} to ${toSeq}`;
    lines.push(output.styled('yellow', `${range}: ${printable(reason)}`));
  }
  for (const difference of result.differences) {
    lines.push(
      `different: ${printable(difference.path)}: the log says ${valueText(difference.folded)}, ` +
        `live is ${valueText(difference.live)}`,
    );
  }
  const restCount = result.differenceCount - result.differences.length;
  if (restCount > 0) lines.push(`and ${counted(restCount, 'difference')} more`);
  const { checkedEventCount, firstSeq, position } = result;
  const checked = `${counted(checkedEventCount, 'event')} folded, from ${firstSeq} to ${position}`;
  return [...lines, result.equal ? output.styled('green', `Equal: ${checked}.`) : `${checked}.`];
}

/** How the node is doing. */
export function statusLines(status: StatusDocument, output: Output): readonly string[] {
  const fact = (name: string, text: string): string =>
    `${output.styled('bold', name.padEnd(10))} ${text}`;
  const isServing = status.condition === 'serving';
  const { log, snapshotCounts, space } = status;
  const counts = snapshotCounts === null ? [] : Object.entries(snapshotCounts);
  const low = space.isLow ? `, ${output.styled('red', 'low: Prepare and Commit are refused')}` : '';
  return [
    fact('health', output.styled(isServing ? 'green' : 'red', status.condition)),
    ...(status.problem === null ? [] : [fact('problem', printable(status.problem))]),
    ...status.damage.map((damage) =>
      fact('damage', `events ${damage.fromSeq} to ${damage.toSeq}: ${printable(damage.reason)}`),
    ),
    fact('varve', `${status.varveVersion}, process ${status.pid}`),
    fact('started', shortTime(status.startedAt)),
    fact('log', log === null ? 'not readable' : `positions ${log.firstSeq} to ${log.lastSeq}`),
    ...(counts.length === 0
      ? []
      : [fact('snapshots', counts.map(([kind, count]) => `${count} ${kind}`).join(', '))]),
    fact('space', `${humanSize(space.freeBytes)} free of ${humanSize(space.sizeBytes)}${low}`),
    fact('memory', humanSize(status.memoryBytes)),
    fact('calls', `${status.callsInProgress} in progress`),
    fact('root', status.root),
    fact('address', status.address),
    fact('admin', status.adminAddress),
  ];
}

/** The effective values and where each came from. */
export function configurationLines(
  document: ConfigurationDocument,
  output: Output,
): readonly string[] {
  const rows = Object.entries(flattened(document.configuration)).map(([key, value]) => [
    key,
    printable(typeof value === 'string' ? value : JSON.stringify(value)),
    printable(document.origins[key] ?? 'default'),
  ]);
  const columns = [{ title: 'KEY' }, { title: 'VALUE', isFlexible: true }, { title: 'FROM' }];
  return tableLines(columns, rows, output);
}

function flattened(value: object, prefix = ''): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]): readonly [string, unknown][] =>
      typeof member === 'object' && member !== null && !Array.isArray(member)
        ? Object.entries(flattened(member as object, `${prefix}${name}.`))
        : [[prefix + name, member]],
    ),
  );
}
