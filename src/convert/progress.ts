// How far a conversion is, in bytes of the layers that it reads. A layer is read, committed and
// summed up one after the other, so its bytes count in parts as each of these goes on.

/** What is done: layers are converted, and then written into an archive. */
export type Stage = 'converting' | 'writing';

/** Told now and then how much of a stage is done. */
export type StageListener = (stage: Stage, doneBytes: number, totalBytes: number) => void;

/** Told how much of one step is done, in bytes of its own. */
export type StepListener = (doneBytes: number, totalBytes: number) => void;

/** The steps of a layer in their order, with the share of the time that each takes, about. */
const shares = { apply: 0.45, commit: 0.45, digest: 0.1 } as const;

type Step = keyof typeof shares;

export class LayerProgress {
  readonly #sizeBytes: number;
  readonly #add: (moreBytes: number) => void;
  #doneBytes = 0;

  /** `add` is told of each part of the layer's size that is done. */
  constructor(sizeBytes: number, add: (moreBytes: number) => void) {
    this.#sizeBytes = sizeBytes;
    this.#add = add;
  }

  /** Whom to tell how far a step is, and so that those before it are done. */
  of(step: Step): StepListener {
    const names = Object.keys(shares) as Step[];
    const before = names.slice(0, names.indexOf(step)).reduce((sum, one) => sum + shares[one], 0);
    return (doneBytes, totalBytes) => {
      const part = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
      const wholeBytes = Math.round((before + shares[step] * part) * this.#sizeBytes);
      // Steps are told apart by their order alone: what one says late is nothing new.
      if (wholeBytes <= this.#doneBytes) return;
      this.#add(wholeBytes - this.#doneBytes);
      this.#doneBytes = wholeBytes;
    };
  }
}
