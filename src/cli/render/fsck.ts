// What an examination found, for people.
import { counted, printable } from '../../history/text.ts';
import type { Finding, FsckDocument } from '../../server/fsck-document.ts';
import type { Output } from '../output.ts';

/** A line for each finding, then the sum. */
export function fsckLines(document: FsckDocument, output: Output): readonly string[] {
  const { findings, remaining, position, isServed } = document;
  const where = `${printable(document.root)}, position ${position}`;
  const how = isServed ? 'as varve serve sees it now' : 'read while nobody serves it';
  const lines = [output.styled('bold', `${where}, ${how}`), ...findingLines(findings, output)];
  if (remaining === null) return [...lines, sumOf(findings, isServed)];
  const left = remaining.filter(({ isFault }) => isFault);
  if (left.length === 0) return [...lines, 'All of it is put right.'];
  return [...lines, output.styled('red', 'Left all the same:'), ...findingLines(left, output)];
}

const findingLines = (findings: readonly Finding[], output: Output): readonly string[] =>
  findings.map(({ subject, found, action, isFault }) => {
    const what = printable(`${subject}: ${found}`);
    return `${isFault ? output.styled('yellow', what) : what}; ${printable(action)}`;
  });

function sumOf(findings: readonly Finding[], isServed: boolean): string {
  const faultCount = findings.filter(({ isFault }) => isFault).length;
  if (faultCount === 0) return 'Nothing to put right.';
  const next = isServed ? 'restart varve serve' : 'varve fsck --apply, or a start of varve serve';
  return `${counted(faultCount, 'fault')}; ${next}, does what is said.`;
}
