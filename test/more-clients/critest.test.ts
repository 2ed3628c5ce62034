// critest on varve: the specs that pass on containerd's own overlayfs snapshotter pass here, too,
// on ordinary images and on images of overlaybd layers. (Some need what is not here, on any.)
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { criTools } from '../e2e/lab/clients.ts';
import { isolationObstacle, runIsolated } from '../e2e/lab/isolation.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';
import { plugin, type LayerKind } from '../e2e/lab/varve-node.ts';

interface Result {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

const program = join(import.meta.dirname, 'critest-run.ts');
const limitMs = 1_000_000;

async function critest(snapshotter: string, kind: LayerKind): Promise<Result> {
  const scratch = makeScratch('t-');
  try {
    const resultPath = join(scratch.path, 'result');
    await runIsolated(scratch, { program, argv: [snapshotter, kind, resultPath], limitMs });
    return JSON.parse(readFileSync(resultPath, 'utf8')) as Result;
  } finally {
    await scratch.dispose();
  }
}

const client = await criTools();
const missing = 'missing' in client ? client.missing : undefined;
const skip = missing ?? deviceObstacle() ?? (await isolationObstacle()) ?? false;
describe('critest', { skip, timeout: 3 * limitMs }, () => {
  let expected: readonly string[];
  before(async () => {
    expected = (await critest('overlayfs', 'ordinary')).passed;
  });

  test('most specs pass on containerd’s own snapshotter', () => {
    assert.ok(expected.length > 50, expected.join('\n'));
  });

  for (const kind of ['ordinary', 'overlaybd'] as const) {
    test(`on varve the same specs pass: ${kind} image`, async () => {
      const { passed } = await critest(plugin, kind);
      assert.deepEqual(
        expected.filter((name) => !passed.includes(name)),
        [],
      );
    });
  }
});
