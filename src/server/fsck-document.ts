// What a start has to do, as findings for people and programs: what Inspect.Fsck answers and
// `varve fsck` prints. The shape is public (docs/cli.md, "fsck").
import type { MountInUse } from '../engine/ports.ts';
import type { StartPlan } from '../engine/start-plan.ts';
import {
  deviceIdOf,
  deviceStream,
  type DeviceEventData,
  type DeviceEventType,
} from '../machines/device/events.ts';
import type { DeviceState } from '../machines/device/state.ts';
import type { NewEvent } from '../machines/kernel/envelope.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';

export interface Finding {
  readonly kind:
    | 'snapshotInFlight'
    | 'orphanedDirectory'
    | 'unexplainedDirectory'
    | 'missingDirectory'
    | 'foreignEntry'
    | 'mountOfNobody'
    | 'leaseOfNobody'
    | 'lostDevice'
    | 'idleDevice'
    | 'unleasedDevice'
    | 'deviceInFlight'
    | 'strayDevice'
    | 'unseenDevices';
  /** `snapshot #3 "a/1/box"`, `directory 7`, `device #2`. */
  readonly subject: string;
  readonly found: string;
  /** What a start does about it, and `--apply`. */
  readonly action: string;
  /** Whether it is something to put right; not what is under way, lingers, or is nobody's. */
  readonly isFault: boolean;
}

export interface FsckDocument {
  readonly format: 'varve-fsck';
  readonly version: 1;
  readonly root: string;
  readonly position: number;
  /** Whether a `varve serve` answered; otherwise the root itself was read. */
  readonly isServed: boolean;
  readonly findings: readonly Finding[];
  /** With `--apply`: what is left; null without. */
  readonly remaining: readonly Finding[] | null;
}

export interface FsckRequest {
  readonly root: string;
  readonly plan: StartPlan;
  readonly snapshots: ReadonlyMap<number, SnapshotState>;
  readonly devices: ReadonlyMap<number, DeviceState>;
  /** The mounts that use directories of snapshots. */
  readonly mounts: readonly MountInUse[];
  /** Whether what is in flight is being worked on now. */
  readonly isServed: boolean;
}

/** The document of a plan. */
export function fsckDocument(request: FsckRequest): FsckDocument {
  const { root, plan, isServed } = request;
  const findings = [
    ...directoryFindings(request),
    ...mountFindings(request),
    ...deviceFindings(request),
  ];
  const { position } = plan;
  const head = { format: 'varve-fsck', version: 1, root, position } as const;
  return { ...head, isServed, findings, remaining: null };
}

function* directoryFindings(request: FsckRequest): Generator<Finding> {
  const { boot, foreign } = request.plan;
  for (const state of boot.inFlight) {
    yield {
      kind: 'snapshotInFlight',
      subject: snapshotText(request, state.context.snapshotId),
      found: `it is ${state.value.lifecycle}, and that has not ended`,
      action: 'it is carried through',
      isFault: !request.isServed,
    };
  }
  for (const id of boot.orphans) {
    yield {
      kind: 'orphanedDirectory',
      subject: `directory ${id}`,
      found: 'its Prepare never ended: no snapshot has it',
      action: 'it is deleted',
      isFault: true,
    };
  }
  for (const id of boot.unexplained) {
    yield {
      kind: 'unexplainedDirectory',
      subject: `directory ${id}`,
      found: 'no snapshot has it, and the history that could explain it is lost',
      action: 'it is kept: look at it, and delete it by hand',
      isFault: true,
    };
  }
  for (const id of boot.missing) {
    yield {
      kind: 'missingDirectory',
      subject: snapshotText(request, id),
      found: 'its directory is gone',
      action: 'nothing: remove the snapshot and what is on it, and pull or unpack it again',
      isFault: true,
    };
  }
  for (const name of foreign) {
    yield {
      kind: 'foreignEntry',
      subject: `entry ${JSON.stringify(name)} beside the snapshots`,
      found: 'it is none of varve’s',
      action: 'it is left alone',
      isFault: false,
    };
  }
}

function* mountFindings({ mounts, snapshots, plan }: FsckRequest): Generator<Finding> {
  // Of a stray device its own mount is told with it.
  const known = new Set([...snapshots.keys(), ...plan.devices.strays]);
  for (const { mountPoint, snapshotIds } of mounts) {
    const gone = snapshotIds.filter((id) => !known.has(id));
    if (gone.length === 0) continue;
    yield {
      kind: 'mountOfNobody',
      subject: `mount ${JSON.stringify(mountPoint)}`,
      found: `it uses the directory of ${gone.map((id) => `#${id}`).join(', ')}, which is no more`,
      action: 'it is left alone: end what uses it, and unmount it',
      isFault: true,
    };
  }
}

