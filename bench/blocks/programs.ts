// The programs that are measured, and those that they are held against: all from native/.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ending } from '../ending.ts';

const run = promisify(execFile);

export interface Programs {
  /** varve-layer. */
  readonly layer: string;
  /** varve-bd. */
  readonly daemon: string;
  /** varve-bd-holder. */
  readonly holder: string;
  /** Lookups beside a plain binary search (native/bench/lookup_bench.cpp). */
  readonly lookups: string;
  /** ZFiles beside the bare codecs (native/bench/codec_bench.cpp). */
  readonly codecs: string;
  /** Makes stacks of layers (native/bench/make_stack.cpp). */
  readonly stack: string;
  /** The least that a stack's reads cost (native/bench/read_pieces.cpp). */
  readonly pieces: string;
  /** One compressor alone (native/bench/compressor.cpp). */
  readonly compressor: string;
}

export async function buildPrograms(checkout: string): Promise<Programs> {
  const bench = (name: string): string => `varve-bench-${name}`;
  const yardsticks = ['lookup', 'codecs', 'stack', 'pieces', 'compressor'].map(bench);
  await run(join(checkout, 'scripts', 'build-native.sh'), [
    'varve-layer',
    'varve-bd',
    'varve-bd-holder',
    ...yardsticks,
  ]).catch((error: unknown) => {
    const { stdout = '', message } = error as { stdout?: string; message: string };
    throw new Error(`the native programs cannot be built: ${stdout.trim() || message}`);
  });
  const path = (name: string): string => join(checkout, 'build', 'native', name);
  return {
    layer: path('varve-layer'),
    daemon: path('varve-bd'),
    holder: path('varve-bd-holder'),
    lookups: path(bench('lookup')),
    codecs: path(bench('codecs')),
    stack: path(bench('stack')),
    pieces: path(bench('pieces')),
    compressor: path(bench('compressor')),
  };
}

/** What a program prints. */
export async function output(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args, { maxBuffer: 1 << 24, signal: ending });
  return stdout;
}

/** The JSON that a program prints. */
export async function json<Value>(program: string, args: readonly string[]): Promise<Value> {
  return JSON.parse(await output(program, args)) as Value;
}

/** The seconds that a program takes by the clock. */
export async function secondsOf(program: string, args: readonly string[]): Promise<number> {
  const beganMs = performance.now();
  await output(program, args);
  return (performance.now() - beganMs) / 1000;
}
