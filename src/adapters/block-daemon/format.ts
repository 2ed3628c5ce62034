// New file systems, made by the programs that know them, and empty: without the directory that ext4
// keeps for what its check finds, which no image has.
import { execFile } from 'node:child_process';
import type { EffectResult } from '../../engine/ports.ts';
import type { DevicePlan } from '../../machines/device/events.ts';
import { done, failed } from './failed.ts';

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

function run(
  program: string,
  programArguments: readonly string[],
  devicePath: string,
  deadlineMs: number,
): Promise<EffectResult<void>> {
  const options = { timeout: deadlineMs, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(program, programArguments, options, (error, _, stderr) => {
      if (error === null) {
        resolve(done);
        return;
      }
      const { code, killed = false } = error;
      const isMissing = code === ('ENOENT' as unknown);
      const said = stderr.trim().split('\n').at(-1) ?? '';
      const message = isMissing
        ? `${program} is not installed: install it, or choose another file system`
        : `${program} failed: ${said === '' ? error.message : said}`;
      const name = killed ? 'ETIMEDOUT' : isMissing ? 'ENOENT' : 'EIO';
      resolve(failed({ step: 'format', code: name, message, path: devicePath }));
    });
  });
}
