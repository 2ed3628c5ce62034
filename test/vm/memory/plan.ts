// What test and program say to each other.
/** What pressure.ts says at its end. */
export const doneLine = 'written, read and committed';
