// Aligned columns. On a terminal the widest flexible column is shortened in the middle, where long
// keys differ least; anywhere else everything is shown in full.
import type { Output } from './output.ts';

export interface Column {
  readonly title: string;
  readonly isRight?: boolean;
  /** May be shortened to fit a terminal. */
  readonly isFlexible?: boolean;
}

const gap = '  ';
const flexibleWidthMin = 16;

/** The lines of a table; `rows` hold one text for each column. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  output: Output,
): readonly string[] {
  const widths = widthsOf(columns, rows);
  fit(columns, widths, output.columns);
  const format = (cells: readonly string[]): string =>
    columns
      .map((column, index) => {
        const width = widths[index] as number;
        const text = shortenMiddle(cells[index] ?? '', width);
        const padding = ' '.repeat(Math.max(0, width - textWidth(text)));
        return column.isRight === true ? padding + text : text + padding;
      })
      .join(gap)
      .trimEnd();
  const title = output.styled('bold', format(columns.map((column) => column.title)));
  return [title, ...rows.map(format)];
}

/** Whether the table fits the terminal once its flexible columns are shortened. */
export function canFit(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  output: Output,
): boolean {
  if (output.columns === undefined) return true;
  const widths = widthsOf(columns, rows).map((width, index) =>
    columns[index]?.isFlexible === true ? Math.min(width, flexibleWidthMin) : width,
  );
  return totalWidth(widths) <= output.columns;
}

const widthsOf = (columns: readonly Column[], rows: readonly (readonly string[])[]): number[] =>
  columns.map((column, index) =>
    rows.reduce((width, row) => Math.max(width, textWidth(row[index] ?? '')), column.title.length),
  );

const totalWidth = (widths: readonly number[]): number =>
  widths.reduce((sum, width) => sum + width, 0) + gap.length * (widths.length - 1);

function fit(columns: readonly Column[], widths: number[], available: number | undefined): void {
  if (available === undefined) return;
  let excess = totalWidth(widths) - available;
  while (excess > 0) {
    let widest = -1;
    columns.forEach((column, index) => {
      const width = widths[index] as number;
      if (column.isFlexible !== true || width <= flexibleWidthMin) return;
      if (widest === -1 || width > (widths[widest] as number)) widest = index;
    });
    if (widest === -1) return;
    widths[widest] = (widths[widest] as number) - 1;
    excess -= 1;
  }
}

/** The text with its middle replaced by `…` so that it is at most `width` wide. */
export function shortenMiddle(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  if (width <= 1) return '…'.slice(0, width);
  const head = Math.ceil((width - 1) / 2);
  const tail = width - 1 - head;
  const end = characters.slice(characters.length - tail);
  return `${characters.slice(0, head).join('')}…${end.join('')}`;
}

const textWidth = (text: string): number => Array.from(text).length;
