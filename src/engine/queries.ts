// Reads, answered from memory. Each waits until what it saw is durable, so that nobody is told of a
// state that a power cut can take back.
import { accepted, rejected, type Result } from '../machines/kernel/rejection.ts';
import { parseFilters, type CompileExpression } from '../machines/catalog/filter.ts';
import { shorten } from '../machines/kernel/text.ts';
import { mountsOf, type MountableDevice, type OverlayType } from '../machines/snapshot/mounts.ts';
import { layerFileLabel } from '../machines/snapshot/labels.ts';
import type { Labels } from '../machines/snapshot/events.ts';
import { isFinishing, kindOf, type SnapshotState } from '../machines/snapshot/state.ts';
import type { Projection } from '../machines/projection.ts';
import type { Mount, SnapshotInfo } from './api.ts';
import type { DiskUsage, Logger, SnapshotDirectories } from './ports.ts';
import type { Devices } from './devices.ts';
import { effectFailed } from './effect-failure.ts';
import type { Sequencer } from './sequencer.ts';

export type { CompileExpression };

/** There at once, or as soon as what it rests on is durable. */
export type Answer<Value> = Result<Value> | Promise<Result<Value>>;

export interface QueriesOptions {
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly directories: SnapshotDirectories;
  readonly devices: Devices;
  readonly compileExpression: CompileExpression;
  readonly logger: Logger;
  readonly indexOff: boolean;
  readonly overlayType: OverlayType;
}

export class Queries {
  readonly #options: QueriesOptions;
  readonly #infos = new WeakMap<SnapshotState, SnapshotInfo>();
  readonly #mounts = new WeakMap<SnapshotState, readonly Mount[]>();

  constructor(options: QueriesOptions) {
    this.#options = options;
  }

  /** containerd's Info of a visible snapshot; the same object for the same state. */
  infoOf(state: SnapshotState): SnapshotInfo {
    const known = this.#infos.get(state);
    if (known !== undefined) return known;
    const { key, parent, createdAtUs, updatedAtUs } = state.context;
    const labels = this.#labelsOf(state);
    const kind = kindOf(state) ?? 'committed';
    const info = { name: key, parent, kind, createdAtUs, updatedAtUs, labels };
    this.#infos.set(state, info);
    return info;
  }

  /** Those that clients set; and upstream's, by which builders find the file of a block layer. */
  #labelsOf({ context }: SnapshotState): Labels {
    const { labels, block, snapshotId } = context;
    if (!block?.layerFile) return labels;
    const { path } = this.#options.directories;
    return { ...labels, [layerFileLabel]: `${path}/${snapshotId}/fs/${block.layerFile}` };
  }

  #mountsOfState(state: SnapshotState): readonly Mount[] {
    const known = this.#mounts.get(state);
    if (known !== undefined) return known;
    const { projection, directories, indexOff, overlayType } = this.#options;
    const device = this.#deviceOf(state);
    const mounts = mountsOf({
      ...state.context,
      device,
      isRemote: state.context.remote !== null,
      lowers: projection.catalog.lowersOf(state),
      directory: directories.path,
      indexOff,
      overlayType,
    });
    // A device may come back under another path.
    if (device === null) this.#mounts.set(state, mounts);
    return mounts;
  }

  /** The device that clients of a snapshot mount themselves. */
  #deviceOf({ context }: SnapshotState): MountableDevice | null {
    const { mode, deviceId } = context;
    if (mode !== 'dev' || deviceId === null) return null;
    const { path, plan } = this.#options.projection.device(deviceId)?.context ?? {};
    return path && plan ? { path, ...plan } : null;
  }

  stat(key: string): Answer<SnapshotInfo> {
    return this.#found(key, (state) => accepted(this.infoOf(state)));
  }

  mounts(key: string): Answer<readonly Mount[]> {
    const found = this.#found(key, (state) =>
      kindOf(state) === 'committed'
        ? rejected(
            'failed_precondition',
            `snapshot ${JSON.stringify(key)} is committed and has no mounts: make a view of it`,
          )
        : isFinishing(state)
          ? rejected(
              'failed_precondition',
              `snapshot ${JSON.stringify(key)} is being committed: wait for the end of that`,
            )
          : accepted(state),
    );
    const answer = (result: Result<SnapshotState>): Answer<readonly Mount[]> =>
      result.ok ? this.mountsOf(result.value) : result;
    return found instanceof Promise ? found.then(answer) : answer(found);
  }

  /** The mounts, once the device that they rest on can be used: it may have been lost. */
  mountsOf(state: SnapshotState): Answer<readonly Mount[]> {
    const { deviceId, key } = state.context;
    const { devices } = this.#options;
    if (deviceId === null || devices.isUsable(deviceId)) {
      return accepted(this.#mountsOfState(state));
    }
    return devices.usable(deviceId).then(({ failure }) =>
      // Meanwhile it may have been removed, or committed.
      failure === null
        ? this.mounts(key)
        : effectFailed(`the device of snapshot ${JSON.stringify(key)} is not there`, failure),
    );
  }

  async usage(key: string): Promise<Result<DiskUsage>> {
    const found = await this.#found(key, accepted);
    if (!found.ok) return found;
    const { snapshotId, sizeBytes, inodeCount } = found.value.context;
    const kind = kindOf(found.value);
    if (kind === 'view') return accepted({ sizeBytes: 0, inodeCount: 0 });
    if (kind === 'committed') return accepted({ sizeBytes, inodeCount });
    const parts = found.value.value.backing === 'directory' ? 'files' : 'filesAndBlocks';
    const measured = await this.#options.directories.usage(snapshotId, 'query', parts);
    if (measured.ok) return accepted(measured.value);
    // Removed while it was measured, it has no usage: that is no failure of measuring.
    const isGone = this.#options.projection.find(key)?.context.snapshotId !== snapshotId;
    return isGone
      ? this.usage(key)
      : effectFailed(
          `usage of snapshot ${JSON.stringify(key)} could not be measured`,
          measured.failure,
        );
  }

  async list(filters: readonly string[]): Promise<Result<readonly SnapshotInfo[]>> {
    const { projection, sequencer } = this.#options;
    const filter = parseFilters(filters, (source) => this.#compile(source));
    if (!filter.ok) return filter;
    const infos = projection.catalog.visible().map((state) => this.infoOf(state));
    const matching = infos.filter(filter.value);
    await sequencer.durableAt(sequencer.appliedSeq);
    return accepted(matching);
  }

  #compile(source: string): ReturnType<CompileExpression> {
    const { compileExpression, logger } = this.#options;
    const compiled = compileExpression(source);
    if (compiled === 'invalid') {
      const expression = shorten(source);
      logger.info(
        { expression },
        'a List has an invalid regular expression, which matches nothing',
      );
    }
    return compiled;
  }

  /** Calls `answer` with the snapshot under a key as it is now, once that is durable. */
  #found<Value>(key: string, answer: (state: SnapshotState) => Result<Value>): Answer<Value> {
    const { projection, sequencer } = this.#options;
    const state = projection.find(key);
    const answered = (): Result<Value> =>
      state === undefined
        ? rejected('not_found', `snapshot ${JSON.stringify(key)} does not exist`)
        : answer(state);
    const seq = state?.lastSeq ?? sequencer.appliedSeq;
    // Nearly always; a promise and a deadline would cost as much as the rest of the call.
    if (seq <= sequencer.durableSeq) return answered();
    return sequencer.durableAt(seq).then(answered);
  }
}
