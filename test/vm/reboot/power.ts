// The end of the machine without a word: what no sync has brought to its disk is lost.
import { openSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout as rest } from 'node:timers/promises';
import { runCommand } from '../../e2e/lab/command.ts';

/** From now on nothing reaches the disk but by a sync. */
export async function syncNothingByItself(): Promise<void> {
  writeFileSync('/proc/sys/vm/dirty_writeback_centisecs', '0');
  await runCommand(['mount', '-o', 'remount,commit=900', '/scratch']);
}

const trigger = openSync('/proc/sysrq-trigger', 'w');

export async function losePower(): Promise<never> {
  writeSync(trigger, 'b');
  for (;;) await rest(1000);
}

/** To the outside; comes back when it is there. */
export function tell(line: string): void {
  writeSync(1, `${line}\n`);
}
