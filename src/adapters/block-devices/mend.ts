// File systems whose machine or device ended under them. Most put themselves right when they are
// mounted, by their journal; ext4 as it is made for layers has none, and mounted as it is left it
// would give blocks that are in use to new files.
import type { EffectResult, Logger } from '../../engine/ports.ts';
import type { DevicePlan } from '../../machines/device/events.ts';
import { runProgram, type ProgramEnded } from '../helper-pool/program.ts';
import { done, failed } from './failed.ts';

/** The bits of its exit status (e2fsck(8)) by which all is not well, or it cannot tell. */
const leftUncorrected = 4;
const couldNotLook = 8;
/** What it says of a block that it could not read or write, whatever it does about it. */
const ioError = /^Error (?:reading|writing) block .*/m;

export interface MendOptions {
  readonly deadlineMs: number;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Mends the file system of a writable device that nobody uses, if it was not unmounted when it was
 * used last. One that cannot be looked at is left as it is: whoever mounts it is told why.
 */
export async function mendFileSystem(
  deviceId: number,
  devicePath: string,
  { fileSystem }: Pick<DevicePlan, 'fileSystem'>,
  { deadlineMs, logger }: MendOptions,
): Promise<EffectResult<void>> {
  if (fileSystem !== 'ext4') return done;
  const run = (...how: readonly string[]): Promise<ProgramEnded> =>
    runProgram('e2fsck', [...how, devicePath], deadlineMs);
  const where = { deviceId, path: devicePath };
  let ended = await run('-p');
  if (isUncorrected(ended)) {
    // What it does not mend without a question is mended as it proposes, since nobody can be asked.
    // But it would write anew what it cannot read: first everything has to be readable.
    ended = await run('-f', '-n');
    if (isUncorrected(ended) && !ioError.test(ended.stdout)) ended = await run('-y');
  }
  if (ended.startCode !== undefined) {
    const left = 'a file system that was not unmounted is mounted as it is';
    logger.warn(where, `e2fsck cannot be run (${ended.startCode}): ${left}`);
    return done;
  }
  const { exitStatus } = ended;
  if (exitStatus === undefined || isUncorrected(ended)) {
    const [code, what] = whyNot(ended);
    return failed({ step: 'mend', code, message: `e2fsck ${what}`, path: devicePath });
  }
  const said = `${ended.stdout}${ended.stderr}`.trim();
  if (exitStatus >= couldNotLook) {
    logger.warn({ ...where, exitStatus, said }, 'e2fsck cannot look at the file system');
  } else if (exitStatus > 0) {
    logger.warn(
      { ...where, said },
      'the file system of a snapshot was not unmounted: it is mended',
    );
  }
  return done;
}

const isUncorrected = ({ exitStatus = 0 }: ProgramEnded): boolean =>
  (exitStatus & leftUncorrected) !== 0 && exitStatus < couldNotLook;

function whyNot({ exitStatus, isLate, reason, stdout }: ProgramEnded): readonly [string, string] {
  if (isLate) return ['ETIMEDOUT', reason];
  if (exitStatus === undefined) return ['EIO', `ended in the middle: ${reason}`];
  const [unreadable] = ioError.exec(stdout) ?? [];
  if (unreadable !== undefined) return ['EIO', `cannot mend the file system: ${unreadable}`];
  return ['EUCLEAN', `cannot mend the file system: ${stdout.trim().split('\n').at(-1) ?? ''}`];
}
