// Every bound of the engine, named, with its reason.

/**
 * Events in one synced batch: bounds the memory of a flush and the time that a caller waits behind
 * it.
 */
export const batchEventCountMax = 2_000;

/** Calls that may wait for one snapshot's effect in flight; more are refused. */
export const waiterCountMax = 64;

/** Commits handed to the directories at a time, which sync and measure many in one call. */
export const sealConcurrencyMax = 64;

/** Deletions handed to the directories at a time, which carry out many in one call. */
export const deleteConcurrencyMax = 64;

/**
 * Devices attached, formatted or mounted at a time on this node: more would only wait for each
 * other in the kernel, and older backing stores hang with many.
 */
export const attachConcurrencyMax = 16;

/**
 * Of them at a time for one image, so that one whose layers hang leaves places for three others
 * like it; devices unmounted and detached likewise.
 */
export const imageConcurrencyMax = 4;

/** How often the machine is asked which devices it has. */
export const deviceWatchMs = 10_000;

/**
 * Devices of which nothing is known, taken away at a time: any number of them that hang leave
 * places for the others.
 */
export const strayConcurrencyMax = 4;

/** Devices unmounted or detached at a time. */
export const detachConcurrencyMax = 16;

/** Delay before the second attempt of a failed deletion; it doubles up to the limit below. */
export const retryDelayMs = 200;

/** A deletion that keeps failing is tried again this often. */
export const retryDelayMaxMs = 300_000;

/** How often retention is looked at. */
export const compactionIntervalMs = 600_000;

/**
 * By so much of its limits history may run over before it is dropped, so that a busy node drops
 * some hundred events at a time, not each by itself.
 */
export const retentionSlackRatio = 1 / 16;

/** So many events of the node alone are worth dropping, which itself adds one. */
export const nodeEventsWorthDropping = 1_000;

/** How long an event that nobody waits for may wait for company in its batch. */
export const lazyFlushDelayMs = 20;
