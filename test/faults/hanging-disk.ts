// A disk that can be made to hang and to answer again: its device is served by a varve-bd of its
// own, which is stopped for as long. Nothing else on the machine notices.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BlockDaemonClient } from '../../src/adapters/block-daemon/client.ts';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import { startBlockDaemon } from '../e2e/lab/block-daemon.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { mountsBelow, unmountBelow, type Scratch } from '../e2e/lab/scratch.ts';

export interface HangingDisk {
  /** Reads of what is not cached hang from now on. */
  hang(): void;
  goOn(): void;
  /** Moves a file onto the disk; nothing of it is cached, and its path stays. */
  takeOver(file: string): Promise<void>;
}

/** Makes one with an empty ext4; the end of the scratch directory takes it away. */
export async function hangingDisk(scratch: Scratch): Promise<HangingDisk> {
  const folder = path.join(scratch.path, 'hanging');
  const at = (name: string): string => path.join(folder, name);
  mkdirSync(at('mounted'), { recursive: true });
  const layer = ['create', '-s', at('data'), at('index'), '64M'];
  await runCommand([findNativeFile('varve-layer'), ...layer]);
  const upper = { data: at('data'), index: at('index') };
  const config = { repoBlobUrl: '', lowers: [], upper, resultFile: at('result') };
  writeFileSync(at('config.v1.json'), JSON.stringify(config));

  const daemon = await startBlockDaemon(folder);
  scratch.defer(() => daemon.service.stop());
  const client = await BlockDaemonClient.connect(daemon.address);
  const opened = await client.request<{ path: string }>('open', { config: at('config.v1.json') });
  client.close();
  await runCommand(['mkfs.ext4', '-q', opened.path]);
  const mount = (...options: string[]): Promise<string> =>
    runCommand(['mount', ...options, opened.path, at('mounted')]);
  await mount();

  const taken: string[] = [];
  const goOn = (): void => void process.kill(daemon.service.pid, 'SIGCONT');
  scratch.defer(async () => {
    goOn();
    for (const file of taken) unmountBelow(file);
    unmountBelow(at('mounted'));
  });
  return {
    goOn,
    hang: () => void process.kill(daemon.service.pid, 'SIGSTOP'),
    takeOver: async (file) => {
      const moved = at(`mounted/${taken.length}`);
      copyFileSync(file, moved);
      await runCommand(['umount', at('mounted')]);
      await mount('-o', 'ro');
      await runCommand(['mount', '--bind', moved, file]);
      taken.push(...mountsBelow(file));
    },
  };
}
