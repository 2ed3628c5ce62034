// The services as grpc-js takes them: method paths, stream kinds, codecs. The server and the CLI
// share these. A request that cannot be decoded becomes a MalformedRequest for the handler, so that
// the caller is told INVALID_ARGUMENT and what is wrong rather than grpc-js's INTERNAL.
import type { MethodDefinition } from '@grpc/grpc-js';
import type { Reader, Writer } from 'protobufjs';
import { containerd, google, varve } from './messages.ts';

const snapshots = containerd.services.snapshots.v1;
const v1 = varve.v1;

interface MessageType<Message, Properties> {
  encode(message: Properties, writer?: Writer): Writer;
  decode(reader: Reader | Uint8Array): Message;
}

/** A request whose bytes are no such message. */
export class MalformedRequest {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

type Definition<Request, Response> = MethodDefinition<Request, Response>;

function method<Request, RequestProperties, Response, ResponseProperties>(
  path: string,
  request: MessageType<Request, RequestProperties>,
  response: MessageType<Response, ResponseProperties>,
): Definition<RequestProperties, ResponseProperties> {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value) => request.encode(value).finish() as Buffer,
    requestDeserialize: (bytes) => {
      try {
        return request.decode(bytes) as unknown as RequestProperties;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return new MalformedRequest(reason) as unknown as RequestProperties;
      }
    },
    responseSerialize: (value) => response.encode(value).finish() as Buffer,
    responseDeserialize: (bytes) => response.decode(bytes) as unknown as ResponseProperties,
  };
}

const streamed = <Request, Response>(
  definition: Definition<Request, Response>,
): Definition<Request, Response> => ({ ...definition, responseStream: true });

const { Empty } = google.protobuf;
const snapshotsPath = (name: string): string =>
  `/containerd.services.snapshots.v1.Snapshots/${name}`;

/** containerd.services.snapshots.v1.Snapshots */
export const snapshotsDefinition = {
  prepare: method(
    snapshotsPath('Prepare'),
    snapshots.PrepareSnapshotRequest,
    snapshots.PrepareSnapshotResponse,
  ),
  view: method(
    snapshotsPath('View'),
    snapshots.ViewSnapshotRequest,
    snapshots.ViewSnapshotResponse,
  ),
  mounts: method(snapshotsPath('Mounts'), snapshots.MountsRequest, snapshots.MountsResponse),
  commit: method(snapshotsPath('Commit'), snapshots.CommitSnapshotRequest, Empty),
  remove: method(snapshotsPath('Remove'), snapshots.RemoveSnapshotRequest, Empty),
  stat: method(
    snapshotsPath('Stat'),
    snapshots.StatSnapshotRequest,
    snapshots.StatSnapshotResponse,
  ),
  update: method(
    snapshotsPath('Update'),
    snapshots.UpdateSnapshotRequest,
    snapshots.UpdateSnapshotResponse,
  ),
  list: streamed(
    method(snapshotsPath('List'), snapshots.ListSnapshotsRequest, snapshots.ListSnapshotsResponse),
  ),
  usage: method(snapshotsPath('Usage'), snapshots.UsageRequest, snapshots.UsageResponse),
  cleanup: method(snapshotsPath('Cleanup'), snapshots.CleanupRequest, Empty),
} as const;

/** varve.v1.EventLog */
export const eventLogDefinition = {
  read: streamed(method('/varve.v1.EventLog/Read', v1.ReadRequest, v1.ReadResponse)),
  watch: streamed(method('/varve.v1.EventLog/Watch', v1.WatchRequest, v1.WatchResponse)),
} as const;

/** varve.v1.Inspect */
export const inspectDefinition = {
  state: streamed(method('/varve.v1.Inspect/State', v1.StateRequest, v1.Part)),
  devices: streamed(method('/varve.v1.Inspect/Devices', v1.StateRequest, v1.Part)),
  snapshot: streamed(method('/varve.v1.Inspect/Snapshot', v1.SnapshotRequest, v1.Part)),
  why: streamed(method('/varve.v1.Inspect/Why', v1.SnapshotRequest, v1.Part)),
  diff: streamed(method('/varve.v1.Inspect/Diff', v1.DiffRequest, v1.Part)),
  fsck: streamed(method('/varve.v1.Inspect/Fsck', v1.FsckRequest, v1.Part)),
  verify: streamed(method('/varve.v1.Inspect/Verify', v1.VerifyRequest, v1.VerifyProgress)),
  status: method('/varve.v1.Inspect/Status', v1.StatusRequest, v1.JsonDocument),
  configuration: method(
    '/varve.v1.Inspect/Configuration',
    v1.ConfigurationRequest,
    v1.JsonDocument,
  ),
  export: streamed(method('/varve.v1.Inspect/Export', v1.ExportRequest, v1.Part)),
} as const;

/** varve.v1.Control */
export const controlDefinition = {
  checkpoint: method('/varve.v1.Control/Checkpoint', v1.CheckpointRequest, v1.CheckpointResponse),
  compact: method('/varve.v1.Control/Compact', v1.CompactRequest, v1.CompactResponse),
  attach: method('/varve.v1.Control/Attach', v1.AttachRequest, v1.AttachResponse),
  detach: method('/varve.v1.Control/Detach', v1.DetachRequest, v1.DetachResponse),
} as const;

/** Full names, for health and reflection. */
export const serviceNames = {
  snapshots: ['containerd.services.snapshots.v1.Snapshots'],
  admin: ['varve.v1.EventLog', 'varve.v1.Inspect', 'varve.v1.Control'],
} as const;
