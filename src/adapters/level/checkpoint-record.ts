// How a checkpoint is stored: a head (position, node state, number and hash of the chunks) and
// chunks of snapshots. Each snapshot carries its stream's last hash, so that the tail's chains can
// be verified and continued even where older history is damaged. The same payloads are the lines of
// the export file.
import type { Checkpoint } from '../../machines/checkpoint.ts';
import type { NodeState } from '../../machines/node/state.ts';
import type { SnapshotState } from '../../machines/snapshot/state.ts';
import { digest } from './event-record.ts';

/** Snapshots in one chunk at most. */
export const chunkSnapshotsMax = 1000;

/** The newest event of a stream. */
export interface StreamHead {
  readonly revision: number;
  readonly lastSeq: number;
  readonly hash: string;
}

export type StreamHeads = Map<string, StreamHead>;

/** A checkpoint with the chains' ends at its position. */
export interface CheckpointRecord {
  readonly checkpoint: Checkpoint;
  readonly heads: StreamHeads;
}

export interface CheckpointHead {
  readonly checkpointVersion: number;
  readonly globalSeq: number;
  readonly node: NodeState;
  readonly nodeHead: StreamHead | null;
  readonly chunkCount: number;
  readonly hash: string;
}

interface Chunk {
  readonly snapshots: readonly SnapshotState[];
  readonly hashes: readonly (string | null)[];
}

export const nodeStreamName = 'node';

export function snapshotStreamName(state: SnapshotState): string {
  return `snapshot-${state.context.snapshotId}`;
}

/** The payloads of the chunks, one at a time: making them all at once would hold the process up. */
export function* chunkPayloads(record: CheckpointRecord): Generator<string> {
  const { snapshots } = record.checkpoint;
  for (let start = 0; start < snapshots.length; start += chunkSnapshotsMax) {
    const part = snapshots.slice(start, start + chunkSnapshotsMax);
    const chunk: Chunk = {
      snapshots: part,
      hashes: part.map((state) => record.heads.get(snapshotStreamName(state))?.hash ?? null),
    };
    yield JSON.stringify(chunk);
  }
}

/** The hash over chunks, each chunk's taken into account in order. */
export function extendHash(hash: string, payload: string): string {
  return digest(hash + payload);
}

export function headOf(
  record: CheckpointRecord,
  chunks: { readonly count: number; readonly hash: string },
): CheckpointHead {
  return {
    checkpointVersion: record.checkpoint.checkpointVersion,
    globalSeq: record.checkpoint.globalSeq,
    node: record.checkpoint.node,
    nodeHead: record.heads.get(nodeStreamName) ?? null,
    chunkCount: chunks.count,
    hash: chunks.hash,
  };
}

/** Puts a checkpoint together; undefined when the chunks are not those that the head names. */
export function assemble(
  head: CheckpointHead,
  payloads: readonly (string | undefined)[],
): CheckpointRecord | undefined {
  let hash = '';
  const snapshots: SnapshotState[] = [];
  const heads: StreamHeads = new Map();
  if (payloads.length !== head.chunkCount) {
    return undefined;
  }
  for (const payload of payloads) {
    if (payload === undefined) {
      return undefined;
    }
    hash = extendHash(hash, payload);
    const chunk = JSON.parse(payload) as Chunk;
    chunk.snapshots.forEach((state, index) => {
      snapshots.push(state);
      const streamHash = chunk.hashes[index];
      if (typeof streamHash === 'string') {
        const { revision, lastSeq } = state;
        heads.set(snapshotStreamName(state), { revision, lastSeq, hash: streamHash });
      }
    });
  }
  if (hash !== head.hash) {
    return undefined;
  }
  if (head.nodeHead !== null) {
    heads.set(nodeStreamName, head.nodeHead);
  }
  const { checkpointVersion, globalSeq, node } = head;
  return { checkpoint: { checkpointVersion, globalSeq, node, snapshots }, heads };
}
