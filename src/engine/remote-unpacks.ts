// Layers that are read from a registry need no unpack: their Prepare commits them under the name
// that the client is about to give, and tells it that this exists already, so that it goes on with
// the next layer and downloads nothing.
import type { Cause, EffectFailure } from '../machines/kernel/envelope.ts';
import type { Rejection, Result } from '../machines/kernel/rejection.ts';
import { contentOf } from '../machines/snapshot/block-content.ts';
import { remoteLabel } from '../machines/snapshot/remote.ts';
import { awaitsParent, snapshotRefLabel } from '../machines/snapshot/role.ts';
import type { BlockContent, RemoteLayer, SnapshotEventData } from '../machines/snapshot/events.ts';
import { kindOf, type SnapshotState } from '../machines/snapshot/state.ts';
import { notMountable } from './effect-failure.ts';
import type { BlockLayers, DiskUsage, Logger, SnapshotDirectories } from './ports.ts';
import type { Sequencer } from './sequencer.ts';

export interface RemoteUnpacksOptions {
  readonly directories: SnapshotDirectories;
  readonly blockLayers: BlockLayers;
  readonly sequencer: Sequencer;
  readonly logger: Logger;
}

type Prepared = SnapshotEventData['SnapshotPrepared'];

/** Names, as whoever decides knows them. */
export interface Names {
  isTaken(name: string): boolean;
  /** The snapshot that clients see under this key or name. */
  find(name: string): SnapshotState | undefined;
  /** Takes a name for everyone else until it is given back. */
  reserve(name: string): () => void;
}

/** The unpack of a layer in a registry; `name` is the one that its snapshot gets. */
export interface RemoteUnpack {
  readonly prepared: Prepared;
  readonly remote: RemoteLayer;
  readonly name: string;
}

/** The unpack that needs none; undefined if the layer is unpacked as usual. */
export function remoteUnpackOf(prepared: Prepared): RemoteUnpack | undefined {
  const name = prepared.labels[snapshotRefLabel];
  // One that names no parent, but has one, would get none for ever: it is committed when it says
  // so.
  if (prepared.remote === null || name === undefined || awaitsParent(prepared)) return undefined;
  return { prepared, remote: prepared.remote, name };
}

interface Deciding {
  readonly cause: Cause;
  readonly decide: () => Result<{ readonly data: Prepared }>;
}

type Described =
  | { readonly ok: true; readonly block: BlockContent; readonly usage: DiskUsage }
  | { readonly ok: false; readonly failure: EffectFailure };

export class RemoteUnpacks {
  readonly #options: RemoteUnpacksOptions;
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(options: RemoteUnpacksOptions) {
    this.#options = options;
  }

  /**
   * Answers what the client is told, `download` if the layer cannot be read from its registry, or
   * `anew` if it is to be prepared once more: its parent is another one now. `decide` decides the
   * Prepare anew.
   */
  async commit(
    unpack: RemoteUnpack,
    names: Names,
    { cause, decide }: Deciding,
  ): Promise<Rejection | 'download' | 'anew'> {
    const { name } = unpack;
    // Whoever is told that it exists looks for it at once.
    for (let other; (other = this.#underWay.get(name)) !== undefined;) await other;
    if (names.isTaken(name)) {
      return isSameLayer(names.find(name), unpack) ? exists(name) : 'download';
    }
    const decided = decide();
    if (!decided.ok) return decided.rejection;
    const releases = [names.reserve(unpack.prepared.key), names.reserve(name)];
    const committing = this.#describe(unpack).then((described) => {
      for (const release of releases) release();
      return this.#record(unpack, described, { cause, decide });
    });
    this.#underWay.set(name, committing);
    try {
      return await committing;
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #describe({ prepared, remote }: RemoteUnpack): Promise<Described> {
    const { directories, blockLayers } = this.#options;
    const { snapshotId, parentId } = prepared;
    const made = await directories.create({
      ...{ snapshotId, withWork: true, parentId, quotaBytes: null },
    });
    if (!made.ok) return made;
    const described = await blockLayers.describe(snapshotId, parentId, remote);
    if (!described.ok) return described;
    const content = contentOf(described.value, prepared.labels);
    if (!content.ok) return { ok: false, failure: notMountable(content.rejection.message) };
    const usage = await directories.usage(snapshotId, 'commit', 'filesAndBlocks');
    return usage.ok ? { ok: true, block: content.value, usage: usage.value } : usage;
  }

  async #record(
    { prepared, name }: RemoteUnpack,
    described: Described,
    { cause, decide }: Deciding,
  ): Promise<Rejection | 'download' | 'anew'> {
    const { directories, sequencer, logger } = this.#options;
    const { snapshotId, parent, parentId } = prepared;
    const again = decide();
    const isSame = again.ok && again.value.data.parentId === parentId;
    if (described.ok && isSame) {
      const labels = { ...prepared.labels, [remoteLabel]: 'remote snapshot' };
      const { block, usage } = described;
      const events = [
        { type: 'SnapshotPrepared', data: prepared },
        { type: 'SnapshotCommitStarted', data: { name, labels, parent, parentId } },
        { type: 'SnapshotCommitted', data: { operationId: 2, ...usage, block } },
      ];
      await sequencer.durableAt(sequencer.recordSnapshot(snapshotId, events, cause));
      return exists(name);
    }
    const removed = await directories.remove(snapshotId);
    if (!removed.ok) logger.warn({ snapshotId, ...removed.failure }, 'an unused directory remains');
    if (!again.ok) return again.rejection;
    if (described.ok || !isSame) return 'anew';
    logger.warn(
      { snapshotId, ...described.failure },
      'a layer cannot be read from its registry and is downloaded',
    );
    return 'download';
  }
}

/** Whether a client that is told that its layer exists finds this one: by label and parent. */
const isSameLayer = (found: SnapshotState | undefined, { prepared, name }: RemoteUnpack): boolean =>
  found !== undefined &&
  kindOf(found) === 'committed' &&
  found.context.parent === prepared.parent &&
  found.context.labels[snapshotRefLabel] === name;

const exists = (name: string): Rejection => ({
  code: 'already_exists',
  message: `target snapshot ${JSON.stringify(name)} already exists`,
});