function* deviceFindings(request: FsckRequest): Generator<Finding> {
  const { plan } = request;
  const { changes, unleased, strays, inFlight, presentCount } = plan.devices;
  if (plan.unseen !== null && presentCount > 0) {
    yield {
      kind: 'unseenDevices',
      subject: 'devices',
      found: `the backing store could not be asked: ${plan.unseen.message}`,
      action: 'nothing can be said of them until it answers: start varve-bd',
      isFault: true,
    };
  }
  const lost = changes.filter(({ events }) => events.some(({ type }) => type === 'DeviceLost'));
  const lostStreams = new Set(lost.map(({ stream }) => stream));
  for (const { stream, events } of changes) yield* changeFindings(request, stream, events);
  for (const { context } of unleased) {
    yield {
      kind: 'unleasedDevice',
      subject: snapshotText(request, context.snapshotId),
      found: `it uses device #${context.deviceId} without a lease, which a repair has lost`,
      action: 'it leases it again',
      isFault: true,
    };
  }
  for (const id of strays) {
    yield {
      kind: 'strayDevice',
      subject: `device #${id}`,
      found: 'it is attached or mounted, and nothing is known of it',
      action: 'it is unmounted and detached',
      isFault: true,
    };
  }
  for (const state of inFlight) {
    const isLost = lostStreams.has(deviceStream(state.context.deviceId));
    if (!isLost) yield flightFinding(request, state);
  }
}

function* changeFindings(
  request: FsckRequest,
  stream: string,
  events: readonly NewEvent[],
): Generator<Finding> {
  const deviceId = deviceIdOf(stream) ?? 0;
  const subject = deviceText(request, deviceId);
  const isAttachedAgain = events.some(({ type }) => type === 'DeviceAttachStarted');
  for (const { type, data } of events) {
    switch (type as DeviceEventType) {
      case 'DeviceReleased': {
        const { snapshotId } = data as DeviceEventData['DeviceReleased'];
        const found = `it is leased for #${snapshotId}, which does not exist`;
        const action = 'the lease is given back';
        yield { kind: 'leaseOfNobody', subject, found, action, isFault: true };
        break;
      }
      case 'DeviceLost': {
        const found = `it is lost: ${(data as DeviceEventData['DeviceLost']).reason}`;
        const action = isAttachedAgain
          ? 'it is attached again for those who lease it'
          : 'what is left of it is unmounted and detached';
        yield { kind: 'lostDevice', subject, found, action, isFault: true };
        break;
      }
      case 'DeviceLingerStarted':
      case 'DeviceKept': {
        const action =
          type === 'DeviceKept'
            ? 'it stays until its layer is removed'
            : 'it lingers, and is detached then';
        yield { kind: 'idleDevice', subject, found: 'nobody leases it', action, isFault: false };
        break;
      }
      default:
        break;
    }
  }
}

/** What a start does with a device in each state in flight. */
const flights: Readonly<Record<string, readonly [found: string, action: string]>> = {
  attaching: ['attaching it has not ended', 'it is attached'],
  formatting: ['making its file system has not ended', 'that is done, and it is mounted'],
  mounting: ['mounting it has not ended', 'it is mounted'],
  unmounting: ['unmounting it has not ended', 'it is unmounted and detached'],
  detaching: ['detaching it has not ended', 'it is detached'],
  lingering: ['nobody leases it, and it lingers', 'it is detached when its time has come'],
  failed: ['attaching it failed', 'it is tried again'],
};

function flightFinding(request: FsckRequest, state: DeviceState): Finding {
  const { attachment } = state.value;
  const [found, action] = flights[attachment] ?? [`it is ${attachment}`, 'it goes on'];
  const { lastFailure, deviceId } = state.context;
  const reason = lastFailure === null ? '' : `; last failure: ${lastFailure.message}`;
  return {
    kind: 'deviceInFlight',
    subject: deviceText(request, deviceId),
    found: found + reason,
    action,
    isFault: attachment === 'failed' || (!request.isServed && attachment !== 'lingering'),
  };
}

const snapshotText = ({ snapshots }: FsckRequest, id: number): string =>
  named('snapshot', id, snapshots.get(id)?.context.key);

const deviceText = ({ snapshots, devices }: FsckRequest, id: number): string => {
  const path = devices.get(id)?.context.path ?? null;
  const place = path === null ? '' : ` (${path})`;
  return named('device', id, snapshots.get(id)?.context.key) + place;
};

const named = (what: string, id: number, key: string | undefined): string =>
  key === undefined ? `${what} #${id}` : `${what} #${id} ${JSON.stringify(key)}`;
