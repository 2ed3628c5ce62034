// Older versions of a snapshot's events, each brought to the next.
import { readOnlyMountOptions } from '../device/file-systems.ts';
import type { BlockContent, SnapshotEventData } from './events.ts';

type Prepared = SnapshotEventData['SnapshotPrepared'];
type Committed = SnapshotEventData['SnapshotCommitted'];

type PreparedOf2 = Omit<Prepared, 'mode' | 'writable' | 'remote' | 'quotaBytes'>;
type BlockOf3 = Omit<BlockContent, 'mountOptions'>;
type CommittedOf3 = Omit<Committed, 'block'> & { readonly block: BlockOf3 | null };
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
export function committedFromVersion2(data: unknown): CommittedOf3 {
  const { block, ...rest } = data as CommittedOf2;
  return { ...rest, block: block === null ? null : { ...block, layerFile: 'overlaybd.commit' } };
}

/** What was not recorded before version 4: the file system alone decided. */
export const withMountOptions = (block: BlockOf3): BlockContent => ({
  ...block,
  mountOptions: readOnlyMountOptions(block.fileSystem),
});

export function committedFromVersion3(data: unknown): Committed {
  const { block, ...rest } = data as CommittedOf3;
  return { ...rest, block: block === null ? null : withMountOptions(block) };
}
