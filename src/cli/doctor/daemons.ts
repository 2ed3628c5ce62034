// The daemons: whether varve serve and varve-bd answer, what they may do, how the kernel treats
// them.
import type { Configuration } from '../../config/configuration.ts';
import type { BackingStoreFigures } from '../../engine/ports.ts';
import { counted } from '../../history/text.ts';
import type { DoctorPorts } from '../../server/ports.ts';
import type { StatusDocument } from '../../server/status-document.ts';
import { version } from '../../server/version.ts';
import { withAdminClient } from '../admin-client.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import type { Machine } from './machine.ts';
import { note, ok, problem, type Finding, type Look } from './look.ts';
import {
  blockDaemonNeeds,
  capabilities,
  lockedMemory,
  outOfMemoryScore,
  serveNeeds,
} from './rights.ts';

export function daemonLooks(
  machine: Machine,
  configuration: Configuration,
  ports: DoctorPorts,
): readonly Look[] {
  return [
    {
      topic: 'varve serve',
      name: 'answers',
      how: configuration.adminAddress,
      look: () => serve(machine, configuration),
    },
    {
      topic: 'varve-bd',
      name: 'answers',
      how: configuration.blockDaemonAddress,
      look: () => blockDaemon(machine, configuration, ports),
    },
  ];
}

async function serve(
  machine: Machine,
  { adminAddress, root }: Configuration,
): Promise<readonly Finding[]> {
  const own = { name: 'capabilities', how: '/proc/self/status (of varve doctor)' };
  const rights = async (): Promise<Finding> => ({
    ...(await capabilities(machine, 'self', serveNeeds)),
    ...own,
  });
  let status: StatusDocument;
  try {
    status = await withAdminClient(adminAddress, (client) =>
      client.document<StatusDocument>('status'),
    );
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    if (error.exitCode !== exitCodes.unreachable || (await machine.exists(adminAddress))) {
      return [problem(error.message, 'start it again, or look at its log'), await rights()];
    }
    return [note('varve serve does not run', 'start it'), await rights()];
  }
  const { pid } = status;
  return [
    serving(status, root),
    {
      ...(await capabilities(machine, pid, serveNeeds)),
      ...{ name: 'capabilities', how: `/proc/${pid}/status` },
    },
    await mountNamespace(machine, pid),
  ];
}

function serving(status: StatusDocument, root: string): Finding {
  const { pid, varveVersion, condition } = status;
  if (status.root !== root) {
    const next = 'name the right one with --address or --root';
    return problem(`it serves ${status.root}, and not ${root}`, next);
  }
  if (status.problem !== null || condition !== 'serving') {
    return problem(status.problem ?? `it is ${condition}`, 'varve status says more');
  }
  const text = `process ${pid}, version ${varveVersion}, serves ${root}`;
  if (varveVersion === version) return ok(text);
  return note(`${text}; this command is version ${version}`, 'restart varve serve');
}

async function mountNamespace(machine: Machine, pid: number): Promise<Finding> {
  const place = { name: 'mount namespace', how: `/proc/${pid}/ns/mnt, /proc/1/ns/mnt` };
  const [own, first] = await Promise.all(
    [`/proc/${pid}/ns/mnt`, '/proc/1/ns/mnt'].map((link) =>
      machine.link(link).catch(undefinedIfHidden),
    ),
  );
  if (own === undefined || first === undefined) {
    return { ...note('the kernel does not let it be seen'), ...place };
  }
  if (own === first) return { ...ok('that of process 1'), ...place };
  return {
    ...note(
      'not that of process 1: containers see its devices only if containerd is in the same, or ' +
        'the root is shared',
      'PrivateMounts=no in its unit; in a container, share the root (rshared)',
    ),
    ...place,
  };
}

function undefinedIfHidden(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'EACCES' && code !== 'EPERM') throw error;
}

async function blockDaemon(
  machine: Machine,
  { blockDaemonAddress, root }: Configuration,
  { backingStoreFigures }: DoctorPorts,
): Promise<readonly Finding[]> {
  const figures = await backingStoreFigures(`${root}/snapshots`);
  if (!figures.ok) {
    const { message } = figures.failure;
    const next = `start varve-bd --socket ${blockDaemonAddress}`;
    if (await machine.exists(blockDaemonAddress)) return [problem(message, next)];
    return [note('varve-bd does not run: images of overlaybd layers cannot be used', next)];
  }
  const { process: pid, devices } = figures.value;
  const of = (file: string): string => `/proc/${pid}/${file}`;
  const slow = devices.filter(({ directIo }) => directIo === false).map(({ deviceId }) => deviceId);
  const damaged = devices.filter(({ damageCount }) => damageCount > 0);
  const program = await machine.link(of('exe'));
  const outlives = figures.value.devicesOutlive === true;
  return [
    answering(figures.value),
    {
      ...(program.endsWith(' (deleted)')
        ? note(
            `${program}: it was replaced since it started`,
            outlives ? 'restart it' : 'restart it when nobody uses a device',
          )
        : ok(program)),
      ...{ name: 'program', how: of('exe') },
    },
    {
      ...(await capabilities(machine, pid, blockDaemonNeeds)),
      ...{ name: 'capabilities', how: of('status') },
    },
    { ...lifetime(outlives), name: 'lifetime of devices' },
    { ...(await outOfMemoryScore(machine, pid)), name: 'OOM score', how: of('oom_score_adj') },
    { ...(await lockedMemory(machine, pid)), name: 'memory', how: `${of('status')}, /proc/swaps` },
    { ...directIo(devices.length, slow), name: 'direct I/O' },
    ...damaged.map(({ deviceId, damageCount }) => ({
      ...problem(
        `a layer of device #${deviceId} could not be read as it was written, ${damageCount} times`,
        'varve bd events names the file; pull the image again',
      ),
      name: 'damage',
    })),
  ];
}

function lifetime(outlives: boolean): Finding {
  if (outlives) return ok('they stay when varve-bd ends, and wait for the next one');
  return note(
    'they end with varve-bd: containers on them get I/O errors when it dies or is replaced',
    'start varve-bd-holder, and varve-bd with --holder',
  );
}

function answering({
  process: pid,
  version: its,
  transport,
  devicesOutlive,
  devices,
}: BackingStoreFigures): Finding {
  const release = its === null ? 'an older version' : `version ${its}`;
  const text = `process ${pid}, ${release}, transport ${transport}; ${counted(devices.length, 'device')}`;
  if (its === version) return ok(text);
  return note(
    `${text}; this command is version ${version}`,
    devicesOutlive === true ? 'restart it' : 'restart it when nobody uses a device',
  );
}

function directIo(deviceCount: number, slow: readonly number[]): Finding {
  if (deviceCount === 0) return note('it shows once a device is attached');
  if (slow.length === 0) return ok('every loop device has it');
  const names = slow.map((id) => `#${id}`).join(', ');
  return problem(`without it: ${names}, which are many times slower`, 'use a newer kernel');
}
