// One device as attaching and detaching see it.
import type { TargetNames } from './names.ts';
import type { Ask, Steps } from './orders.ts';
import type { ResultFile } from './result-file.ts';

export interface TargetDevice {
  readonly names: TargetNames;
  /** By which the daemon finds its image, and we know it as ours. */
  readonly config: string;
  readonly ask: Ask;
  readonly steps: Steps;
  readonly result: ResultFile;
  /** Who serves the kernel's target now; undefined if nobody does. */
  readonly servedBy: () => Promise<string | undefined>;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** The same, with the time for one more operation. */
  readonly again: () => TargetDevice;
}
