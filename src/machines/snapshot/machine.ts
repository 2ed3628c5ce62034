// The machines of a snapshot's life: image layer, init layer, container layer and view, built from
// shared fragments. They are the only place that says which event is legal in which state.
import { assign, setup } from 'xstate';
import { compileStatechart, type Statechart } from '../kernel/statechart.ts';
import { emptySnapshotContext, snapshotAssigns, snapshotGuards } from './evolution.ts';
import type { SnapshotContext, SnapshotStateValue } from './state.ts';
import type { SnapshotEvent, SnapshotRole } from './events.ts';

type Arguments = { readonly context: SnapshotContext; readonly event: SnapshotEvent };

const asGuard =
  (guard: (context: SnapshotContext, event: SnapshotEvent) => boolean) =>
  ({ context, event }: Arguments) =>
    guard(context, event);

const asAssign = (evolve: (context: SnapshotContext, event: SnapshotEvent) => SnapshotContext) =>
  assign<SnapshotContext, SnapshotEvent, undefined, SnapshotEvent, never>(
    ({ context, event }: Arguments) => evolve(context, event),
  );

const assigns = snapshotAssigns;

const snapshotSetup = setup({
  types: {
    context: {} as SnapshotContext,
    events: {} as SnapshotEvent,
    tags: {} as 'inFlight',
  },
  guards: {
    isCurrentOperation: asGuard(snapshotGuards.isCurrentOperation),
    isFirstEvent: asGuard(snapshotGuards.isFirstEvent),
    isFirstEventOfWritable: asGuard(snapshotGuards.isFirstEventOfWritable),
    isBlockLayer: asGuard(snapshotGuards.isBlockLayer),
    isRemoteLayer: asGuard(snapshotGuards.isRemoteLayer),
  },
  actions: {
    recordPrepared: asAssign(assigns.recordPrepared),
    recordPrepareFailed: asAssign(assigns.recordPrepareFailed),
    beginCommit: asAssign(assigns.beginCommit),
    recordCommitted: asAssign(assigns.recordCommitted),
    recordCommitFailed: asAssign(assigns.recordCommitFailed),
    updateLabels: asAssign(assigns.updateLabels),
    beginRemove: asAssign(assigns.beginRemove),
    recordRemoved: asAssign(assigns.recordRemoved),
    retryRemove: asAssign(assigns.retryRemove),
  },
});

// A snapshot that clients can see may be removed at once, or be left for Cleanup.
const removable = {
  SnapshotRemoveStarted: { target: 'removing', actions: 'beginRemove' },
  SnapshotRemoveDeferred: { target: 'removeDeferred' },
} as const;

const labelled = { SnapshotLabelsUpdated: { actions: 'updateLabels' } } as const;

const removal = {
  removeDeferred: {
    on: { SnapshotRemoveStarted: { target: 'removing', actions: 'beginRemove' } },
  },
  removing: {
    tags: 'inFlight',
    on: {
      SnapshotRemoved: {
        target: 'removed',
        guard: 'isCurrentOperation',
        actions: 'recordRemoved',
      },
      SnapshotRemoveFailed: { guard: 'isCurrentOperation', actions: 'retryRemove' },
    },
  },
  removed: { type: 'final' },
  failed: { type: 'final' },
} as const;

const writing = {
  active: {
    on: {
      SnapshotCommitStarted: { target: 'committing', actions: 'beginCommit' },
      ...labelled,
      ...removable,
    },
  },
  committing: {
    tags: 'inFlight',
    on: {
      SnapshotCommitted: {
        target: 'committed',
        guard: 'isCurrentOperation',
        actions: 'recordCommitted',
      },
      SnapshotCommitFailed: {
        target: 'active',
        guard: 'isCurrentOperation',
        actions: 'recordCommitFailed',
      },
    },
  },
  committed: { on: { ...labelled, ...removable } },
} as const;

const viewing = { viewing: { on: { ...labelled, ...removable } } } as const;

const absent = <First extends string>(first: First) =>
  ({
    absent: {
      on: {
        SnapshotPrepared: { target: first, actions: 'recordPrepared' },
        SnapshotPrepareFailed: { target: 'failed', actions: 'recordPrepareFailed' },
      },
    },
  }) as const;

// What holds the data is recorded with the first event and with Commit, and never guessed again.
const prepared = { target: 'directory', guard: 'isFirstEvent' } as const;
const finished = { SnapshotCommitted: { target: 'localBlock', guard: 'isBlockLayer' } } as const;

const layerBacking = {
  initial: 'unassigned',
  states: {
    unassigned: {
      on: {
        SnapshotPrepared: [{ target: 'writableBlock', guard: 'isFirstEventOfWritable' }, prepared],
      },
    },
    directory: {
      on: {
        SnapshotCommitted: [
          { target: 'remoteBlock', guard: 'isRemoteLayer' },
          finished.SnapshotCommitted,
        ],
      },
    },
    writableBlock: { on: finished },
    localBlock: {},
    remoteBlock: {},
  },
} as const;

const viewBacking = {
  initial: 'unassigned',
  states: { unassigned: { on: { SnapshotPrepared: prepared } }, directory: {} },
} as const;

const layerMachine = (id: SnapshotRole) =>
  snapshotSetup.createMachine({
    id,
    type: 'parallel',
    context: emptySnapshotContext,
    states: {
      lifecycle: {
        initial: 'absent',
        states: { ...absent('active'), ...writing, ...removal },
      },
      backing: layerBacking,
    },
  });

const viewMachine = snapshotSetup.createMachine({
  id: 'view',
  type: 'parallel',
  context: emptySnapshotContext,
  states: {
    lifecycle: {
      initial: 'absent',
      states: { ...absent('viewing'), ...viewing, ...removal },
    },
    backing: viewBacking,
  },
});

/** The xstate machines by role: the source of tables, diagrams and the legality matrix. */
export const snapshotMachines = {
  imageLayer: layerMachine('imageLayer'),
  initLayer: layerMachine('initLayer'),
  containerLayer: layerMachine('containerLayer'),
  view: viewMachine,
};

export type SnapshotChart = Statechart<SnapshotStateValue, SnapshotContext, SnapshotEvent>;

const compile = (role: SnapshotRole): SnapshotChart =>
  compileStatechart(
    snapshotMachines[role],
    { guards: snapshotGuards, assigns: snapshotAssigns },
    emptySnapshotContext,
  );

/** The same machines as tables, which deciding and folding run on. */
export const snapshotCharts: Readonly<Record<SnapshotRole, SnapshotChart>> = {
  imageLayer: compile('imageLayer'),
  initLayer: compile('initLayer'),
  containerLayer: compile('containerLayer'),
  view: compile('view'),
};
