// varve.v1.Inspect: documents about the node, made by the pure functions of src/history.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Configuration, Origins } from '../../config/configuration.ts';
import {
  LogDamaged,
  OutOfRange,
  type BackingStoreFigures,
  type Clock,
  type EffectResult,
  type MountInUse,
} from '../../engine/ports.ts';
import { devicesDocument } from '../../history/devices-document.ts';
import { diffStates } from '../../history/diff.ts';
import { findSnapshot, snapshotDocument } from '../../history/snapshot-document.ts';
import {
  stateDocument,
  stateDocumentTexts,
  type StateDocument,
} from '../../history/state-document.ts';
import { whyDocument } from '../../history/why.ts';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import { kindOf } from '../../machines/snapshot/state.ts';
import { snapshotStream } from '../../machines/snapshot/events.ts';
import {
  durableState,
  emptyState,
  exportLines,
  historiesOf,
  PositionBeyondEnd,
  stateAt,
  streamEvents,
  timeOf,
  troublesOf,
  verify,
  type DatedState,
} from '../history-reader.ts';
import type { NodeAccess } from '../node-access.ts';
import { statusDocument, type StatusOptions } from '../status-document.ts';
import { ContentParts } from './content-parts.ts';
import { examineNode } from '../fsck.ts';
import { fromSeq } from './convert.ts';
import type { MessageStream } from './message-stream.ts';
import type { varve } from './messages.ts';
import type { Rpc, RpcRunner } from './rpc.ts';
import { nothingBears, nothingEverBore } from './unknown-snapshot.ts';

type V1 = typeof varve.v1;
type JsonDocument = varve.v1.JsonDocument.$Properties;
type Keyed = InstanceType<V1['SnapshotRequest']>;

export interface InspectOptions extends StatusOptions {
  readonly node: NodeAccess;
  readonly clock: Clock;
  readonly configuration: Configuration;
  readonly origins: Origins;
  /** Absolute path of `<root>/snapshots`. */
  readonly directory: string;
  readonly mountsInUse: () => Promise<readonly MountInUse[]>;
  readonly backingStoreFigures: () => Promise<EffectResult<BackingStoreFigures>>;
}

/** The handlers of the service. */
export function inspectService(
  runner: RpcRunner,
  options: InspectOptions,
): UntypedServiceImplementation {
  const inspect = new InspectHandlers(options);
  return {
    state: runner.streamed(
      'State',
      inParts((r: StateRequest) => inspect.state(r)),
    ),
    devices: runner.streamed(
      'Devices',
      inParts((r: StateRequest) => inspect.devices(r)),
    ),
    snapshot: runner.streamed(
      'Snapshot',
      inParts((r: Keyed, rpc) => inspect.snapshot(r, rpc)),
    ),
    why: runner.streamed(
      'Why',
      inParts((r: Keyed) => inspect.why(r)),
    ),
    diff: runner.streamed(
      'Diff',
      inParts((r: DiffRequest) => inspect.diff(r)),
    ),
    fsck: runner.streamed(
      'Fsck',
      inParts(() => inspect.fsck()),
    ),
    verify: runner.streamed('Verify', (_request: object, stream: MessageStream<VerifyProgress>) =>
      inspect.verify(stream),
    ),
    status: runner.unary('Status', async () => accepted(asJson(await statusDocument(options)))),
    configuration: runner.unary('Configuration', () =>
      accepted(asJson(configurationDocument(options))),
    ),
    export: runner.streamed('Export', (_request: object, stream: PartStream) =>
      inspect.export(stream),
    ),
  };
}

type StateRequest = varve.v1.StateRequest.$Properties;
type DiffRequest = varve.v1.DiffRequest.$Properties;
type VerifyProgress = varve.v1.VerifyProgress.$Properties;
type PartStream = MessageStream<varve.v1.Part.$Properties>;

const asJson = (document: object): JsonDocument => ({ json: JSON.stringify(document) });

const configurationDocument = ({ configuration, origins }: InspectOptions): object => ({
  format: 'varve-configuration',
  version: 1,
  configuration,
  origins,
});

/** Answers a document, given as texts that make it up, in parts. */
function inParts<Request>(
  handle: (request: Request, rpc: Rpc) => Promise<Result<Iterable<string>>>,
): (request: Request, stream: PartStream, rpc: Rpc) => Promise<Result<void>> {
  return async (request, stream, rpc) => {
    const texts = await handle(request, rpc).catch(positionRefused);
    if (!texts.ok) return texts;
    const parts = partsOf(stream);
    for (const text of texts.value) await parts.add(text);
    await parts.end();
    return accepted(undefined);
  };
}

const partsOf = (stream: PartStream): ContentParts =>
  new ContentParts((content) => stream.write({ content }, content.length));

const documentOf = ({ checkpoint, timeUs }: DatedState): StateDocument =>
  stateDocument(checkpoint, timeUs);

const whole = (document: object): Result<Iterable<string>> => accepted([JSON.stringify(document)]);

function positionRefused(error: unknown): Result<never> {
  if (error instanceof PositionBeyondEnd || error instanceof OutOfRange) {
    return rejected('out_of_range', error.message);
  }
  throw error;
}

class InspectHandlers {
  readonly #options: InspectOptions;

  constructor(options: InspectOptions) {
    this.#options = options;
  }

