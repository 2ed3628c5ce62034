// What the program in the machine (life.ts) is told from outside before each boot, and tells.
import type { Transport } from '../transports.ts';

/** A Commit in the middle of which the machine loses its power. */
export interface Loss {
  /** What the layer is called. */
  readonly name: string;
  readonly form: 'append' | 'sparse';
  /**
   * `answered`: as soon as the Commit is; a number: that many milliseconds after it was called;
   * else the boundary at which varve serve ends, as VARVE_CRASH_AT names it.
   */
  readonly at: string;
}

export interface Plan {
  readonly transport: Transport;
  /** What lives there: containers of a containerd, or snapshots without one. */
  readonly life: 'containers' | 'snapshots';
  /** The layers of the boot before, and whether their Commit was answered. */
  readonly unchecked: readonly { readonly name: string; readonly isAnswered: boolean }[];
  /** All layers of the boots before. */
  readonly names: readonly string[];
  /** Commits of snapshots before the power is lost: in the last one, if there are any. */
  readonly losses: readonly Loss[];
  /** Whether it is emptied instead. */
  readonly isLast: boolean;
}

/** Said when a Commit was answered. */
export const answeredLine = (name: string): string => `answered ${name}`;

/** Said when all that was there before is there again. */
export const foundLine = 'found again';
/** Said when nothing is left at the end. */
export const emptyLine = 'empty';
