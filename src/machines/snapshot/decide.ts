// The decisions: command + state + facts → events, or a rejection. Pure and total. Time, ids and
// observations arrive in commands and facts; legality is the machine's, asked by isLegal.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import type { EffectFailure, NewEvent } from '../kernel/envelope.ts';
import { mountOptionsOf } from './block-content.ts';
import { isLegal } from './evolve.ts';
import { checkName, storedLabels, updatedLabels } from './labels.ts';
import { isBlockLayer, kindOf, type SnapshotState } from './state.ts';
import { checkLaterLabels } from './later-labels.ts';
import { roleOf } from './role.ts';
import { decideQuota } from './quota.ts';
import { downloadLabel, remoteLayerOf } from './remote.ts';
import { decideWriting, type WritingPolicy } from './writable.ts';
import type {
  BlockContent,
  Labels,
  RemoteLayer,
  SnapshotEvent,
  SnapshotEventData,
  SnapshotEventType,
} from './events.ts';

/** An event that decide produced: not yet numbered. */
export type NewSnapshotEvent = {
  [Type in SnapshotEventType]: NewEvent<Type, SnapshotEventData[Type]>;
}[SnapshotEventType];

/** What a decision may ask about other snapshots; answered from the catalog. */
export interface SnapshotFacts {
  /** Whether a key or name is taken, by a snapshot or by an operation in flight. */
  isTaken(name: string): boolean;
  /** The snapshot that clients see under this key or name. */
  find(name: string): SnapshotState | undefined;
  /** The block layer whose device shows a snapshot or what lies below it, if there is one. */
  blockLayerOf(state: SnapshotState): SnapshotState | undefined;
  /** A snapshot whose parent is `snapshotId`, if there is one. */
  childOf(snapshotId: number): SnapshotState | undefined;
}

/** What the configuration says about new snapshots. */
export interface SnapshotPolicy extends WritingPolicy {
  /** Whether layers are read from registries where their labels say how. */
  readonly readsRemoteLayers: boolean;
  /** Size limit of container layers, such as `20g`; '' for none. */
  readonly rootfsQuota: string;
}

export interface PrepareCommand {
  readonly kind: 'active' | 'view';
  readonly snapshotId: number;
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
  readonly policy: SnapshotPolicy;
}

export interface CommitCommand {
  readonly name: string;
  readonly labels: Labels;
  readonly parent: string;
}

const quote = (name: string): string => JSON.stringify(name);

const missing = (name: string, nextStep: string): Result<never> =>
  rejected('not_found', `snapshot ${quote(name)} does not exist: ${nextStep}`);

const nameTaken = (name: string): Result<never> =>
  rejected(
    'already_exists',
    `snapshot ${quote(name)} already exists: remove it first, or choose another name`,
  );

const parentMissing = (parent: string): Result<never> =>
  rejected(
    'not_found',
    `parent snapshot ${quote(parent)} does not exist: commit it first, or name another parent`,
  );

const parentNotCommitted = (name: string, parent: SnapshotState): string =>
  `parent snapshot ${quote(name)} is not committed (it is ${String(kindOf(parent))}): ` +
  'commit it first, or name another parent';

/** Prepare and View: the event that records success, to be appended once the directory exists. */
export function decidePrepare(
  command: PrepareCommand,
  facts: SnapshotFacts,
): Result<NewEvent<'SnapshotPrepared', SnapshotEventData['SnapshotPrepared']>> {
  const { key, snapshotId } = command;
  const named = checkName(key, 'key');
  if (!named.ok) return named;
  const labels = storedLabels(command.labels);
  if (!labels.ok) return labels;
  const possible = checkLaterLabels(labels.value);
  if (!possible.ok) return possible;
  const parent = command.parent === '' ? undefined : facts.find(command.parent);
  if (command.parent !== '' && parent === undefined) {
    return parentMissing(command.parent);
  }
  if (parent !== undefined && kindOf(parent) !== 'committed') {
    return rejected('invalid_argument', parentNotCommitted(command.parent, parent));
  }
  if (facts.isTaken(key)) return nameTaken(key);
  const { policy } = command;
  const role = roleOf({ ...command, labels: labels.value, runtimeType: policy.runtimeType });
  // Before its layer is fetched.
  const mountable = role === 'imageLayer' ? mountOptionsOf(labels.value) : accepted('');
  if (!mountable.ok) return mountable;
  const writing = decideWriting({ role, labels: labels.value, parent }, policy);
  if (!writing.ok) return writing;
  const { mode, writable } = writing.value;
  const { rootfsQuota } = policy;
  const hasOwnDevice = writable !== null;
  const quota = decideQuota({ role, labels: labels.value, hasOwnDevice, rootfsQuota });
  if (!quota.ok) return quota;
  // An unpack writes what its layer holds, and reads nothing of what lies below.
  const isReader = role !== 'imageLayer' && parent !== undefined;
  const block = isReader ? facts.blockLayerOf(parent) : undefined;
  return accepted({
    type: 'SnapshotPrepared',
    data: {
      snapshotId,
      role,
      key,
      parent: command.parent,
      parentId: parent?.context.snapshotId ?? null,
      labels: labels.value,
      backing: writable === null ? 'directory' : 'writableBlock',
      deviceId: writable === null ? (block?.context.snapshotId ?? null) : snapshotId,
      mode,
      writable,
      remote:
        policy.readsRemoteLayers && role === 'imageLayer' ? remoteOn(parent, labels.value) : null,
      quotaBytes: quota.value,
    },
  });
}

