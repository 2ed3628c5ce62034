// A copy of the sources in a temporary directory, in which sabotaged sources meet the tests.
import { spawn } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { applyMutant, type Mutant } from './mutant.ts';

export const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const copied = [
  ...['package.json', 'scripts/generate-machine-docs.ts', 'docs/machines'],
  ...['src/machines', 'src/engine', 'src/history', 'src/adapters/memory'],
  ...['test/machines', 'test/engine', 'test/property'],
];

/** Longest time for the tests against one mutant: one that hangs is caught, too. */
const deadlineMs = 90_000;

/** Runs of each property; the seed is fixed, so that a mutant is caught always or never. */
const environment = { VARVE_SEED: '1', VARVE_RUNS: '400' };

export interface Verdict {
  readonly isCaught: boolean;
  /** The tests that failed, or that the deadline passed. */
  readonly by: readonly string[];
}

export class Sandbox {
  readonly #root = mkdtempSync(join(tmpdir(), 'varve-mutants-'));

  constructor() {
    for (const path of copied) {
      mkdirSync(join(this.#root, path, '..'), { recursive: true });
      cpSync(join(checkout, path), join(this.#root, path), { recursive: true });
    }
    symlinkSync(join(checkout, 'node_modules'), join(this.#root, 'node_modules'));
  }

  /** Runs the tests of machines, engine and properties, with the sabotage if there is one. */
  async judge(mutant: Mutant | undefined): Promise<Verdict> {
    const undo = mutant === undefined ? () => undefined : applyMutant(this.#root, mutant);
    try {
      return await this.#test(mutant);
    } finally {
      undo();
    }
  }

  dispose(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }

  // First where most sabotages of a part are caught at once: machines know nothing of the engine,
  // and of the engine's tests beside the properties those of retention take long.
  async #test(mutant: Mutant | undefined): Promise<Verdict> {
    const file = mutant?.file ?? '';
    const first = [
      ...(file.startsWith('src/engine/')
        ? ['test/engine/!(retention)*.test.ts']
        : ['test/machines/**/*.test.ts']),
      ...(file.startsWith('src/machines/device/') ? ['test/engine/devices.test.ts'] : []),
      ...(mutant === undefined || file.includes('retention') ? ['test/engine/*.test.ts'] : []),
    ];
    for (const pattern of first) {
      const verdict = await this.#run(pattern);
      if (verdict.isCaught) return verdict;
    }
    return this.#run('test/property/*.test.ts');
  }

  #run(pattern: string): Promise<Verdict> {
    // Filters have their own tests, which have nothing to do with what is sabotaged here.
    const files = globSync(pattern, { cwd: this.#root }).filter((file) => !file.includes('filter'));
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    return new Promise((resolve, reject) => {
      const child = spawn(
        process.execPath,
        ['--test', '--test-reporter=tap', '--test-isolation=none', ...files],
        { cwd: this.#root, env: { ...inherited, ...environment }, timeout: deadlineMs },
      );
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      child.stderr.resume();
      child.on('error', reject);
      child.on('close', (code, signal) => {
        const failed = [...output.matchAll(/^not ok \d+ - (.*)$/gm)].map((match) => match[1] ?? '');
        const by = signal === null ? failed : ['the deadline passed'];
        resolve({ isCaught: code !== 0, by });
      });
    });
  }
}
