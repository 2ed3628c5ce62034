// Whether the clients know varve: the configurations of containerd and of Docker.
import path from 'node:path';
import type { Machine } from './machine.ts';
import { note, ok, problem, type Finding, type Look } from './look.ts';
import { parseToml, TomlError, type TomlTable, type TomlValue } from './toml.ts';

export interface ClientsOptions {
  readonly containerdConfig: string;
  readonly dockerConfig: string;
  /** Socket of the Snapshots service. */
  readonly address: string;
  readonly root: string;
  readonly runtimeType: 'containerd' | 'docker';
}

export const defaultContainerdConfig = '/etc/containerd/config.toml';
export const defaultDockerConfig = '/etc/docker/daemon.json';

export function clientLooks(machine: Machine, options: ClientsOptions): readonly Look[] {
  return [
    {
      topic: 'containerd',
      name: 'proxy plugin',
      how: options.containerdConfig,
      look: () => containerd(machine, options),
    },
    {
      topic: 'docker',
      name: 'daemon.json',
      how: options.dockerConfig,
      look: () => docker(machine, options),
    },
  ];
}

interface ProxyPlugin {
  readonly name: string;
  readonly settings: TomlTable;
}

/** The plugins by which this containerd knows varve; undefined if it has no configuration. */
async function proxyPlugins(
  machine: Machine,
  { containerdConfig, address }: ClientsOptions,
): Promise<readonly ProxyPlugin[] | undefined> {
  const text = await machine.readIfThere(containerdConfig);
  if (text === undefined) return undefined;
  const own = parseToml(text);
  const documents = [own];
  for (const file of await importedFiles(machine, own, path.dirname(containerdConfig))) {
    const imported = await machine.readIfThere(file);
    if (imported !== undefined) documents.push(parseToml(imported));
  }
  return documents.flatMap((document) =>
    Object.entries(tableOf(document['proxy_plugins']))
      .map(([name, settings]) => ({ name, settings: tableOf(settings) }))
      .filter(({ settings }) => socketOf(settings['address']) === address)
      .filter(({ settings }) => settings['type'] === 'snapshot'),
  );
}

const socketOf = (address: TomlValue | undefined): string | undefined =>
  typeof address === 'string' ? address.replace(/^unix:(\/\/)?/, '') : undefined;

const tableOf = (value: TomlValue | undefined): TomlTable =>
  typeof value === 'object' && !Array.isArray(value) ? (value as TomlTable) : {};

/** The files of `imports`, whose last part may hold `*`; as containerd takes them. */
async function importedFiles(
  machine: Machine,
  document: TomlTable,
  folder: string,
): Promise<readonly string[]> {
  const imports = document['imports'];
  const files: string[] = [];
  for (const pattern of Array.isArray(imports) ? (imports as TomlValue[]) : []) {
    if (typeof pattern !== 'string') continue;
    const file = path.resolve(folder, pattern);
    if (!pattern.includes('*')) files.push(file);
    else {
      const [before = '', ...after] = path.basename(file).split('*');
      const end = after.at(-1) ?? '';
      const names = await machine.list(path.dirname(file));
      const matching = names.filter((name) => name.startsWith(before) && name.endsWith(end));
      files.push(...matching.sort().map((name) => path.join(path.dirname(file), name)));
    }
  }
  return files;
}

async function containerd(
  machine: Machine,
  options: ClientsOptions,
): Promise<Finding | readonly Finding[]> {
  const { containerdConfig, address, root } = options;
  const found = await proxyPlugins(machine, options).catch((error: unknown) => {
    if (!(error instanceof TomlError)) throw error;
    return problem(`it cannot be read: ${error.message}`, `mend ${containerdConfig}`);
  });
  if (found === undefined) {
    return note('there is no such file', 'name containerd’s with --containerd-config');
  }
  if ('verdict' in found) return found;
  const [plugin] = found;
  if (plugin === undefined) {
    return problem(
      `no proxy plugin of type "snapshot" names ${address}`,
      'add one as docs/operations.md has it, and restart containerd',
    );
  }
  const { name, settings } = plugin;
  return [
    ok(`proxy plugin ${JSON.stringify(name)} names ${address}`),
    { ...exportedRoot(settings, root), name: 'exports.root' },
    { ...capabilitiesOf(settings), name: 'capabilities' },
  ];
}

function exportedRoot(settings: TomlTable, root: string): Finding {
  const exported = tableOf(settings['exports'])['root'];
  const next = `exports.root = ${JSON.stringify(root)} in that plugin`;
  if (exported === root) return ok(`it is ${root}`);
  return typeof exported === 'string'
    ? problem(`it is ${JSON.stringify(exported)}, and the root is ${root}`, next)
    : note('it is not set: CRI reports an image file system that does not exist', next);
}

function capabilitiesOf(settings: TomlTable): Finding {
  const list = settings['capabilities'];
  return Array.isArray(list) && list.includes('rebase')
    ? ok('"rebase" is named: containerd 2.4 may unpack in parallel')
    : note(
        '"rebase" is not named: containerd 2.4 unpacks layer by layer',
        'capabilities = ["rebase"]',
      );
}

interface DockerConfig {
  readonly features?: { readonly 'containerd-snapshotter'?: unknown };
  readonly 'storage-driver'?: unknown;
}

async function docker(machine: Machine, options: ClientsOptions): Promise<Finding> {
  const { dockerConfig, runtimeType } = options;
  const text = await machine.readIfThere(dockerConfig);
  if (text === undefined) return note('there is no such file');
  const config = asObject(text);
  if (config === undefined) return problem('it holds no JSON object', `mend ${dockerConfig}`);
  const usesContainerd = config.features?.['containerd-snapshotter'] === true;
  const driver = config['storage-driver'];
  const plugins = await proxyPlugins(machine, options).catch(() => undefined);
  const isOurs = (plugins ?? []).some(({ name }) => name === driver) || driver === 'varve';
  if (!isOurs) {
    const what =
      driver === undefined ? 'no storage driver' : `storage driver ${JSON.stringify(driver)}`;
    return note(`it names ${what}: Docker does not use varve`);
  }
  if (!usesContainerd) {
    return problem(
      `its storage driver is ${JSON.stringify(driver)}, without the containerd image store`,
      '"features": {"containerd-snapshotter": true}, and restart Docker',
    );
  }
  if (runtimeType !== 'docker') {
    return problem(
      'Docker uses varve, whose runtimeType is "containerd": init layers are not recognised',
      '"runtimeType": "docker" in the configuration of varve, and restart it',
    );
  }
  return ok(`Docker uses varve as ${JSON.stringify(driver)}, and varve knows (runtimeType)`);
}

function asObject(text: string): DockerConfig | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
