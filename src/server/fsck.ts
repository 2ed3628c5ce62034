// The examination of a root: of a node that runs, or of one that is stopped, which is then started
// as far as its log and, if it is asked to put things right, as far as a start does.
import type { Configuration } from '../config/configuration.ts';
import type { Engine } from '../engine/api.ts';
import { foldLog } from '../engine/boot.ts';
import { planStart, type StartPlan } from '../engine/start-plan.ts';
import { startEngine } from '../engine/start.ts';
import { rangeText, type MountInUse } from '../engine/ports.ts';
import type { Checkpoint } from '../machines/checkpoint.ts';
import { fsckDocument, type FsckDocument } from './fsck-document.ts';
import { RootDamaged, StartRefused, type LogOpening, type ServerPorts } from './ports.ts';

/** How long the end of an examination waits for what is under way still. */
const stopMs = 5_000;

export interface ExaminationOptions {
  readonly configuration: Configuration;
  readonly ports: ServerPorts;
  /** Whether what a start does is done; without it nothing is changed. */
  readonly applies: boolean;
}

interface About {
  readonly root: string;
  readonly isServed: boolean;
  readonly mountsInUse: ServerPorts['mountsInUse'];
}

/** What a start of this node would do now. */
export async function examineNode(engine: Engine, about: About): Promise<FsckDocument> {
  // Before the state: a mount of a snapshot that is removed meanwhile is none of nobody's.
  const mounts = await about.mountsInUse();
  const plan = await engine.startPlan();
  return documentOf({ plan, mounts }, engine.checkpoint(), about);
}

/** The same of a root that nobody serves; its lock is held. Throws StartRefused or RootDamaged. */
export async function examineRoot(options: ExaminationOptions): Promise<FsckDocument> {
  const { configuration, ports, applies } = options;
  const { root } = ports;
  const { mountsInUse } = ports;
  const about = { root, isServed: false, mountsInUse };
  const { store, spaceGuard } = opened(await ports.openLog(), root);
  const { autoRemoveDev, lingerMs } = configuration;
  const policy = () => ({ autoRemoveDev, lingerMs, nowUs: ports.clock.nowUs() });
  const projection = await foldLog(store);
  const plan = await planStart(projection, { ...ports, policy });
  const mounts = await mountsInUse();
  const document = documentOf({ plan, mounts }, projection.toCheckpoint(), about);
  if (!applies) {
    await store.close();
    return document;
  }
  const engine = await startEngine({
    ...ports,
    ...{ store, spaceGuard, configuration },
    pid: process.pid,
    onFailure: (failure) => {
      throw failure;
    },
  });
  try {
    await engine.recovered();
    const { findings } = await examineNode(engine, about);
    return { ...document, remaining: findings };
  } finally {
    await engine.stop('fsck', stopMs);
  }
}

function opened(
  opening: LogOpening,
  root: string,
): Pick<Extract<LogOpening, { status: 'open' }>, 'spaceGuard'> & {
  readonly store: Extract<LogOpening, { status: 'open' }>['opened']['store'];
} {
  if (opening.status === 'refused') throw new StartRefused(`${opening.reason}: ${opening.next}`);
  if (opening.status === 'damaged') throw damaged(root, opening.reason);
  const { store, damage } = opening.opened;
  if (damage.length === 0) return { store, spaceGuard: opening.spaceGuard };
  const what = damage.map((one) => `${rangeText(one)}: ${one.reason}`).join('; ');
  throw damaged(root, what);
}

const damaged = (root: string, what: string): RootDamaged =>
  new RootDamaged(`the event log in ${root} is damaged (${what}): run varve repair`);

function documentOf(
  truth: { readonly plan: StartPlan; readonly mounts: readonly MountInUse[] },
  { snapshots, devices }: Checkpoint,
  { root, isServed }: About,
): FsckDocument {
  return fsckDocument({
    ...{ root, isServed, ...truth },
    snapshots: new Map(snapshots.map((state) => [state.context.snapshotId, state])),
    devices: new Map(devices.map((state) => [state.context.deviceId, state])),
  });
}
