// A real daemon beside a real varve-bd, with two block layers in it: a base and one on top.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findNativeFile } from '../../src/adapters/native/location.ts';
import { snapshotsDefinition } from '../../src/server/grpc/definitions.ts';
import { startBlockDaemon, type BlockDaemon } from '../e2e/lab/block-daemon.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { makeScratch, type Scratch } from '../e2e/lab/scratch.ts';
import { writeTar } from '../e2e/lab/tar.ts';
import { Daemon, varve, type Ended } from './varve.ts';

export const base = 'default/1/sha256:base';
export const top = 'default/2/sha256:top';

/** Long enough that no device is detached for it while a test runs. */
const lingerMs = 600_000;

interface BlockNodePlace {
  /** Instead of one that is made for the node. */
  readonly scratch?: Scratch;
  readonly blockDaemonFlags?: readonly string[];
}

export class BlockNode {
  readonly scratch: Scratch;
  daemon: Daemon;
  blockDaemon: BlockDaemon;

  readonly #blockDaemonFlags: readonly string[];

  private constructor(
    scratch: Scratch,
    daemon: Daemon,
    blockDaemon: BlockDaemon,
    blockDaemonFlags: readonly string[],
  ) {
    this.#blockDaemonFlags = blockDaemonFlags;
    this.scratch = scratch;
    this.daemon = daemon;
    this.blockDaemon = blockDaemon;
  }

  /** `prepareScratch` may put something where the root is going to be. */
  static async start(
    settings: object = {},
    prepareScratch: (scratch: Scratch) => Promise<void> = async () => undefined,
    { scratch = makeScratch('varve-cli-'), blockDaemonFlags = [] }: BlockNodePlace = {},
  ): Promise<BlockNode> {
    try {
      await prepareScratch(scratch);
      const blockDaemon = await startBlockDaemon(scratch.path, blockDaemonFlags);
      const own = { autoRemoveDev: true, lingerMs, blockDaemonAddress: blockDaemon.address };
      writeFileSync(configOf(scratch), JSON.stringify({ ...own, ...settings }));
      const daemon = await startDaemon(scratch);
      const node = new BlockNode(scratch, daemon, blockDaemon, blockDaemonFlags);
      scratch.defer(() => node.blockDaemon.service.stop());
      scratch.defer(() => node.daemon.stop('SIGKILL'));
      return node;
    } catch (error) {
      await scratch.dispose();
      throw error;
    }
  }

  get root(): string {
    return this.daemon.root;
  }

  get configPath(): string {
    return configOf(this.scratch);
  }

  /** A command that asks the daemon. */
  ask(...args: readonly string[]): Promise<Ended> {
    return varve([...args, '--address', this.daemon.address]);
  }

  /** The JSON document of a command that must succeed. */
  async json<Document>(...args: readonly string[]): Promise<Document> {
    const { code, stdout, stderr } = await this.ask(...args, '--json');
    assert.equal(stderr, '');
    assert.equal(code, 0, stdout);
    return JSON.parse(stdout) as Document;
  }

  /** Ends the daemon and starts it again. */
  async restart(
    signal: NodeJS.Signals = 'SIGTERM',
    env: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.daemon.stop(signal);
    this.daemon = await startDaemon(this.scratch, env);
  }

  async restartBlockDaemon(): Promise<void> {
    await this.blockDaemon.service.kill();
    await this.startBlockDaemon();
  }

