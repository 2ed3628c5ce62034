// Carries out what is owed: each intent by the ports that it takes, each outcome as a value.
import type { DeviceOutcome } from '../machines/device/decide.ts';
import type { DeviceIntent } from '../machines/device/intents.ts';
import type { EffectFailure } from '../machines/kernel/envelope.ts';
import { invariant } from '../machines/kernel/invariant.ts';
import type { Projection } from '../machines/projection.ts';
import type { Outcome } from '../machines/snapshot/decide.ts';
import { contentOf, type FoundContent } from '../machines/snapshot/block-content.ts';
import type { BlockContent } from '../machines/snapshot/events.ts';
import type { Intent } from '../machines/snapshot/intents.ts';
import { isFinishing } from '../machines/snapshot/state.ts';
import { notMountable } from './effect-failure.ts';
import type { BlockDevices, BlockLayers, EffectResult, SnapshotDirectories } from './ports.ts';

export interface EffectsOptions {
  readonly projection: Projection;
  readonly directories: SnapshotDirectories;
  readonly blockDevices: BlockDevices;
  readonly blockLayers: BlockLayers;
  readonly commitSync: 'syncfs' | 'none';
}

export class Effects {
  readonly #options: EffectsOptions;

  constructor(options: EffectsOptions) {
    this.#options = options;
  }

  async carryOut(intent: Intent): Promise<Outcome> {
    const { directories, projection } = this.#options;
    switch (intent.kind) {
      case 'sealLayer':
        return this.#seal(intent.snapshotId);
      case 'finishBlockLayer':
        return this.#finish(intent.snapshotId);
      case 'deleteDirectory': {
        const { snapshotId } = intent;
        const isLimited = (projection.snapshot(snapshotId)?.context.quotaBytes ?? null) !== null;
        const removed = await directories.remove(snapshotId, isLimited);
        return removed.ok ? { kind: 'deleted' } : { kind: 'failed', failure: removed.failure };
      }
    }
  }

  /** Makes a writable layer, which no device writes any more, a finished one. */
  async #finish(snapshotId: number): Promise<Outcome> {
    const { directories, blockLayers, projection } = this.#options;
    const context = projection.snapshot(snapshotId)?.context;
    const fileSystem = context?.writable?.fileSystem;
    invariant(fileSystem !== undefined, 'a writable layer that is finished is known');
    // What was recorded at Prepare counts: an image never holds two.
    const content = this.#contentOf(snapshotId, { fileSystem, layerFile: 'overlaybd.sealed' });
    if (!content.ok) return failed(content.failure);
    const finished = await blockLayers.finish(snapshotId, context?.parentId ?? null);
    if (!finished.ok) return failed(finished.failure);
    const usage = await directories.usage(snapshotId, 'commit', 'filesAndBlocks');
    return usage.ok
      ? { kind: 'sealed', ...usage.value, block: content.value }
      : failed(usage.failure);
  }

  async #seal(snapshotId: number): Promise<Outcome> {
    const { directories, blockLayers, commitSync, projection } = this.#options;
    // What kind of layer it is decides its configuration, which is synced with the rest.
    const state = projection.snapshot(snapshotId);
    const mayBeBlock = state !== undefined && projection.catalog.mayBecomeBlock(state);
    const parentId = state?.context.operation?.commit?.parentId ?? null;
    const remote = state?.context.remote ?? null;
    const examined =
      remote !== null
        ? await blockLayers.describe(snapshotId, parentId, remote)
        : mayBeBlock
          ? await blockLayers.examine(snapshotId, parentId)
          : ({ ok: true, value: null } as const);
    if (!examined.ok) return failed(examined.failure);
    const block = examined.value === null ? null : this.#contentOf(snapshotId, examined.value);
    if (block?.ok === false) return failed(block.failure);
    if (commitSync === 'syncfs') {
      const synced = await directories.sync(snapshotId);
      if (!synced.ok) return failed(synced.failure);
    }
    const parts = block === null ? 'files' : 'filesAndBlocks';
    const usage = await directories.usage(snapshotId, 'commit', parts);
    return usage.ok
      ? { kind: 'sealed', ...usage.value, block: block?.value ?? null }
      : failed(usage.failure);
  }

  /** What is recorded of a layer that is being committed. */
  #contentOf(snapshotId: number, found: FoundContent): EffectResult<BlockContent> {
    const { commit } = this.#options.projection.snapshot(snapshotId)?.context.operation ?? {};
    const content = contentOf(found, commit?.labels ?? {});
    return content.ok ? content : { ok: false, failure: notMountable(content.rejection.message) };
  }

  async carryOutOnDevice(intent: DeviceIntent): Promise<DeviceOutcome> {
    const { blockDevices, projection } = this.#options;
    const { deviceId } = intent;
    switch (intent.kind) {
      case 'attachDevice': {
        const attached = await blockDevices.attach(deviceId, intent.plan);
        return attached.ok ? { kind: 'attached', ...attached.value } : failed(attached.failure);
      }
      case 'formatDevice':
        // What a snapshot holds that exists is never made anew, whatever a repaired log tells.
        if (projection.snapshot(deviceId) !== undefined) return { kind: 'formatted' };
        return ended('formatted', await blockDevices.format(deviceId, intent.path, intent.plan));
      case 'mountDevice':
        return ended('mounted', await blockDevices.mount(deviceId, intent.path, intent.plan));
      case 'unmountDevice':
        return this.#unmount(deviceId);
      case 'detachDevice':
        return ended('detached', await blockDevices.detach(deviceId));
      case 'awaitLinger':
      case 'awaitRetry':
        return { kind: 'waited' };
    }
  }

  /** Of a device whose layer is to be finished, all that was written has to be in the layer. */
  async #unmount(deviceId: number): Promise<DeviceOutcome> {
    const { blockDevices, projection } = this.#options;
    const snapshot = projection.snapshot(deviceId);
    if (snapshot === undefined || !isFinishing(snapshot)) {
      return ended('unmounted', await blockDevices.unmount(deviceId));
    }
    const unmounted = await blockDevices.unmountWritten(deviceId);
    if (!unmounted.ok) return failed(unmounted.failure);
    if (unmounted.value === 'written') return { kind: 'unmounted' };
    const reason = 'it was gone before it was unmounted';
    const message =
      'its device was gone before it was unmounted, and what was not synced may be lost: look at ' +
      'the snapshot, and commit it again';
    return { kind: 'lost', reason, failure: { step: 'unmount', code: 'ENODEV', message } };
  }
}

type Failed = { readonly kind: 'failed'; readonly failure: EffectFailure };

const failed = (failure: EffectFailure): Failed => ({ kind: 'failed', failure });

const ended = <Kind extends DeviceOutcome['kind']>(
  kind: Kind,
  result: EffectResult<void>,
): { readonly kind: Kind } | Failed => (result.ok ? { kind } : failed(result.failure));
