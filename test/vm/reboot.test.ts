// Reboots and losses of power of a machine whose containerd, varve and varve-bd have their files on
// one disk: containers and devices come back, and a Commit in whose middle the power was lost is
// there whole or can be called again.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runVariable } from '../../scripts/test/leaks.ts';
import { debianContainerd } from '../e2e/lab/clients.ts';
import { patienceVariable } from '../e2e/lab/patience.ts';
import { machineVariable } from './inside.ts';
import { runInMachine } from './machine.ts';
import { machineObstacle } from './obstacle.ts';
import { answeredLine, emptyLine, foundLine, type Loss, type Plan } from './reboot/plan.ts';
import { firstKernels } from './transports.ts';

const program = join(import.meta.dirname, 'reboot/life.ts');
const isLong = process.env['VARVE_LONG'] === '1';
const bootLimitMs = 600_000;

/** The losses of each boot; the power is lost in the last. */
const shortBoots: readonly (readonly Omit<Loss, 'name'>[])[] = [
  [
    { form: 'sparse', at: 'answered' },
    { form: 'sparse', at: 'effect:finishBlockLayer:after:1' },
  ],
];
const longBoots: typeof shortBoots = [
  ...shortBoots,
  ...(['append', 'sparse'] as const).flatMap((form) =>
    [
      ...['answered', '0', '20', '100', '500', '1500'],
      ...['unmountDevice', 'detachDevice', 'finishBlockLayer'].flatMap((effect) =>
        ['before', 'after'].map((side) => `effect:${effect}:${side}:1`),
      ),
    ].map((at) => [{ form, at }]),
  ),
];

const machines = isLong ? firstKernels : firstKernels.slice(0, 1);

// What a real containerd makes of it is seen where there is time for it.
const hasContainerd = isLong && !('missing' in (await debianContainerd()));
for (const [kernel, transport] of machines) {
  const skip = (await machineObstacle(kernel)) ?? false;
  test(`a machine that is rebooted, ${kernel}, ${transport}`, { skip }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'varve-vm-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const disk = { path: join(directory, 'disk'), sizeBytes: 4 * 2 ** 30 };
    const env = { [patienceVariable]: '6', [machineVariable]: kernel, [runVariable]: 'life' };
    const boot = async (plan: Plan) => {
      const argv = [process.execPath, program, JSON.stringify(plan)];
      return runInMachine({ kernel, argv, env, disk, limitMs: bootLimitMs });
    };
    let unchecked: Plan['unchecked'] = [];
    const names: string[] = [];
    // One transport meets all losses: what they test lies above it.
    const boots = isLong && transport === 'fuse' ? longBoots : shortBoots;
    for (const [at, given] of boots.entries()) {
      const losses = given.map((loss, index) => ({ ...loss, name: `layer-${at}-${index}` }));
      const { status, isLate, stdout, stderr, console } = await boot({
        ...{ transport, hasContainerd, unchecked, names, losses },
      });
      const said = `${JSON.stringify(losses)}\n${stdout}${stderr}${console.slice(-2000)}`;
      assert.deepEqual([status, isLate], [null, false], said);
      const lines = stdout.split('\n');
      assert.equal(lines.includes(foundLine), at > 0, said);
      unchecked = losses.map(({ name }) => ({
        ...{ name, isAnswered: lines.includes(answeredLine(name)) },
      }));
      names.push(...losses.map(({ name }) => name));
    }
    const last = await boot({ transport, hasContainerd, unchecked, names, losses: [] });
    const said = `${last.stdout}${last.stderr}${last.console.slice(-2000)}`;
    assert.equal(last.status, 0, said);
    assert.deepEqual(last.stdout.trim().split('\n'), [foundLine, emptyLine], said);
  });
}
