// New file systems, made by the programs that know them, and empty: without the directory that ext4
// keeps for what its check finds, which no image has.
import type { EffectResult } from '../../engine/ports.ts';
import type { DevicePlan } from '../../machines/device/events.ts';
import { runProgram } from '../helper-pool/program.ts';
import { done, failed } from './failed.ts';

/** The packages that the programs are in, as most distributions call them. */
const packages: Readonly<Record<string, string>> = {
  'mkfs.ext4': 'e2fsprogs',
  debugfs: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  'mkfs.f2fs': 'f2fs-tools',
  'mkfs.ntfs': 'ntfs-3g',
};

/** Makes a file system by the program that knows it. */
export async function format(
  devicePath: string,
  { fileSystem, formatArguments }: DevicePlan,
  deadlineMs: number,
): Promise<EffectResult<void>> {
  const program = `mkfs.${fileSystem === 'ntfs3' ? 'ntfs' : fileSystem}`;
  const made = await run(program, [...(formatArguments ?? []), devicePath], devicePath, deadlineMs);
  if (!made.ok || fileSystem !== 'ext4') return made;
  return run('debugfs', ['-w', '-R', 'rmdir /lost+found', devicePath], devicePath, deadlineMs);
}

async function run(
  program: string,
  programArguments: readonly string[],
  devicePath: string,
  deadlineMs: number,
): Promise<EffectResult<void>> {
  const ended = await runProgram(program, programArguments, deadlineMs);
  if (ended.ok) return done;
  const isMissing = ended.startCode === 'ENOENT';
  // mkfs.f2fs says its errors on standard output.
  const saidAt = ended.stderr.trim() === '' ? ended.stdout : ended.stderr;
  const said = ended.isLate ? '' : (saidAt.trim().split('\n').at(-1) ?? '').trim();
  const message = isMissing
    ? `${program} is not installed: install the package ${packages[program]}, or choose another ` +
      'file system'
    : `${program} failed: ${said === '' ? ended.reason : said}`;
  const code = ended.isLate ? 'ETIMEDOUT' : isMissing ? 'ENOPKG' : 'EIO';
  return failed({ step: 'format', code, message, path: devicePath });
}
