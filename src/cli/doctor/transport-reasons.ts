// Why one transport of block devices is taken rather than another, as varve doctor says it.

/** What each is good for; by their names, in the order in which `auto` takes them. */
export const transportReasons = {
  ublk: 'the kernel hands over requests without copies of its own between',
  tcmu: 'SCSI disks of the kernel’s target, as overlaybd’s own snapshotter has them',
  fuse: 'wherever there are FUSE and loop devices',
} as const;

export type TransportName = keyof typeof transportReasons;
