// How each event changes a snapshot's context, and the guards of its machines. Pure and total over
// legal histories; named here so that the xstate machines and the compiled tables share them.
import type { SnapshotContext } from './state.ts';
import type { SnapshotEvent, SnapshotEventType } from './events.ts';
import { invariant } from '../kernel/invariant.ts';
import { awaitsParent } from './role.ts';

/** The context before the first event. */
export const emptySnapshotContext: SnapshotContext = {
  snapshotId: 0,
  role: 'containerLayer',
  key: '',
  parent: '',
  parentId: null,
  awaitsParent: false,
  deviceId: null,
  mode: 'overlayfs',
  writable: null,
  remote: null,
  quotaBytes: null,
  block: null,
  labels: {},
  createdAtUs: 0,
  updatedAtUs: 0,
  sizeBytes: 0,
  inodeCount: 0,
  operation: null,
  lastFailure: null,
};

type EventOf<Type extends SnapshotEventType> = Extract<SnapshotEvent, { type: Type }>;

function expect<Type extends SnapshotEventType>(event: SnapshotEvent, type: Type): EventOf<Type> {
  invariant(event.type === type, `${event.type} met the evolution of ${type}`);
  return event as EventOf<Type>;
}

/** Named guards. An outcome counts only for the operation that is in flight now. */
export const snapshotGuards = {
  isCurrentOperation(context: SnapshotContext, event: SnapshotEvent): boolean {
    const data = event.data as { readonly operationId?: number };
    return context.operation !== null && context.operation.operationId === data.operationId;
  },
  /** What is committed turned out to be a block layer. */
  isBlockLayer(context: SnapshotContext, event: SnapshotEvent): boolean {
    const isCurrent = snapshotGuards.isCurrentOperation(context, event);
    return isCurrent && expect(event, 'SnapshotCommitted').data.block !== null;
  },
  isRemoteLayer(context: SnapshotContext, event: SnapshotEvent): boolean {
    const isBlock = snapshotGuards.isBlockLayer(context, event);
    return isBlock && expect(event, 'SnapshotCommitted').data.block?.layerFile === null;
  },
  /** Without it a Prepare that failed could be prepared again: ids are never reused. */
  isFirstEvent(context: SnapshotContext): boolean {
    return context.snapshotId === 0;
  },
  isFirstEventOfWritable(context: SnapshotContext, event: SnapshotEvent): boolean {
    return context.snapshotId === 0 && expect(event, 'SnapshotPrepared').data.writable !== null;
  },
};

/** Named assigns, one per event type. */
export const snapshotAssigns = {
  recordPrepared(_: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotPrepared');
    const { snapshotId, role, key, parent, parentId, labels } = event.data;
    const { deviceId, mode, writable, remote, quotaBytes } = event.data;
    return {
      ...emptySnapshotContext,
      ...{ snapshotId, role, key, parent, parentId, labels, deviceId },
      ...{ mode, writable, remote, quotaBytes },
      awaitsParent: awaitsParent(event.data),
      createdAtUs: event.timeUs,
      updatedAtUs: event.timeUs,
    };
  },
  recordPrepareFailed(_: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotPrepareFailed');
    const { snapshotId, role, key, parent, failure } = event.data;
    return {
      ...emptySnapshotContext,
      ...{ snapshotId, role, key, parent },
      createdAtUs: event.timeUs,
      updatedAtUs: event.timeUs,
      lastFailure: failure,
    };
  },
  beginCommit(context: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotCommitStarted');
    const { name, labels, parent, parentId } = event.data;
    return {
      ...context,
      operation: {
        operationId: event.revision,
        attemptCount: 1,
        commit: { name, labels, parent, parentId },
      },
    };
  },
  recordCommitted(context: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotCommitted');
    const commit = context.operation?.commit;
    invariant(commit, 'a commit in flight says what the snapshot becomes');
    const isFinished = context.writable === null || event.data.block !== null;
    invariant(isFinished, 'a writable block layer becomes a finished one');
    return {
      ...context,
      key: commit.name,
      parent: commit.parent,
      parentId: commit.parentId,
      awaitsParent: false,
      // An init layer is mounted below its container, which reads the same device.
      deviceId: context.role === 'initLayer' ? context.deviceId : null,
      mode: 'overlayfs',
      writable: null,
      remote: null,
      block: event.data.block,
      labels: commit.labels,
      createdAtUs: event.timeUs,
      updatedAtUs: event.timeUs,
      sizeBytes: event.data.sizeBytes,
      inodeCount: event.data.inodeCount,
      operation: null,
      lastFailure: null,
    };
  },
  recordCommitFailed(context: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotCommitFailed');
    return { ...context, operation: null, lastFailure: event.data.failure };
  },
  updateLabels(context: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotLabelsUpdated');
    return { ...context, labels: event.data.labels, updatedAtUs: event.timeUs };
  },
  beginRemove(context: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotRemoveStarted');
    return {
      ...context,
      operation: { operationId: event.revision, attemptCount: 1, commit: null },
    };
  },
  recordRemoved(context: SnapshotContext): SnapshotContext {
    return { ...context, operation: null, lastFailure: null };
  },
  retryRemove(context: SnapshotContext, any: SnapshotEvent): SnapshotContext {
    const event = expect(any, 'SnapshotRemoveFailed');
    return {
      ...context,
      operation: {
        operationId: event.revision,
        attemptCount: (context.operation?.attemptCount ?? 0) + 1,
        commit: null,
      },
      lastFailure: event.data.failure,
    };
  },
};
