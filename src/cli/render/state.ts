// States as tables and trees, for people.
import type { SnapshotSummary, StateDocument } from '../../history/state-document.ts';
import { counted, humanSize, printable } from '../../history/text.ts';
import { treeLines } from '../../history/tree.ts';
import type { Output } from '../output.ts';
import { shortenMiddle, tableLines } from '../table.ts';

/** A time to the millisecond: the rest is in --json. */
export const shortTime = (time: string): string => time.replace(/(\.\d{3})\d*Z$/, '$1Z');

const sizeText = ({ usage }: SnapshotSummary): string =>
  usage === null ? '-' : humanSize(usage.sizeBytes);

/** The snapshots as a table. */
export function snapshotTable(state: StateDocument, output: Output): readonly string[] {
  if (state.snapshots.length === 0) return ['No snapshots.'];
  const columns = [
    { title: 'ID', isRight: true },
    { title: 'KIND' },
    { title: 'ROLE' },
    { title: 'SIZE', isRight: true },
    { title: 'CREATED' },
    { title: 'KEY', isFlexible: true },
    { title: 'PARENT', isFlexible: true },
  ];
  const rows = state.snapshots.map((snapshot) => [
    `#${snapshot.id}`,
    snapshot.kind ?? snapshot.lifecycle,
    snapshot.role,
    sizeText(snapshot),
    shortTime(snapshot.created),
    printable(snapshot.key),
    snapshot.parent === '' ? '-' : printable(snapshot.parent),
  ]);
  return tableLines(columns, rows, output);
}

/** The layer tree. */
export function snapshotTree(state: StateDocument, output: Output): readonly string[] {
  if (state.snapshots.length === 0) return ['No snapshots.'];
  return treeLines(state).map(({ prefix, snapshot }) => {
    const kind = snapshot.kind ?? snapshot.lifecycle;
    const size = snapshot.usage === null ? '' : `, ${sizeText(snapshot)}`;
    const details = ` (#${snapshot.id}, ${kind}${size})`;
    const room = output.columns;
    const used = prefix.length + details.length;
    const key = printable(snapshot.key);
    const shown = room === undefined ? key : shortenMiddle(key, Math.max(16, room - used));
    return output.styled('dim', prefix) + shown + output.styled('dim', details);
  });
}

/** The whole state: where it stands, the node, the snapshots. */
export function stateLines(state: StateDocument, output: Output): readonly string[] {
  const { node } = state;
  const time = state.time === null ? '' : `, ${shortTime(state.time)}`;
  const started = node.started === null ? 'never started' : `started ${shortTime(node.started)}`;
  return [
    `${output.styled('bold', `Position ${state.position}`)}${time}`,
    `varve ${printable(node.version) || '(none)'}, ${started}, ` +
      (node.isRunning ? 'running' : 'not running'),
    counted(state.snapshots.length, 'snapshot'),
    '',
    ...snapshotTable(state, output),
  ];
}
