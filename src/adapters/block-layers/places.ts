// Where the files of a snapshot's block layer lie, by overlaybd's names.
import path from 'node:path';
import { imageConfigName } from './image-config.ts';

export interface BlockPlaces {
  /** The folder of a finished layer. */
  readonly layer: string;
  /** The folder of all that belongs to the device. */
  readonly block: string;
  readonly config: string;
  /** In which the backing store says how opening went. */
  readonly result: string;
  readonly writableData: string;
  readonly writableIndex: string;
  readonly sealed: string;
  /** Of an uncompressed OCI layer that somebody left to be converted. */
  readonly layerTar: string;
}

/** The places of a snapshot below `<root>/snapshots`. */
export function blockPlaces(snapshotsPath: string, snapshotId: number): BlockPlaces {
  const directory = path.join(snapshotsPath, `${snapshotId}`);
  const block = path.join(directory, 'block');
  const layer = path.join(directory, 'fs');
  return {
    layer,
    block,
    config: path.join(block, imageConfigName),
    result: path.join(block, 'init-debug.log'),
    writableData: path.join(block, 'writable_data'),
    writableIndex: path.join(block, 'writable_index'),
    sealed: path.join(layer, 'overlaybd.sealed'),
    layerTar: path.join(directory, 'layer.tar'),
  };
}
