// How many times as long as on a quiet machine things may take: more where all is slow.

/** Tells it to tests that run in such a place. */
export const patienceVariable = 'VARVE_LAB_PATIENCE';

export const patience = Number(process.env[patienceVariable] ?? '1');