  /** The next one, after the last has ended. */
  async startBlockDaemon(): Promise<void> {
    this.blockDaemon = await startBlockDaemon(this.scratch.path, this.#blockDaemonFlags);
  }

  /** Other settings from the next start of the daemon on. */
  configure(settings: object): void {
    const known = JSON.parse(readFileSync(this.configPath, 'utf8')) as object;
    writeFileSync(this.configPath, JSON.stringify({ ...known, ...settings }));
  }

  /** Prepares, whatever comes of it. */
  tryPrepare(key: string, parent = '', labels: Readonly<Record<string, string>> = {}) {
    const request = { snapshotter: 'varve', key, parent, labels };
    return this.daemon.snapshots.call(snapshotsDefinition.prepare, request);
  }

  async prepare(
    key: string,
    parent = '',
    labels: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const { code, details } = await this.tryPrepare(key, parent, labels);
    assert.equal(code, 0, details);
  }

  tryView(key: string, parent: string) {
    const request = { snapshotter: 'varve', key, parent };
    return this.daemon.snapshots.call(snapshotsDefinition.view, request);
  }

  tryMounts(key: string) {
    return this.daemon.snapshots.call(snapshotsDefinition.mounts, { snapshotter: 'varve', key });
  }

  async remove(key: string): Promise<{ readonly code: number; readonly details: string }> {
    const request = { snapshotter: 'varve', key };
    return await this.daemon.snapshots.call(snapshotsDefinition.remove, request);
  }

  /** Commits, whatever comes of it. */
  tryCommit(key: string, name: string) {
    const request = { snapshotter: 'varve', key, name };
    return this.daemon.snapshots.call(snapshotsDefinition.commit, request);
  }

  async commit(key: string, name: string): Promise<void> {
    const { code, details } = await this.tryCommit(key, name);
    assert.equal(code, 0, details);
  }

  /** Unpacks `base`, #1, and `top`, #2. */
  async unpackLayers(): Promise<void> {
    const [first, second] = await blockLayers(path.join(this.scratch.path, 'layers'));
    await this.unpack(first, { name: base, parent: '' });
    await this.unpack(second, { name: top, parent: base });
  }

  /** Unpacks a layer that lies in `file`; answers the id of its snapshot. */
  async unpack(
    file: string,
    { name, parent }: { readonly name: string; readonly parent: string },
  ): Promise<number> {
    const key = `default/9/extract-1 sha256:${'0'.repeat(64)}`;
    const { code, details, value } = await this.tryPrepare(key, parent);
    assert.equal(code, 0, details);
    const [mount] = value?.mounts ?? [];
    const upper = (mount?.options ?? []).find((option) => option.startsWith('upperdir='));
    const directory = upper?.slice('upperdir='.length) ?? mount?.source ?? '';
    copyFileSync(file, path.join(directory, 'overlaybd.commit'));
    await this.commit(key, name);
    return Number(path.basename(path.dirname(directory)));
  }
}

const configOf = ({ path: directory }: Scratch): string => path.join(directory, 'settings.json');

const startDaemon = (
  scratch: Scratch,
  env: Readonly<Record<string, string>> = {},
): Promise<Daemon> => Daemon.start(scratch.path, ['--config', configOf(scratch)], env);

/** Two layers, the second on the first; each holds a file of its own name. */
export async function blockLayers(directory: string): Promise<readonly [string, string]> {
  const files: string[] = [];
  for (const name of ['base', 'top']) {
    const folder = path.join(directory, name);
    mkdirSync(folder, { recursive: true });
    const at = (file: string): string => path.join(folder, file);
    const tool = (...argv: string[]): Promise<string> =>
      runCommand([findNativeFile('varve-layer'), ...argv]);
    await tool('create', ...(files.length === 0 ? ['--mkfs'] : []), at('data'), at('index'), '32M');
    const lowers = files.map((file) => ({ file }));
    const upper = { data: at('data'), index: at('index') };
    const config = { repoBlobUrl: '', lowers, upper, resultFile: at('result') };
    writeFileSync(at('config.v1.json'), JSON.stringify(config));
    const content = Buffer.from(`${name}\n`);
    writeFileSync(at('layer.tar'), writeTar([{ path: name, kind: 'file', mode: 0o644, content }]));
    await tool('apply', at('layer.tar'), at('config.v1.json'));
    await tool('commit', '-z', at('data'), at('index'), at('overlaybd.commit'));
    files.push(at('overlaybd.commit'));
  }
  const [first = '', second = ''] = files;
  return [first, second];
}