/** A layer that is read from a registry is part of a device, which has no ordinary layers. */
function remoteOn(parent: SnapshotState | undefined, labels: Labels): RemoteLayer | null {
  const canBe = parent === undefined || isBlockLayer(parent);
  return canBe ? (remoteLayerOf(labels) ?? null) : null;
}

interface AdoptedParent {
  readonly parent: string;
  readonly parentId: number | null;
}

/** The parent after Commit: an unpack without one may bring it, once. */
function adoptParent(
  command: CommitCommand,
  state: SnapshotState,
  facts: SnapshotFacts,
): Result<AdoptedParent> {
  const { parent, parentId, key } = state.context;
  if (command.parent === '' || command.parent === parent) return accepted({ parent, parentId });
  if (parent !== '') {
    return rejected(
      'invalid_argument',
      `snapshot ${quote(key)} has parent ${quote(parent)}; Commit cannot change it to ` +
        `${quote(command.parent)}: commit it without a parent or with its own`,
    );
  }
  if (state.context.writable !== null) {
    return rejected(
      'failed_precondition',
      `snapshot ${quote(key)} is a device of its own, made on nothing; Commit cannot put it on ` +
        `${quote(command.parent)}: commit it without a parent`,
    );
  }
  const adopted = facts.find(command.parent);
  if (adopted === undefined) {
    return parentMissing(command.parent);
  }
  if (kindOf(adopted) !== 'committed') {
    return rejected('failed_precondition', parentNotCommitted(command.parent, adopted));
  }
  if (state.context.remote !== null && !isBlockLayer(adopted)) {
    return rejected(
      'failed_precondition',
      `snapshot ${quote(key)} is read from a registry and needs block layers below it, but ` +
        `${quote(command.parent)} is an ordinary layer: remove it, and prepare it again with label ` +
        `${downloadLabel}=download to unpack it`,
    );
  }
  return accepted({ parent: command.parent, parentId: adopted.context.snapshotId });
}

/**
 * Whether a Commit asks for exactly what the one in flight does: the same name, labels and parent.
 * It may then be answered by its outcome; any other is a new command.
 */
export function isRetryOfCommit(command: CommitCommand, state: SnapshotState): boolean {
  const commit = state.context.operation?.commit;
  if (!commit || commit.name !== command.name) return false;
  const parent = command.parent === '' ? state.context.parent : command.parent;
  const labels = storedLabels(command.labels);
  return (
    parent === commit.parent &&
    labels.ok &&
    JSON.stringify(labels.value) === JSON.stringify(commit.labels)
  );
}

/** Commit of `state`, which is undefined if the key is unknown; `key` is for the message. */
export function decideCommit(
  key: string,
  command: CommitCommand,
  state: SnapshotState | undefined,
  facts: SnapshotFacts,
): Result<NewEvent<'SnapshotCommitStarted', SnapshotEventData['SnapshotCommitStarted']>> {
  for (const [field, name] of [
    ['name', command.name],
    ['key', key],
  ] as const) {
    const named = checkName(name, field);
    if (!named.ok) return named;
  }
  const labels = storedLabels(command.labels);
  if (!labels.ok) return labels;
  const possible = checkLaterLabels(labels.value);
  if (!possible.ok) return possible;
  if (facts.isTaken(command.name)) return nameTaken(command.name);
  if (state === undefined) return missing(key, 'prepare it first');
  const started = ({ parent, parentId }: AdoptedParent) =>
    ({
      type: 'SnapshotCommitStarted',
      data: { name: command.name, labels: labels.value, parent, parentId },
    }) as const;
  // The state of the snapshot itself is judged before its parents, as containerd's own store does.
  if (!isLegal(state, candidate(state, started(state.context)))) {
    return rejected(
      'failed_precondition',
      `snapshot ${quote(key)} is ${state.value.lifecycle}: only an active snapshot can be committed`,
    );
  }
  if (state.context.parentId !== null && facts.find(state.context.parent) === undefined) {
    return parentMissing(state.context.parent);
  }
  // Before a writable layer is sealed, which cannot be undone.
  const mountable = mountOptionsOf(labels.value, state.context.writable?.fileSystem);
  if (!mountable.ok) return mountable;
  const adopted = adoptParent(command, state, facts);
  return adopted.ok ? accepted(started(adopted.value)) : adopted;
}

