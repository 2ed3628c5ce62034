// What varve doctor found, for people: a line for each look, what to do below it.
import { counted, printable } from '../../history/text.ts';
import type { Line, Verdict } from '../doctor/look.ts';
import type { Output, Style } from '../output.ts';

const marks: Readonly<Record<Verdict, readonly [string, Style]>> = {
  ok: ['ok', 'green'],
  note: ['note', 'yellow'],
  problem: ['PROBLEM', 'red'],
};

const markWidth = 'PROBLEM'.length;

export function doctorLines(lines: readonly Line[], output: Output): readonly string[] {
  const topics = [...new Set(lines.map(({ topic }) => topic))];
  const problemCount = lines.filter(({ verdict }) => verdict === 'problem').length;
  return [
    ...topics.flatMap((topic) => [
      output.styled('bold', topic),
      ...lines.filter((line) => line.topic === topic).flatMap((line) => linesOf(line, output)),
    ]),
    '',
    problemCount === 0 ? 'No problems.' : output.styled('red', counted(problemCount, 'problem')),
  ];
}

function linesOf({ name, verdict, found, how, next }: Line, output: Output): readonly string[] {
  const [mark, style] = marks[verdict];
  const shown = output.styled(style, mark) + ' '.repeat(markWidth - mark.length);
  const source = output.styled('dim', `[${printable(how)}]`);
  const line = `  ${shown}  ${name}: ${printable(found)} ${source}`;
  if (next === null) return [line];
  return [line, `  ${' '.repeat(markWidth)}  → ${printable(next)}`];
}
