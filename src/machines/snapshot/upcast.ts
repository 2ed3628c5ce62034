// Older versions of a snapshot's events, each brought to the next.
import type { SnapshotEventData } from './events.ts';

type Prepared = SnapshotEventData['SnapshotPrepared'];
type Committed = SnapshotEventData['SnapshotCommitted'];

type PreparedOf2 = Omit<Prepared, 'mode' | 'writable' | 'remote' | 'quotaBytes'>;
type CommittedOf2 = Omit<Committed, 'block'> & { readonly block: { fileSystem: string } | null };

/** Version 1 knew no devices. */
export const preparedFromVersion1 = (data: unknown): PreparedOf2 => ({
  ...(data as Omit<PreparedOf2, 'deviceId'>),
  deviceId: null,
});

/** Version 2 knew neither writable block layers nor remote ones, nor quotas. */
export const preparedFromVersion2 = (data: unknown): Prepared => ({
  ...(data as PreparedOf2),
  mode: 'overlayfs',
  writable: null,
  remote: null,
  quotaBytes: null,
});

/** Version 1 knew no block layers. */
export const committedFromVersion1 = (data: unknown): CommittedOf2 => ({
  ...(data as Omit<CommittedOf2, 'block'>),
  block: null,
});

/** Version 2 knew no block layers but those that were unpacked. */
export function committedFromVersion2(data: unknown): Committed {
  const { block, ...rest } = data as CommittedOf2;
  return { ...rest, block: block === null ? null : { ...block, layerFile: 'overlaybd.commit' } };
}
