// What the demo shows on the terminal: steps, commands and what they print; and whether the user
// wants to leave early, after which nothing more is begun.
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../test/e2e/lab/command.ts';

export const varve = fileURLToPath(new URL('../../bin/varve', import.meta.url));

export const say = (text: string): void => void process.stdout.write(text);

/** Text of a command's output, set off from the demo's own. */
export const indented = (text: string): string => text.trimEnd().replace(/^/gm, '    ');

/** What runs when it is set ends by itself. */
export const interruption: { by?: NodeJS.Signals } = {};

export class Interrupted extends Error {}

export function checkInterruption(): void {
  if (interruption.by !== undefined) throw new Interrupted(`interrupted by ${interruption.by}`);
}

/** Runs one step and says in one line what came of it and how long it took. */
export async function step<Value>(
  name: string,
  work: () => Promise<Value>,
  result: (value: Value) => string = () => '',
): Promise<Value> {
  checkInterruption();
  say(`${name} … `);
  const begin = Date.now();
  try {
    const value = await work();
    const text = result(value);
    say(`ok ${((Date.now() - begin) / 1000).toFixed(1)} s${text === '' ? '' : `: ${text}`}\n`);
    return value;
  } catch (error) {
    say('FAILED\n');
    throw error;
  }
}

/** Shows a command as one would type it, and what it prints; `address` is the daemon's. */
export async function show(what: string, argv: readonly string[], address?: string): Promise<void> {
  checkInterruption();
  const typed = argv.map((word) => (/^[\w./:#-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  say(`\n${what}\n  $ varve ${typed}\n`);
  const daemon = address === undefined ? [] : ['--address', address];
  const printed = await runCommand([varve, ...daemon, ...argv]);
  // Whole digests would hide everything else.
  const short = printed.replace(/(sha256:[0-9a-f]{8})[0-9a-f]{56}/g, '$1…');
  say(`${indented(short)}\n`);
}
