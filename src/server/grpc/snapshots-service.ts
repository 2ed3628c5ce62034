// containerd's Snapshots service: each call checked for what only the wire can get wrong, handed to
// the engine, and its answer translated. All rules of snapshots are the engine's.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Engine, Mount, SnapshotInfo } from '../../engine/api.ts';
import { checkName } from '../../machines/snapshot/labels.ts';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import type { NodeAccess } from '../node-access.ts';
import { fromLabels, toInfo, toMounts } from './convert.ts';
import {
  filterBytesMax,
  filterCountMax,
  listBatchBytes,
  listBatchCount,
  maskPathCountMax,
} from './limits.ts';
import type { MessageStream } from './message-stream.ts';
import type { containerd, google } from './messages.ts';
import type { Rpc, RpcRunner } from './rpc.ts';

type V1 = typeof containerd.services.snapshots.v1;
type Prepare = InstanceType<V1['PrepareSnapshotRequest']>;
type Commit = InstanceType<V1['CommitSnapshotRequest']>;
type Update = InstanceType<V1['UpdateSnapshotRequest']>;
type List = InstanceType<V1['ListSnapshotsRequest']>;
type Keyed = { readonly key: string };
type ListResponse = containerd.services.snapshots.v1.ListSnapshotsResponse.$Properties;
type UsageResponse = containerd.services.snapshots.v1.UsageResponse.$Properties;
type Empty = google.protobuf.Empty.$Properties;
type MountsResponse = { mounts: containerd.types.Mount.$Properties[] };
type InfoResponse = { info: containerd.services.snapshots.v1.Info.$Properties };

const empty: Empty = {};

async function mapped<From, To>(
  result: Promise<Result<From>>,
  convert: (value: From) => To,
): Promise<Result<To>> {
  const settled = await result;
  return settled.ok ? accepted(convert(settled.value)) : settled;
}

/** The handlers of the service, by definitions.ts's names. */
export function snapshotsService(
  runner: RpcRunner,
  node: NodeAccess,
): UntypedServiceImplementation {
  return new SnapshotsHandlers(node).implementation(runner);
}

class SnapshotsHandlers {
  readonly #node: NodeAccess;

  constructor(node: NodeAccess) {
    this.#node = node;
  }

  implementation(runner: RpcRunner): UntypedServiceImplementation {
    return {
      prepare: runner.unary('Prepare', (request: Prepare, rpc) =>
        this.#prepare(request, rpc, 'prepare'),
      ),
      view: runner.unary('View', (request: Prepare, rpc) => this.#prepare(request, rpc, 'view')),
      mounts: runner.unary('Mounts', (request: Keyed, rpc) => this.#mounts(request, rpc)),
      commit: runner.unary('Commit', (request: Commit, rpc) => this.#commit(request, rpc)),
      remove: runner.unary('Remove', (request: Keyed, rpc) => this.#remove(request, rpc)),
      stat: runner.unary('Stat', (request: Keyed, rpc) => this.#stat(request, rpc)),
      update: runner.unary('Update', (request: Update, rpc) => this.#update(request, rpc)),
      list: runner.streamed('List', (request: List, stream: MessageStream<ListResponse>, rpc) =>
        this.#list(request, stream, rpc),
      ),
      usage: runner.unary('Usage', (request: Keyed, rpc) => this.#usage(request, rpc)),
      cleanup: runner.unary('Cleanup', (_request: object, rpc) => this.#cleanup(rpc)),
    };
  }

  /** The engine, once `key` is known to be one that a snapshot can have. */
  #engineFor(key: string): Result<Engine> {
    const named = checkName(key, 'key');
    return named.ok ? this.#node.engine() : named;
  }

  async #prepare(
    request: Prepare,
    rpc: Rpc,
    method: 'prepare' | 'view',
  ): Promise<Result<MountsResponse>> {
    const engine = this.#engineFor(request.key);
    if (!engine.ok) return engine;
    const named = checkParent(request.parent);
    if (!named.ok) return named;
    const { key, parent } = request;
    const labels = fromLabels(request.labels);
    return mapped<readonly Mount[], MountsResponse>(
      engine.value[method]({ key, parent, labels }, rpc),
      toMounts,
    );
  }

  async #mounts(request: Keyed, rpc: Rpc): Promise<Result<MountsResponse>> {
    const engine = this.#engineFor(request.key);
    return engine.ok ? mapped(engine.value.mounts(request.key, rpc), toMounts) : engine;
  }

  async #commit(request: Commit, rpc: Rpc): Promise<Result<Empty>> {
    const engine = this.#engineFor(request.key);
    if (!engine.ok) return engine;
    const named = checkName(request.name, 'name');
    if (!named.ok) return named;
    const parentNamed = checkParent(request.parent);
    if (!parentNamed.ok) return parentNamed;
    const { name, key, parent } = request;
    const labels = fromLabels(request.labels);
    return mapped(engine.value.commit({ name, key, labels, parent }, rpc), () => empty);
  }

  async #remove(request: Keyed, rpc: Rpc): Promise<Result<Empty>> {
    const engine = this.#engineFor(request.key);
    return engine.ok ? mapped(engine.value.remove(request.key, rpc), () => empty) : engine;
  }

  async #stat(request: Keyed, rpc: Rpc): Promise<Result<InfoResponse>> {
    const engine = this.#engineFor(request.key);
    if (!engine.ok) return engine;
    return mapped(engine.value.stat(request.key, rpc), (info) => ({ info: toInfo(info) }));
  }

  async #update(request: Update, rpc: Rpc): Promise<Result<InfoResponse>> {
    const { info } = request;
    if (info === null || info === undefined) {
      return rejected('invalid_argument', 'the request has no info: nothing says what to update');
    }
    const name = info.name ?? '';
    const named = checkName(name, 'name');
    if (!named.ok) return named;
    const paths = request.updateMask?.paths ?? [];
    if (paths.length > maskPathCountMax) {
      return rejected(
        'invalid_argument',
        `the field mask has ${paths.length} paths; at most ${maskPathCountMax} are allowed`,
      );
    }
    const engine = this.#node.engine();
    if (!engine.ok) return engine;
    return mapped(
      engine.value.update({ name, labels: fromLabels(info.labels), paths }, rpc),
      (updated) => ({ info: toInfo(updated) }),
    );
  }

  async #list(request: List, stream: MessageStream<ListResponse>, rpc: Rpc): Promise<Result<void>> {
    const { filters } = request;
    const checked = checkFilters(filters);
    if (!checked.ok) return checked;
    const engine = this.#node.engine();
    if (!engine.ok) return engine;
    const listed = await engine.value.list(filters, rpc);
    if (!listed.ok) return listed;
    for (const { infos, sizeBytes } of batches(listed.value)) {
      await stream.write({ info: infos.map(toInfo) }, sizeBytes);
    }
    return accepted(undefined);
  }

