// What there is of one device in the kernel's target, and whose it is.
import type { HelperResult } from '../helper-pool/requests.ts';
import type { TargetNames } from './names.ts';
import { ifThere, type Ask } from './orders.ts';

interface Link {
  readonly name: string;
  readonly target: string;
}

export interface Standing {
  /** What a daemon finds its image by; '' before it was told, null if there is no device. */
  readonly config: string | null;
  readonly isEnabled: boolean;
  /** Whether there is anything of its port. */
  readonly hasPort: boolean;
  /** What the unit of its port shows. */
  readonly links: readonly Link[];
}

/** Looks at everything of a device. */
export async function look(ask: Ask, names: TargetNames): Promise<HelperResult<Standing>> {
  const core = await lookAtCore(ask, names);
  if (!core.ok) return core;
  const port = await lookAtPort(ask, names);
  return port.ok ? { ok: true, value: { ...core.value, ...port.value } } : port;
}

async function lookAtCore(
  ask: Ask,
  { corePath }: TargetNames,
): Promise<HelperResult<Pick<Standing, 'config' | 'isEnabled'>>> {
  const read = async (name: string): Promise<HelperResult<string | undefined>> => {
    const path = `${corePath}/${name}`;
    const told = ifThere(await ask({ operation: 'read-attribute', path }));
    return told.ok ? { ok: true, value: told.value?.text.trim() } : told;
  };
  const config = await read('attrib/dev_config');
  if (!config.ok) return config;
  if (config.value === undefined) return { ok: true, value: { config: null, isEnabled: false } };
  const enabled = await read('enable');
  if (!enabled.ok) return enabled;
  return { ok: true, value: { config: config.value, isEnabled: enabled.value === '1' } };
}

async function lookAtPort(
  ask: Ask,
  { unitPath, portPath }: TargetNames,
): Promise<HelperResult<Pick<Standing, 'hasPort' | 'links'>>> {
  const list = async (path: string) => ifThere(await ask({ operation: 'list-directory', path }));
  const unit = await list(unitPath);
  if (!unit.ok) return unit;
  if (unit.value !== undefined) {
    const links = unit.value.entries.flatMap(({ name, target }) =>
      target === null ? [] : [{ name, target }],
    );
    return { ok: true, value: { hasPort: true, links } };
  }
  const port = await list(portPath);
  return port.ok ? { ok: true, value: { hasPort: port.value !== undefined, links: [] } } : port;
}

export const isAbsent = ({ config, hasPort }: Standing): boolean => config === null && !hasPort;

/** Whether its disk is there, or was. */
export const isLinked = ({ links }: Standing): boolean => links.length > 0;

/** Whether it is complete: enabled, and shown as a disk. */
export const isComplete = (standing: Standing): boolean => standing.isEnabled && isLinked(standing);

/** What is in the way that is not ours; undefined if nothing is. */
export function foreignPart(
  { config, isEnabled, links }: Standing,
  { corePath, linkPath, device, unitPath }: TargetNames,
  expected: string,
): string | undefined {
  const isUntold = config === '' && !isEnabled;
  if (config !== null && config !== expected && !isUntold) {
    return `${corePath} is there, with the configuration ${JSON.stringify(config)}`;
  }
  const other = links.find(({ name }) => name !== device);
  if (other !== undefined)
    return `${unitPath}/${other.name} is there, which leads to ${other.target}`;
  const core = corePath.split('/').slice(-3).join('/');
  const wrong = links.find(({ target }) => !`/${target}`.endsWith(`/${core}`));
  return wrong === undefined ? undefined : `${linkPath} leads to ${wrong.target}`;
}
