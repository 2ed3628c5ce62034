// How a checkpoint is stored: a head (position, node state, number and hash of the chunks) and
// chunks of snapshots and of devices. Each of them carries its stream's last hash, so that the
// tail's chains can be verified and continued even where older history is damaged. The same
// payloads are the lines of the export file.
import type { Checkpoint } from '../../machines/checkpoint.ts';
import type { DeviceState } from '../../machines/device/state.ts';
import type { NodeState } from '../../machines/node/state.ts';
import type { SnapshotState } from '../../machines/snapshot/state.ts';
import { digest } from './event-record.ts';

/** Snapshots or devices in one chunk at most. */
export const chunkStatesMax = 1000;

interface StreamEnd {
  readonly revision: number;
  readonly lastSeq: number;
}

/** The newest event of a stream. */
export interface StreamHead extends StreamEnd {
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

/** States of one kind, and the last hash of the stream of each. */
interface Chunk {
  readonly snapshots?: readonly SnapshotState[];
  readonly devices?: readonly DeviceState[];
  readonly hashes: readonly (string | null)[];
}

export const nodeStreamName = 'node';

const snapshotStreamName = ({ context }: SnapshotState): string => `snapshot-${context.snapshotId}`;

const deviceStreamName = ({ context }: DeviceState): string => `device-${context.deviceId}`;

/** Every stream that goes on behind a checkpoint, and its revision there. */
export function streamsOf(
  checkpoint: Checkpoint,
): readonly { readonly stream: string; readonly revision: number }[] {
  const { node, snapshots, devices } = checkpoint;
  return [
    { stream: nodeStreamName, revision: node.revision },
    ...snapshots.map((state) => ({ stream: snapshotStreamName(state), ...state })),
    ...devices.map((state) => ({ stream: deviceStreamName(state), ...state })),
  ];
}

/** The payloads of the chunks, one at a time: making them all at once would hold the process up. */
export function* chunkPayloads(record: CheckpointRecord): Generator<string> {
  const { snapshots, devices } = record.checkpoint;
  const hashOf = (stream: string): string | null => record.heads.get(stream)?.hash ?? null;
  for (const part of parts(snapshots)) {
    const hashes = part.map((state) => hashOf(snapshotStreamName(state)));
    yield JSON.stringify({ snapshots: part, hashes } satisfies Chunk);
  }
  for (const part of parts(devices)) {
    const hashes = part.map((state) => hashOf(deviceStreamName(state)));
    yield JSON.stringify({ devices: part, hashes } satisfies Chunk);
  }
}

function* parts<State>(states: readonly State[]): Generator<readonly State[]> {
  for (let start = 0; start < states.length; start += chunkStatesMax) {
    yield states.slice(start, start + chunkStatesMax);
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
  const devices: DeviceState[] = [];
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
    const join = (stream: string, { revision, lastSeq }: StreamEnd, index: number): void => {
      const streamHash = chunk.hashes[index];
      if (typeof streamHash === 'string') {
        heads.set(stream, { revision, lastSeq, hash: streamHash });
      }
    };
    chunk.snapshots?.forEach((state, index) => {
      snapshots.push(state);
      join(snapshotStreamName(state), state, index);
    });
    chunk.devices?.forEach((state, index) => {
      devices.push(state);
      join(deviceStreamName(state), state, index);
    });
  }
  if (hash !== head.hash) {
    return undefined;
  }
  if (head.nodeHead !== null) {
    heads.set(nodeStreamName, head.nodeHead);
  }
  const { checkpointVersion, globalSeq, node } = head;
  return { checkpoint: { checkpointVersion, globalSeq, node, snapshots, devices }, heads };
}