  async #usage(request: Keyed, rpc: Rpc): Promise<Result<UsageResponse>> {
    const engine = this.#engineFor(request.key);
    if (!engine.ok) return engine;
    return mapped(engine.value.usage(request.key, rpc), ({ sizeBytes, inodeCount }) => ({
      size: sizeBytes,
      inodes: inodeCount,
    }));
  }

  async #cleanup(rpc: Rpc): Promise<Result<Empty>> {
    const engine = this.#node.engine();
    return engine.ok ? mapped(engine.value.cleanup(rpc), () => empty) : engine;
  }
}

/** '' stands for none. */
const checkParent = (parent: string): Result<void> =>
  parent === '' ? accepted(undefined) : checkName(parent, 'parent');

/** Snapshots that share a message of List. */
interface Batch {
  readonly infos: readonly SnapshotInfo[];
  readonly sizeBytes: number;
}

function* batches(infos: readonly SnapshotInfo[]): Generator<Batch> {
  let from = 0;
  let sizeBytes = 0;
  for (const [index, info] of infos.entries()) {
    const ofInfo = approximateBytes(info);
    const count = index - from;
    if (count > 0 && (count === listBatchCount || sizeBytes + ofInfo > listBatchBytes)) {
      yield { infos: infos.slice(from, index), sizeBytes };
      from = index;
      sizeBytes = 0;
    }
    sizeBytes += ofInfo;
  }
  if (from < infos.length) yield { infos: infos.slice(from), sizeBytes };
}

/** Near enough to bound a message; exact counting would cost an encoding. */
function approximateBytes({ name, parent, labels }: SnapshotInfo): number {
  let units = name.length + parent.length + 32;
  for (const key in labels) units += key.length + (labels[key]?.length ?? 0) + 6;
  return units;
}

function checkFilters(filters: readonly string[]): Result<void> {
  if (filters.length > filterCountMax) {
    return rejected(
      'invalid_argument',
      `${filters.length} filters were given; at most ${filterCountMax} are allowed`,
    );
  }
  for (const filter of filters) {
    const length = Buffer.byteLength(filter);
    if (length > filterBytesMax) {
      return rejected(
        'invalid_argument',
        `a filter has ${length} bytes; at most ${filterBytesMax} are allowed`,
      );
    }
  }
  return accepted(undefined);
}
