// States as tables and trees, for people.
import type { SnapshotSummary, StateDocument } from '../../history/state-document.ts';
import { counted, humanSize, printable } from '../../history/text.ts';
import { treeLines } from '../../history/tree.ts';
import type { Output } from '../output.ts';
import { canFit, shortenMiddle, tableLines } from '../table.ts';
import type { Column } from '../table.ts';

/** A time to the millisecond: the rest is in --json. */
export const shortTime = (time: string): string => time.replace(/(\.\d{3})\d*Z$/, '$1Z');

const sizeText = ({ usage }: SnapshotSummary): string =>
  usage === null ? '-' : humanSize(usage.sizeBytes);

interface SnapshotColumn extends Column {
  readonly text: (snapshot: SnapshotSummary) => string;
}

const idColumn: SnapshotColumn = { title: 'ID', isRight: true, text: ({ id }) => `#${id}` };
const kindColumn: SnapshotColumn = {
  title: 'KIND',
  text: ({ kind, lifecycle }) => kind ?? lifecycle,
};
const roleColumn: SnapshotColumn = { title: 'ROLE', text: ({ role }) => role };
const sizeColumn: SnapshotColumn = { title: 'SIZE', isRight: true, text: sizeText };
const createdColumn: SnapshotColumn = {
  title: 'CREATED',
  text: ({ created }) => shortTime(created),
};
/** Month, day, hour and minute: what tells snapshots of a node apart. */
const createdShortColumn: SnapshotColumn = {
  title: 'CREATED',
  text: ({ created }) => created.slice(5, 16).replace('T', ' '),
};
const keyColumn: SnapshotColumn = {
  title: 'KEY',
  isFlexible: true,
  text: ({ key }) => printable(key),
};
const parentColumn: SnapshotColumn = {
  title: 'PARENT',
  isFlexible: true,
  text: ({ parent }) => (parent === '' ? '-' : printable(parent)),
};

/** The tables, the fullest first; `varve tree` shows parents better than the narrow ones could. */
const snapshotTables: readonly (readonly SnapshotColumn[])[] = [
  [idColumn, kindColumn, roleColumn, sizeColumn, createdColumn, keyColumn, parentColumn],
  [idColumn, kindColumn, roleColumn, sizeColumn, createdShortColumn, keyColumn],
  [idColumn, kindColumn, sizeColumn, createdShortColumn, keyColumn],
];

/** The snapshots as a table, with as many columns as the terminal has room for. */
export function snapshotTable(state: StateDocument, output: Output): readonly string[] {
  if (state.snapshots.length === 0) return ['No snapshots.'];
  const rowsOf = (columns: readonly SnapshotColumn[]): readonly (readonly string[])[] =>
    state.snapshots.map((snapshot) => columns.map(({ text }) => text(snapshot)));
  const fitting = snapshotTables.find((columns) => canFit(columns, rowsOf(columns), output));
  const columns = fitting ?? snapshotTables.at(-1) ?? [];
  return tableLines(columns, rowsOf(columns), output);
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
