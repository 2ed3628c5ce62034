// Completion scripts, made from the command's own definition so that they never fall behind it.
// The word after an option that takes a value is that value: a file where it names one.
import type { Command } from 'commander';
import { bashScript } from './completion/bash.ts';
import { entriesOf, shells } from './completion/entries.ts';
import { fishScript } from './completion/fish.ts';
import { zshScript } from './completion/zsh.ts';

export { shells };
export type Shell = (typeof shells)[number];

/** The script for a shell. */
export function completionScript(program: Command, shell: Shell): string {
  const entries = entriesOf(program);
  switch (shell) {
    case 'bash':
      return bashScript(entries);
    case 'zsh':
      return zshScript(entries);
    case 'fish':
      return fishScript(entries);
  }
}
