// Reboots and losses of power of a machine whose containerd, varve and varve-bd have their files on
// one disk: containers and devices come back, and a Commit in whose middle the power was lost is
// there whole or can be called again.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runVariable } from '../../scripts/test/leaks.ts';
import { debianContainerd } from '../e2e/lab/clients.ts';
import { patienceVariable } from '../e2e/lab/patience.ts';
import { machineVariable } from './inside.ts';
import type { KernelName } from './kernels.ts';
import { runInMachine } from './machine.ts';
import { machineObstacle } from './obstacle.ts';
import { answeredLine, emptyLine, foundLine, type Loss, type Plan } from './reboot/plan.ts';
import { firstKernels, type Transport } from './transports.ts';

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

const env = { [patienceVariable]: '6', [runVariable]: 'life' };

/** A machine that is booted again and again, on one disk. */
function machineFor(t: TestContext, kernel: KernelName) {
  const directory = mkdtempSync(join(tmpdir(), 'varve-vm-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const disk = { path: join(directory, 'disk'), sizeBytes: 4 * 2 ** 30 };
  let bootCount = 0;
  return async (plan: Plan): Promise<readonly string[]> => {
    const argv = [process.execPath, program, JSON.stringify(plan)];
    const { status, isLate, stdout, stderr, console } = await runInMachine({
      ...{ kernel, argv, disk, limitMs: bootLimitMs },
      env: { ...env, [machineVariable]: kernel },
    });
    const said = `${JSON.stringify(plan.losses)}\n${stdout}${stderr}${console.slice(-2000)}`;
    assert.deepEqual([status, isLate], [plan.isLast ? 0 : null, false], said);
    const lines = stdout.trim().split('\n');
    assert.equal(lines.includes(foundLine), bootCount > 0, said);
    assert.equal(lines.includes(emptyLine), plan.isLast, said);
    bootCount += 1;
    return lines;
  };
}

async function rebootSnapshots(t: TestContext, kernel: KernelName, transport: Transport) {
  const boot = machineFor(t, kernel);
  let unchecked: Plan['unchecked'] = [];
  const names: string[] = [];
  const plan = { transport, life: 'snapshots', names } as const;
  // One transport meets all losses: what they test lies above it.
  const boots = isLong && transport === 'fuse' ? longBoots : shortBoots;
  for (const [at, given] of boots.entries()) {
    const losses = given.map((loss, index) => ({ ...loss, name: `layer-${at}-${index}` }));
    const lines = await boot({ ...plan, unchecked, losses, isLast: false });
    unchecked = losses.map(({ name }) => ({
      ...{ name, isAnswered: lines.includes(answeredLine(name)) },
    }));
    names.push(...losses.map(({ name }) => name));
  }
  await boot({ ...plan, unchecked, losses: [], isLast: true });
}

async function rebootContainers(t: TestContext, kernel: KernelName, transport: Transport) {
  const boot = machineFor(t, kernel);
  const plan = { transport, life: 'containers', unchecked: [], names: [], losses: [] } as const;
  for (const isLast of [false, false, true]) await boot({ ...plan, isLast });
}

// What a real containerd makes of it is seen where there is time for it.
const client = isLong ? await debianContainerd() : { missing: 'takes minutes: long form' };
const machines = isLong ? firstKernels : firstKernels.slice(0, 1);
for (const [kernel, transport] of machines) {
  const obstacle = await machineObstacle(kernel);
  test(`snapshots through losses of power, ${kernel}, ${transport}`, { skip: obstacle }, (t) =>
    rebootSnapshots(t, kernel, transport),
  );
  const skip = obstacle ?? ('missing' in client ? client.missing : undefined);
  test(`containers through losses of power, ${kernel}, ${transport}`, { skip }, (t) =>
    rebootContainers(t, kernel, transport),
  );
}
