// What a process may do, as /proc tells it: its capabilities, and how the kernel treats it when
// memory is short.
import type { Machine } from './machine.ts';
import { note, ok, problem, type Finding } from './look.ts';

// Bits of linux/capability.h.
const capabilityBits = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_MKNOD: 27,
} as const;

type Capability = keyof typeof capabilityBits;

const whatFor: Readonly<Record<Capability, string>> = {
  CAP_CHOWN: 'directories get the owner of their parent’s',
  CAP_DAC_OVERRIDE: 'layers hold files of any owner',
  CAP_FOWNER: 'layers hold files of any owner',
  CAP_SYS_ADMIN: 'mounts, and block devices',
  CAP_SYS_RESOURCE: 'a writable device must not wait for itself when memory is short',
  CAP_MKNOD: 'removed files are device nodes in a layer',
};

/** What varve serve needs, and varve-bd. */
export const serveNeeds: readonly Capability[] = [
  'CAP_SYS_ADMIN',
  'CAP_DAC_OVERRIDE',
  'CAP_CHOWN',
  'CAP_FOWNER',
  'CAP_MKNOD',
];
export const blockDaemonNeeds: readonly Capability[] = ['CAP_SYS_ADMIN', 'CAP_SYS_RESOURCE'];

/** Without it everything works, but less well. */
const isDispensable = (name: Capability): boolean => name === 'CAP_SYS_RESOURCE';

/** Whether a process has what it needs; `pid` may be `self`. */
export async function capabilities(
  machine: Machine,
  pid: number | 'self',
  needs: readonly Capability[],
): Promise<Finding> {
  const status = await machine.read(`/proc/${pid}/status`);
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const missing = needs.filter((name) => ((effective >> BigInt(capabilityBits[name])) & 1n) === 0n);
  if (missing.length === 0) return ok(needs.join(', '));
  const reasons = missing.map((name) => `${name} (${whatFor[name]})`);
  const tell = missing.every(isDispensable) ? note : problem;
  return tell(
    `missing: ${reasons.join('; ')}`,
    'run it as root; in a container, with these capabilities or privileged',
  );
}

/** How likely the kernel ends the process when memory is short. */
export async function outOfMemoryScore(machine: Machine, pid: number): Promise<Finding> {
  const score = Number(await machine.read(`/proc/${pid}/oom_score_adj`));
  if (score < 0) return ok(`oom_score_adj ${score}`);
  return note(
    `oom_score_adj ${score}: when memory is short the kernel may end it, with all its devices`,
    'OOMScoreAdjust=-999 in its unit',
  );
}

/** Whether all of its memory stays in memory. */
export async function lockedMemory(machine: Machine, pid: number): Promise<Finding> {
  const status = await machine.read(`/proc/${pid}/status`);
  const kibibytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0);
  const lockedKb = kibibytes('VmLck');
  const swap = (await machine.readIfThere('/proc/swaps')) ?? '';
  const hasSwap = swap.trim().split('\n').length > 1;
  if (lockedKb > 0 && lockedKb >= kibibytes('VmRSS')) return ok('it is locked');
  const text = 'it is not locked: when memory is short, a writable device could wait for itself';
  return note(
    hasSwap ? `${text}; no swap may lie on its devices` : text,
    'run it as root; in a container, with CAP_IPC_LOCK',
  );
}
