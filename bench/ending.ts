// Ended from outside, the benchmark breaks off where it is and takes its servers and disks down.

const controller = new AbortController();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => controller.abort(new Error(`ended by ${signal}`)));
}

/** Aborted once the benchmark is to end. */
export const ending: AbortSignal = controller.signal;
