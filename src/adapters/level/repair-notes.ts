// What a repair tells its operator: what was wrong, what was saved from where, what is lost, and
// what the next start will do about it.
import type { Damage, SeqRange } from '../../engine/ports.ts';
import type { RepairPlan } from './repair-plan.ts';
import type { SalvagedFile } from './salvage.ts';

export interface RepairAccount {
  readonly plan: RepairPlan;
  readonly files: readonly SalvagedFile[];
  readonly damage: readonly Damage[];
  readonly keptIn: string;
}

function rangeText({ fromSeq, toSeq }: SeqRange): string {
  return fromSeq === toSeq ? `event ${fromSeq}` : `events ${fromSeq} to ${toSeq}`;
}

function beginning(plan: RepairPlan): string {
  const baseSeq = plan.base?.checkpoint.globalSeq ?? 0;
  if (!plan.isCut) {
    return baseSeq === 0
      ? 'The log still begins with event 1.'
      : `The log still begins after its compaction at ${baseSeq}.`;
  }
  return plan.base === undefined
    ? 'No checkpoint could be read and the beginning of history is gone: the log begins empty.'
    : `The log now begins after the checkpoint at ${baseSeq}; older events remain only for snapshots ` +
        'whose history is whole.';
}

export function describeRepair({ plan, files, damage, keptIn }: RepairAccount): string[] {
  const notes = damage.map((each) => `Found: ${rangeText(each)}: ${each.reason}.`);
  const entryCount = files.reduce((sum, file) => sum + file.entryCount, 0);
  notes.push(
    `Read ${entryCount} sound entries from ${files.length} files of the log and its copies.`,
  );
  notes.push(beginning(plan));
  notes.push(
    plan.savedThroughSeq === 0
      ? 'No event could be kept.'
      : `Everything that is needed up to event ${plan.savedThroughSeq} was saved.`,
  );
  for (const range of plan.lost) {
    notes.push(
      range.fromSeq > plan.savedThroughSeq
        ? `Lost: ${rangeText(range)}, from the first one that could not be read to the end of the log.`
        : `Lost: ${rangeText(range)}.`,
    );
  }
  if (plan.lost.length > 0) {
    notes.push(
      'Directories of snapshots that no saved event explains are kept; varve serve names them at start.',
    );
  } else {
    notes.push('No event was lost.');
  }
  notes.push(`The old files are kept in ${keptIn}; delete them when they are no longer needed.`);
  return notes;
}
