// Older versions of a snapshot's events, each brought to the next.
import type { SnapshotEventData } from './events.ts';

type Prepared = SnapshotEventData['SnapshotPrepared'];
type Committed = SnapshotEventData['SnapshotCommitted'];

/** Version 1 knew no devices. */
export const preparedFromVersion1 = (data: unknown): Prepared => ({
  ...(data as Omit<Prepared, 'deviceId'>),
  deviceId: null,
});

/** Version 1 knew no block layers. */
export const committedFromVersion1 = (data: unknown): Committed => ({
  ...(data as Omit<Committed, 'block'>),
  block: null,
});