  async state(request: StateRequest): Promise<Result<Iterable<string>>> {
    const atSeq = fromSeq(request.atSeq, 'at_seq');
    if (!atSeq.ok) return atSeq;
    const state = await this.#stateAt(atSeq.value);
    if (!state.ok) return state;
    return accepted(stateDocumentTexts(state.value.checkpoint, state.value.timeUs));
  }

  async devices(request: StateRequest): Promise<Result<Iterable<string>>> {
    const atSeq = fromSeq(request.atSeq, 'at_seq');
    if (!atSeq.ok) return atSeq;
    const { node, directory } = this.#options;
    const state = await this.#stateAt(atSeq.value);
    if (!state.ok) return state;
    const store = node.store();
    if (!store.ok) return store;
    const { checkpoint } = state.value;
    const troubles = await troublesOf(store.value, checkpoint);
    const figures = await this.#figures(atSeq.value);
    return whole(devicesDocument({ ...state.value, directory, figures, troubles }));
  }

  async fsck(): Promise<Result<Iterable<string>>> {
    const { node, configuration, mountsInUse } = this.#options;
    const engine = node.adminEngine();
    if (!engine.ok) return engine;
    const { root } = configuration;
    return whole(await examineNode(engine.value, { root, isServed: true, mountsInUse }));
  }

  async #figures(atSeq: number): Promise<BackingStoreFigures | string> {
    if (atSeq !== 0) return 'figures are of now, and this is the past';
    const figures = await this.#options.backingStoreFigures();
    return figures.ok ? figures.value : figures.failure.message;
  }

  /** The state at a position; 0: now. */
  async #stateAt(atSeq: number): Promise<Result<DatedState>> {
    const { node } = this.#options;
    const store = node.store();
    if (!store.ok) return store;
    if (atSeq !== 0) return accepted(await stateAt(store.value, atSeq));
    const engine = node.adminEngine();
    if (!engine.ok) return accepted(await stateAt(store.value, store.value.lastSeq));
    const checkpoint = await durableState(engine.value);
    return accepted({ checkpoint, timeUs: await timeOf(store.value, checkpoint.globalSeq) });
  }

  async snapshot({ key }: Keyed, rpc: Rpc): Promise<Result<Iterable<string>>> {
    const engine = this.#options.node.adminEngine();
    if (!engine.ok) return engine;
    const checkpoint = await durableState(engine.value);
    const state = findSnapshot(checkpoint, key);
    if (state === undefined) {
      const names = checkpoint.snapshots.map((one) => one.context.key);
      return nothingBears(key, names);
    }
    const kind = kindOf(state);
    const hasMounts = kind === 'active' || kind === 'view';
    const mounts = hasMounts ? await engine.value.mounts(state.context.key, rpc) : undefined;
    const { snapshotId } = state.context;
    const document = snapshotDocument({
      checkpoint,
      snapshotId,
      mounts: mounts?.ok === true ? mounts.value : null,
      events: await streamEvents(engine.value.store, snapshotStream(snapshotId)),
    });
    return document === undefined ? nothingBears(key, []) : whole(document);
  }

  async why({ key }: Keyed): Promise<Result<Iterable<string>>> {
    const { node } = this.#options;
    const store = node.store();
    if (!store.ok) return store;
    const engine = node.adminEngine();
    const live = engine.ok ? engine.value.checkpoint() : emptyState;
    const { streams, namesSeen } = await historiesOf(store.value, key, live);
    if (streams.length > 0) return whole(whyDocument(key, streams, store.value.lost));
    return nothingEverBore(key, namesSeen, store.value.firstSeq);
  }

  async diff(request: DiffRequest): Promise<Result<Iterable<string>>> {
    const from = fromSeq(request.fromSeq, 'from_seq');
    if (!from.ok) return from;
    const to = fromSeq(request.toSeq, 'to_seq');
    if (!to.ok) return to;
    const store = this.#options.node.store();
    if (!store.ok) return store;
    const before = await stateAt(store.value, from.value);
    const after = await this.#stateAt(to.value);
    if (!after.ok) return after;
    return whole(diffStates(documentOf(before), documentOf(after.value)));
  }

  async verify(stream: MessageStream<VerifyProgress>): Promise<Result<void>> {
    const engine = this.#options.node.adminEngine();
    if (!engine.ok) return engine;
    const live = await durableState(engine.value);
    const lastSeq = live.globalSeq;
    const leaving = new AbortController();
    stream.onGone(() => leaving.abort());
    const result = await verify(engine.value.store, {
      live,
      progress: (checkedSeq) => stream.write({ checkedSeq, lastSeq }, 16),
      signal: leaving.signal,
    });
    const resultJson = JSON.stringify(result);
    await stream.write({ checkedSeq: lastSeq, lastSeq, resultJson }, resultJson.length);
    return accepted(undefined);
  }

  async export(stream: PartStream): Promise<Result<void>> {
    const { node, clock, version } = this.#options;
    const store = node.store();
    if (!store.ok) return store;
    const engine = node.adminEngine();
    const live = engine.ok ? await durableState(engine.value) : undefined;
    const parts = partsOf(stream);
    try {
      for await (const lines of exportLines(store.value, { version, live, nowUs: clock.nowUs() })) {
        await parts.add(lines);
      }
    } catch (error) {
      if (error instanceof LogDamaged) await parts.end();
      throw error;
    }
    await parts.end();
    return accepted(undefined);
  }
}
