// Why one transport of block devices is taken rather than another, as varve doctor says it.

/** What each is good for; by their names, in the order in which `auto` takes them. */
export const transportReasons = {
  ublk: 'up to 1.7 times the random reads of fuse (measured), and outlives varve-bd by itself',
  tcmu: 'reads at 0.6 to 1.15 times the rate of fuse (measured), and outlives varve-bd by itself',
  fuse: 'wherever there are FUSE and loop devices; outlives varve-bd with a holder',
} as const;

export type TransportName = keyof typeof transportReasons;
