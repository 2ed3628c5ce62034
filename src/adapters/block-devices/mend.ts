// File systems whose machine or device ended under them. Most put themselves right when they are
// mounted, by their journal; ext4 as it is made for layers has none, and mounted as it is left it
// would give blocks that are in use to new files.
import type { EffectResult, Logger } from '../../engine/ports.ts';
import type { DevicePlan } from '../../machines/device/events.ts';
import { runProgram, type ProgramEnded } from '../helper-pool/program.ts';
import { failed } from './failed.ts';

const program = 'e2fsck';

/** The bits of its exit status (e2fsck(8)) by which all is not well, or it cannot tell. */
const leftUncorrected = 4;
const couldNotLook = 8;

export interface MendOptions {
  readonly deadlineMs: number;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Mends the file system of a writable device that is mounted nowhere, if it was not unmounted when
 * it was used last. One that cannot be examined is left as it is: whoever mounts it is told why.
 */
export async function mendFileSystem(
  deviceId: number,
  devicePath: string,
  { fileSystem }: Pick<DevicePlan, 'fileSystem'>,
  { deadlineMs, logger }: MendOptions,
): Promise<EffectResult<void>> {
  if (fileSystem !== 'ext4') return done;
  const run = (how: string): Promise<ProgramEnded> =>
    runProgram(program, [how, devicePath], deadlineMs);
  let ended = await run('-p');
  // What it does not mend without a question is mended as it proposes: there is nobody to answer.
  if (needsMore(ended)) ended = await run('-y');
  const where = { deviceId, path: devicePath };
  if (ended.startCode !== undefined) {
    logger.warn(where, `${program} cannot be run (${ended.startCode}): ${consequence}`);
    return done;
  }
  if (ended.isLate || needsMore(ended)) {
    const message = ended.isLate
      ? `${program} ${ended.reason}`
      : `${program} cannot mend the file system: ${lastLine(ended)}`;
    const code = ended.isLate ? 'ETIMEDOUT' : 'EUCLEAN';
    return failed({ step: 'mend', code, message, path: devicePath });
  }
  if (ended.exitStatus !== 0 && (ended.exitStatus ?? 0) < leftUncorrected) {
    const said = ended.stdout.trim();
    logger.warn(
      { ...where, said },
      'the file system of a snapshot was not unmounted: it is mended',
    );
  }
  return done;
}

const done: EffectResult<void> = { ok: true, value: undefined };
const consequence = 'a file system that was not unmounted is mounted as it is';

const needsMore = ({ exitStatus = 0 }: ProgramEnded): boolean =>
  (exitStatus & leftUncorrected) !== 0 && (exitStatus & couldNotLook) === 0;

const lastLine = ({ stdout, stderr }: ProgramEnded): string =>
  `${stdout}\n${stderr}`.trim().split('\n').at(-1)?.trim() ?? '';
