// What the kernel can do.
import type { Machine } from './machine.ts';
import { note, ok, problem, type Finding, type Look } from './look.ts';

const topic = 'kernel';

export function kernelLooks(machine: Machine): readonly Look[] {
  return [
    fileSystem(machine, 'overlay', 'containers cannot be run without it'),
    overlayIndex(machine),
    fileSystem(machine, 'ext4', 'images that hold it cannot be mounted'),
    fileSystem(machine, 'xfs'),
    fileSystem(machine, 'erofs'),
    fuse(machine),
    fuseResend(machine),
    loop(machine),
  ];
}

/** Whether a module could be loaded: built in, or listed among the kernel's modules. */
export async function hasModule(machine: Machine, name: string): Promise<boolean> {
  const release = (await machine.read('/proc/sys/kernel/osrelease')).trim();
  for (const list of ['modules.builtin', 'modules.dep']) {
    const text = await machine.readIfThere(`/lib/modules/${release}/${list}`);
    const wanted = new RegExp(`/${name.replace(/[-_]/g, '[-_]')}\\.ko`, 'm');
    if (text !== undefined && wanted.test(text)) return true;
  }
  return false;
}

/** `why`: what is not possible without it; without a reason it is only noted. */
function fileSystem(machine: Machine, name: string, why?: string): Look {
  return {
    topic,
    name,
    how: '/proc/filesystems, /lib/modules',
    async look() {
      const known = (await machine.read('/proc/filesystems')).split('\n');
      if (known.some((line) => line.split('\t').at(-1) === name)) return ok('the kernel has it');
      if (await hasModule(machine, name)) {
        return note('not loaded; the kernel loads it when it is mounted', `modprobe ${name}`);
      }
      const found = 'the kernel does not have it';
      if (why === undefined) return note(`${found}: images that hold it cannot be mounted`);
      return problem(`${found}: ${why}`, `use a kernel with ${name}`);
    },
  };
}

const overlayIndex = (machine: Machine): Look => ({
  topic,
  name: 'overlay index',
  how: '/sys/module/overlay/parameters/index',
  async look() {
    const value = await machine.readIfThere('/sys/module/overlay/parameters/index');
    if (value === undefined) return ok('the kernel does not have it, or overlay is not loaded');
    return ok(
      value.trim() === 'N'
        ? 'off by default; mounts say index=off all the same'
        : 'on by default; mounts switch it off (index=off)',
    );
  },
});

const nodeFindings = {
  absent: (node: string, module: string): Finding =>
    problem(
      `${node} is not there: varve-bd cannot attach devices`,
      `modprobe ${module}; in a container, give it the device`,
    ),
  denied: (node: string): Finding =>
    problem(`${node} may not be used: varve-bd cannot attach devices`, 'run as root'),
  yes: (node: string): Finding => ok(`${node} can be used`),
} as const;

const fuse = (machine: Machine): Look => ({
  topic,
  name: 'FUSE',
  how: '/dev/fuse',
  look: async () => nodeFindings[await machine.mayUse('/dev/fuse')]('/dev/fuse', 'fuse'),
});

const loop = (machine: Machine): Look => ({
  topic,
  name: 'loop devices',
  how: '/dev/loop-control',
  look: async () =>
    nodeFindings[await machine.mayUse('/dev/loop-control')]('/dev/loop-control', 'loop'),
});

/** The release that brought the notification by which FUSE asks for requests again. */
const resendRelease = [6, 9] as const;

const fuseResend = (machine: Machine): Look => ({
  topic,
  name: 'FUSE resend',
  how: '/proc/sys/kernel/osrelease',
  async look() {
    const release = (await machine.read('/proc/sys/kernel/osrelease')).trim();
    const [major = 0, minor = 0] = release.split('.').map(Number);
    const [wantedMajor, wantedMinor] = resendRelease;
    const isNewEnough = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
    return isNewEnough
      ? ok(`Linux ${release}, which has it (since ${resendRelease.join('.')})`)
      : note(`Linux ${release} does not have it (since ${resendRelease.join('.')})`);
  },
});
