// varve doctor: looks at everything that varve needs, and says what to do. Exit code 1 if there are
// problems.
import { existsSync, realpathSync } from 'node:fs';
import { loadConfiguration } from '../../config/load.ts';
import type { Configuration } from '../../config/configuration.ts';
import type { CommandContext } from '../command-context.ts';
import { clientLooks, defaultContainerdConfig, defaultDockerConfig } from '../doctor/clients.ts';
import { daemonLooks } from '../doctor/daemons.ts';
import { kernelLooks } from '../doctor/kernel.ts';
import { lookAll, note, ok, problem, type Finding, type Line, type Look } from '../doctor/look.ts';
import { Machine } from '../doctor/machine.ts';
import { rootLooks } from '../doctor/root.ts';
import { transportLooks } from '../doctor/transports.ts';
import { CliFailure, exitCodes } from '../exit-codes.ts';
import { doctorLines } from '../render/doctor.ts';
import { examined } from '../root-examination.ts';

interface Input {
  readonly root?: string;
  readonly config?: string;
  readonly address?: string;
  readonly adminAddress?: string;
  readonly containerdConfig?: string;
  readonly dockerConfig?: string;
  readonly deadline?: number;
}

/** How long one look may take. */
const defaultDeadlineMs = 10_000;

export async function run({ output, environment }: CommandContext, input: Input): Promise<void> {
  const { root, address, adminAddress } = input;
  const loaded = loadConfiguration({
    flags: { root, address, adminAddress },
    configPath: input.config,
    environment,
  });
  if (!loaded.ok) throw new CliFailure(exitCodes.configuration, loaded.problems.join('\n'));
  const configuration = { ...loaded.configuration, root: realRoot(loaded.configuration.root) };
  const { composeDoctor } = await import('../../server/compose.ts');
  const ports = composeDoctor(configuration);
  const machine = new Machine();
  const deadlineMs = input.deadline ?? defaultDeadlineMs;
  const first = await lookAll(
    [
      ...kernelLooks(machine),
      ...rootLooks(machine, {
        root: configuration.root,
        searchPath: environment['PATH'] ?? '',
        probeOverlayUpper: ports.whyNoOverlayUpper,
      }),
      ...daemonLooks(machine, configuration, ports),
      ...transportLooks(machine, configuration, ports),
      ...clientLooks(machine, {
        ...configuration,
        containerdConfig: input.containerdConfig ?? defaultContainerdConfig,
        dockerConfig: input.dockerConfig ?? defaultDockerConfig,
      }),
    ],
    deadlineMs,
  );
  // Only now: it tries the root, too, and each would find what the other one makes for that.
  const second = await lookAll([leakLook(configuration)], deadlineMs);
  const lines = [...first.lines, ...second.lines];
  const problemCount = lines.filter(({ verdict }) => verdict === 'problem').length;
  const document = { format: 'varve-doctor', version: 1, problemCount, lines };
  if (output.isJson) await output.json(document);
  else await output.lines(doctorLines(lines, output));
  const exitCode = problemCount > 0 ? exitCodes.failure : exitCodes.success;
  // What hangs in the kernel would keep the process from ending.
  if (first.hangs || second.hangs) ports.exitNow(exitCode);
  process.exitCode = exitCode;
}

const realRoot = (root: string): string => (existsSync(root) ? realpathSync(root) : root);

const leakLook = (configuration: Configuration): Look => ({
  topic: 'leaks',
  name: 'root and machine',
  how: `the history of ${configuration.root} beside directories, mounts, varve-bd’s devices`,
  look: () => leaks(configuration),
});

async function leaks(configuration: Configuration): Promise<Finding | readonly Finding[]> {
  if (!existsSync(`${configuration.root}/log`)) return note('there is no history yet');
  const { findings, isServed } = await examined(configuration, false);
  const faults = findings.filter(({ isFault }) => isFault);
  if (faults.length === 0) return ok('what is there is known, and what is known is there');
  const next = isServed ? 'varve fsck says more' : 'varve fsck --apply, or a start of varve serve';
  return faults.map(({ subject, found, action }) =>
    problem(`${subject}: ${found}`, `${action} (${next})`),
  );
}

export type DoctorDocument = {
  readonly problemCount: number;
  readonly lines: readonly Line[];
};
