// A kubelet on its own with a static pod, on containerd 2.4 and varve.
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { kubelet } from '../e2e/lab/clients.ts';
import { isolationObstacle, runIsolated } from '../e2e/lab/isolation.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';

const program = join(import.meta.dirname, 'kubelet-run.ts');
const limitMs = 400_000;

const client = await kubelet();
const missing = 'missing' in client ? client.missing : undefined;
const skip = missing ?? deviceObstacle() ?? (await isolationObstacle()) ?? false;
describe('kubelet', { skip, timeout: 2 * limitMs }, () => {
  for (const kind of ['ordinary', 'overlaybd'] as const) {
    test(`a pod runs, is restarted, goes on over kill -9, and goes: ${kind} image`, async () => {
      const scratch = makeScratch('t-');
      try {
        await runIsolated(scratch, { program, argv: [kind], limitMs });
      } finally {
        await scratch.dispose();
      }
    });
  }
});