/** Remove: at once (`isDeferred` false) or, as far as the disk goes, at the next Cleanup. */
export function decideRemove(
  key: string,
  isDeferred: boolean,
  state: SnapshotState | undefined,
  facts: SnapshotFacts,
): Result<NewSnapshotEvent> {
  if (state === undefined) return missing(key, 'there is nothing to remove');
  const child = facts.childOf(state.context.snapshotId);
  if (child !== undefined) {
    return rejected(
      'failed_precondition',
      `snapshot ${quote(key)} cannot be removed: it is the parent of ${quote(child.context.key)}; ` +
        'remove that first',
    );
  }
  const event: NewSnapshotEvent = isDeferred
    ? { type: 'SnapshotRemoveDeferred', data: {} }
    : { type: 'SnapshotRemoveStarted', data: {} };
  return isLegal(state, candidate(state, event))
    ? accepted(event)
    : rejected(
        'failed_precondition',
        `snapshot ${quote(key)} cannot be removed while it is ${state.value.lifecycle}: ` +
          'try again when that has ended',
      );
}

export function decideUpdate(
  name: string,
  update: { readonly labels: Labels; readonly paths: readonly string[] },
  state: SnapshotState | undefined,
): Result<NewEvent<'SnapshotLabelsUpdated', SnapshotEventData['SnapshotLabelsUpdated']>> {
  if (state === undefined) return missing(name, 'list the snapshots to see which do');
  const labels = updatedLabels(state.context.labels, update.labels, update.paths);
  if (!labels.ok) return labels;
  const event = { type: 'SnapshotLabelsUpdated', data: { labels: labels.value } } as const;
  return isLegal(state, candidate(state, event))
    ? accepted(event)
    : rejected(
        'failed_precondition',
        `labels of ${quote(name)} cannot be updated while it is ${state.value.lifecycle}: ` +
          'try again when that has ended',
      );
}

/** What an effect answered. */
export type Outcome =
  | {
      readonly kind: 'sealed';
      readonly sizeBytes: number;
      readonly inodeCount: number;
      readonly block: BlockContent | null;
    }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'failed'; readonly failure: EffectFailure };

/** The event that records an outcome; nothing if it belongs to an attempt that is over. */
export function decideOutcome(
  state: SnapshotState,
  operationId: number,
  outcome: Outcome,
): readonly NewSnapshotEvent[] {
  const event = outcomeEvent(state, operationId, outcome);
  return event !== undefined && isLegal(state, candidate(state, event)) ? [event] : [];
}

function outcomeEvent(
  state: SnapshotState,
  operationId: number,
  outcome: Outcome,
): NewSnapshotEvent | undefined {
  switch (outcome.kind) {
    case 'sealed': {
      const { sizeBytes, inodeCount, block } = outcome;
      return { type: 'SnapshotCommitted', data: { operationId, sizeBytes, inodeCount, block } };
    }
    case 'deleted':
      return { type: 'SnapshotRemoved', data: { operationId } };
    case 'failed': {
      const data = { operationId, failure: outcome.failure };
      if (state.value.lifecycle === 'committing') return { type: 'SnapshotCommitFailed', data };
      if (state.value.lifecycle === 'removing') return { type: 'SnapshotRemoveFailed', data };
      return undefined;
    }
  }
}

// Legality depends on type, data and the next revision only; the rest of the envelope is the log's.
function candidate(state: SnapshotState, event: NewSnapshotEvent): SnapshotEvent {
  return {
    ...event,
    revision: state.revision + 1,
    globalSeq: 0,
    stream: '',
    schemaVersion: 1,
    timeUs: 0,
    cause: { kind: 'effect' },
  };
}
