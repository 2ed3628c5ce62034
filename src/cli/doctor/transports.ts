// How block devices can reach the kernel of this machine: what each way lacks, and which one is
// taken.
import type { Configuration } from '../../config/configuration.ts';
import type { BackingStoreFigures } from '../../engine/ports.ts';
import type { DoctorPorts } from '../../server/ports.ts';
import { hasModule } from './kernel.ts';
import { note, ok, type Finding, type Look } from './look.ts';
import type { Machine } from './machine.ts';
import { transportReasons, type TransportName } from './transport-reasons.ts';

const topic = 'transports';
const names = Object.keys(transportReasons) as readonly TransportName[];

/** What a way lacks, and what to do about it. */
interface Lack {
  readonly found: string;
  readonly next?: string;
}

/** Who could attach or serve devices. */
interface Servers {
  /** Undefined if varve-bd does not answer. */
  readonly daemon: BackingStoreFigures | undefined;
  /** overlaybd's own daemon, in words. */
  readonly upstream: string | undefined;
  /** Why the kernel's target cannot be told of images below the root. */
  readonly pathProblem: string | undefined;
}

export function transportLooks(
  machine: Machine,
  configuration: Configuration,
  {
    backingStoreFigures,
    upstreamProcess,
    whyNotConfigurable,
  }: Pick<DoctorPorts, 'backingStoreFigures' | 'upstreamProcess' | 'whyNotConfigurable'>,
): readonly Look[] {
  const snapshotsPath = `${configuration.root}/snapshots`;
  const ask = async (): Promise<Servers> => {
    const figures = await backingStoreFigures(snapshotsPath);
    const upstream = await upstreamProcess();
    const pathProblem = whyNotConfigurable(snapshotsPath);
    return { daemon: figures.ok ? figures.value : undefined, upstream, pathProblem };
  };
  let answer: Promise<Servers> | undefined;
  const asked = (): Promise<Servers> => (answer ??= ask());
  return [
    {
      ...{ topic, name: 'ublk', how: '/sys/module/ublk_drv, /dev/ublk-control, varve-bd' },
      look: async () => finding('ublk', await whatUblkLacks(machine, await asked())),
    },
    {
      ...{ topic, name: 'tcmu' },
      how: 'the path of the root, /sys/module/target_core_user, /sys/kernel/config/target, varve-bd, /proc/*/comm',
      look: async () => finding('tcmu', await whatTargetLacks(machine, await asked())),
    },
    {
      ...{ topic, name: 'fuse', how: '/dev/fuse, /dev/loop-control, varve-bd' },
      look: async () => finding('fuse', await whatFuseLacks(machine, await asked())),
    },
    {
      ...{ topic, name: 'which is taken', how: '"transport" of the configuration, and these' },
      look: async () => taken(configuration.transport, await offered(machine, await asked())),
    },
  ];
}

const finding = (name: TransportName, lack: Lack | undefined): Finding =>
  lack === undefined
    ? ok(`it can be used: ${transportReasons[name]}`)
    : note(`it cannot be used: ${lack.found}`, lack.next);

async function offered(machine: Machine, servers: Servers): Promise<readonly TransportName[]> {
  const lacks = {
    ublk: await whatUblkLacks(machine, servers),
    tcmu: await whatTargetLacks(machine, servers),
    fuse: await whatFuseLacks(machine, servers),
  };
  return names.filter((name) => lacks[name] === undefined);
}

function taken(wanted: Configuration['transport'], there: readonly TransportName[]): Finding {
  const [first] = there;
  if (wanted !== 'auto') {
    return there.includes(wanted)
      ? ok(`${wanted}, as the configuration says`)
      : note(
          `${wanted}, as the configuration says, and it cannot be used: no device can be attached`,
          'see its line; or choose another "transport"',
        );
  }
  if (first === undefined) {
    return note('none can be used: no device can be attached', 'see the line of each');
  }
  return ok(`${first}: \`auto\` takes the first that can be used of ${names.join(', ')}`);
}

/** What a module's absence means; undefined if it is loaded. */
async function missingModule(machine: Machine, module: string): Promise<Lack | undefined> {
  if (await machine.exists(`/sys/module/${module}`)) return undefined;
  return (await hasModule(machine, module))
    ? { found: `the module ${module} is not loaded`, next: `modprobe ${module}` }
    : { found: `the kernel does not have ${module}`, next: `use a kernel with ${module}` };
}

/** Why a node or a directory cannot be used; `next`: what to do if it is not there. */
async function unusableNode(
  machine: Machine,
  node: string,
  { next } = { next: 'in a container, give it the device' },
): Promise<Lack | undefined> {
  switch (await machine.mayUse(node)) {
    case 'yes':
      return undefined;
    case 'absent':
      return { found: `${node} is not there`, next };
    case 'denied':
      return { found: `${node} may not be used`, next: 'run as root' };
  }
}

/** What varve-bd says of one that it could attach; undefined if it attaches it. */
function refusedByDaemon(name: TransportName, { daemon }: Servers): Lack | undefined {
  if (daemon === undefined) {
    return { found: 'varve-bd does not answer', next: 'start varve-bd' };
  }
  const { transport, transports, lacking } = daemon;
  if ((transports ?? [transport]).includes(name)) return undefined;
  const reasons = lacking[name] ?? [];
  return reasons.length === 0
    ? { found: 'varve-bd does not attach it', next: 'restart varve-bd, or use a newer one' }
    : { found: `varve-bd lacks: ${reasons.join('; ')}`, next: 'restart varve-bd once it is there' };
}

async function whatUblkLacks(machine: Machine, servers: Servers): Promise<Lack | undefined> {
  const node = '/dev/ublk-control';
  // A kernel that has it built in shows the node alone.
  const module = (await machine.exists(node))
    ? undefined
    : await missingModule(machine, 'ublk_drv');
  return module ?? (await unusableNode(machine, node)) ?? refusedByDaemon('ublk', servers);
}

async function whatTargetLacks(machine: Machine, servers: Servers): Promise<Lack | undefined> {
  if (servers.pathProblem !== undefined) {
    const found = `the kernel's target cannot be told the paths below the root: ${servers.pathProblem}`;
    return { found, next: 'choose another root, or another "transport"' };
  }
  const module = await missingModule(machine, 'target_core_user');
  if (module !== undefined) return module;
  const hasDisks = await hasModule(machine, 'tcm_loop');
  if (!hasDisks && !(await machine.exists('/sys/module/tcm_loop'))) {
    return { found: 'the kernel does not have tcm_loop', next: 'use a kernel with tcm_loop' };
  }
  const place = await unusableNode(machine, '/sys/kernel/config/target', {
    next: 'mount -t configfs configfs /sys/kernel/config; in a container, give it that',
  });
  if (place !== undefined) return place;
  if (servers.upstream !== undefined) return undefined;
  const daemon = refusedByDaemon('tcmu', servers);
  if (daemon === undefined) return undefined;
  const next = 'start varve-bd with --tcmu, or overlaybd-tcmu';
  return { found: 'nobody serves the devices of the kernel’s target', next };
}

async function whatFuseLacks(machine: Machine, servers: Servers): Promise<Lack | undefined> {
  for (const node of ['/dev/fuse', '/dev/loop-control']) {
    const lack = await unusableNode(machine, node);
    if (lack !== undefined) return lack;
  }
  return refusedByDaemon('fuse', servers);
}
