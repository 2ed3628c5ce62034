// Runs varve-layer, and finds the golden layers that it is held against.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { findNativeFile } from '../../src/adapters/native/location.ts';

const fixtures = fileURLToPath(new URL('../fixtures/layers', import.meta.url));

/** The path of a golden layer. */
export const fixture = (name: string): string => join(fixtures, name);

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs varve-layer to its end. */
export function runTool(args: readonly string[], input?: Uint8Array): Outcome {
  const { status, signal, stdout, stderr, error } = spawnSync(findNativeFile('varve-layer'), args, {
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 64 << 20,
    ...(input && { input }),
  });
  if (error !== undefined) throw error;
  return { status, signal, stdout, stderr };
}

/** Runs varve-layer, which has to succeed; returns what it prints. */
export function tool(...args: readonly string[]): string {
  const { status, stdout, stderr } = runTool(args);
  assert.equal(status, 0, `varve-layer ${args.join(' ')}\n${stderr}${stdout}`);
  return stdout;
}

/** What varve-layer prints as JSON. */
export const toolJson = (...args: readonly string[]): unknown =>
  JSON.parse(tool(...args, '--json'));

export interface HeaderFacts {
  readonly indexOffset: number;
  readonly indexEntries: number;
  readonly uuid: string | null;
  readonly parentUuid: string | null;
  readonly userTag: string;
}

export interface ZFileFacts {
  readonly algorithm: string;
  readonly blockSize: number;
  readonly hasChecksums: boolean;
  readonly describedBy: 'header' | 'trailer';
  readonly blocks: number;
  readonly indexOffset: number;
}

export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly kind: 'data' | 'zeros';
  readonly layerOffset?: number;
}

/** What `varve-layer inspect` says; which parts are there depends on the layer. */
export interface LayerFacts {
  readonly tar?: object;
  readonly zfile: ZFileFacts;
  readonly kind: string;
  readonly virtualSize: number;
  readonly header: HeaderFacts;
  readonly trailer: HeaderFacts;
  readonly index: {
    readonly mappings: number;
    readonly dataBytes: number;
    readonly zeroBytes: number;
  };
  readonly extents?: readonly Extent[];
}

export const inspect = (...args: readonly string[]): LayerFacts =>
  toolJson('inspect', ...args) as LayerFacts;

/** A JSON file of the golden layers or of a test. */
export const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

export interface Expected {
  readonly name: string;
  readonly config: string;
  readonly virtualSize: number;
  readonly sha256: string | null;
  readonly ranges: readonly { offset: number; length: number; sha256: string }[];
}

/** What every golden configuration has to read as. */
export function expectations(): readonly Expected[] {
  return readdirSync(fixtures, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('expected.json'))
    .map((path) => ({ path, ...(readJson(fixture(path)) as Omit<Expected, 'name'>) }))
    .filter(({ config }) => (config as string | undefined) !== undefined)
    .map((one) => ({ ...one, name: join(dirname(one.path), one.config) }));
}

/** The tool's arguments for the ranges of an expectation. */
export const rangeArguments = ({ ranges }: Expected): readonly string[] =>
  ranges.flatMap(({ offset, length }) => ['--range', `${offset}:${length}`]);

export interface ImageConfig {
  readonly lowers?: readonly { readonly file: string }[];
  readonly upper?: { readonly data: string; readonly index: string };
  readonly resultFile?: string;
}

/** Writes a configuration with absolute paths; returns its path. */
export function writeConfig(path: string, config: ImageConfig): string {
  writeFileSync(path, JSON.stringify({ repoBlobUrl: '', lowers: [], resultFile: '', ...config }));
  return path;
}

/**
 * A copy of a golden folder, whose writable layers may be opened; the layers of other folders are
 * named where they are.
 */
export function copyFixture(folder: string, directory: string): string {
  cpSync(fixture(folder), directory, { recursive: true });
  const archive = join(directory, 'data.tar.gz');
  if (existsSync(archive)) {
    const unpacked = spawnSync('tar', ['-xSzf', 'data.tar.gz'], { cwd: directory });
    assert.equal(unpacked.status, 0, String(unpacked.stderr));
  }
  const path = join(directory, 'config.v1.json');
  const config = readJson(path) as ImageConfig;
  const lowers = (config.lowers ?? []).map(({ file }) => ({ file: join(fixture(folder), file) }));
  writeConfig(path, { ...config, lowers });
  return path;
}
