// Load on a device for as long as a test wants it, which holds what comes back against what it is
// to be.
import assert from 'node:assert/strict';
import { run } from './programs.ts';

export interface Load {
  /** Whether it goes on: one that has failed does not. */
  readonly isRunning: () => boolean;
  /** Ends it, and tells whether anything failed or was wrong. */
  readonly stop: () => Promise<void>;
}

function repeated(work: () => Promise<void>): Load {
  let isOver = false;
  const load = (async () => {
    while (!isOver) await work();
  })();
  // Told at the end.
  load.catch(() => (isOver = true));
  return {
    isRunning: () => !isOver,
    stop: async () => {
      isOver = true;
      await load;
    },
  };
}

/** Writes at random and verifies what it wrote. The device has at least 40 MiB. */
export const writeAndVerify = (path: string): Load =>
  repeated(async () => {
    await run(
      'fio',
      ...[`--filename=${path}`, '--ioengine=libaio', '--direct=1', '--minimal', '--size=8M'],
      ...['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--verify_backlog=64'],
      ...['--rw=randwrite', '--allrandrepeat=0'],
      ...['--name=small', '--bs=4k', '--iodepth=16'],
      ...['--name=odd', '--offset=16M', '--bsrange=512-64k', '--iodepth=8'],
      ...['--name=synced', '--offset=32M', '--bs=8k', '--iodepth=2', '--fsync=4'],
    );
  });

/** Reads all of it past the kernel's cache. `sum` is that of its content, by SHA-256. */
export const readAndCompare = (path: string, sum: string): Load =>
  repeated(async () => {
    const read = 'dd if="$1" iflag=direct bs=64k status=none | sha256sum';
    assert.equal((await run('sh', '-c', read, 'sh', path)).split(' ')[0], sum);
  });
