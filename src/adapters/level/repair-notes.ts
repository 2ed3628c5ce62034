// What a repair tells its operator: what was wrong, what was saved from where, what is lost, and
// what the next start will do about it.
import { rangeText, type Damage } from '../../engine/ports.ts';
import type { RepairPlan } from './repair-plan.ts';
import type { SalvagedFile } from './salvage.ts';

export interface RepairAccount {
  readonly plan: RepairPlan;
  readonly files: readonly SalvagedFile[];
  readonly damage: readonly Damage[];
  readonly keptIn: string;
}

function lossNotes({ lost, losses, lastSeq, givenUp, orphansKeptUpTo }: RepairPlan): string[] {
  if (lost.length === 0) return ['No event was lost.'];
  const notes = lost.map((range) => `Lost: ${rangeText(range)}.`);
  notes.push(
    'All other events are kept. ' +
      (losses.resumedAtSeq === lastSeq
        ? `The state goes on from what they tell, at ${lastSeq}.`
        : `The state is whole: the checkpoint at ${losses.resumedAtSeq} lies behind all that is lost.`),
  );
  for (const { snapshotId, key, reason } of givenUp) {
    const name = key === '' ? '' : ` (${key})`;
    notes.push(`Given up: snapshot #${snapshotId}${name}: ${reason}.`);
  }
  if (orphansKeptUpTo > 0) {
    notes.push(
      'Directories of snapshots that no saved event explains are kept; varve serve names them at start.',
    );
  }
  return notes;
}

export function describeRepair({ plan, files, damage, keptIn }: RepairAccount): string[] {
  const notes = damage.map((each) => `Found: ${rangeText(each)}: ${each.reason}.`);
  const entryCount = files.reduce((sum, file) => sum + file.entryCount, 0);
  notes.push(
    `Read ${entryCount} sound entries from ${files.length} files of the log and its copies.`,
  );
  notes.push(...lossNotes(plan));
  notes.push(`The old files are kept in ${keptIn}; delete them when they are no longer needed.`);
  return notes;
}
