// Every key of the configuration file: upstream's config.json and varve's own, each with its rule
// and what it is for. The one table that loading, the default file and the reference are made from.
import { newFileSystem } from '../machines/device/file-systems.ts';
import { sizeBytesOf } from '../machines/snapshot/quota.ts';
import { defaultConfiguration } from './configuration.ts';
import type { Rule } from './values.ts';
import {
  isListOf,
  isOneOf,
  isOnlyDefault,
  isPath,
  isSocketPath,
  isString,
  isTrueOrFalse,
  isWholeNumber,
  got,
} from './values.ts';

/** One key; `name` is dotted for a member of an object. */
export interface ConfigurationKey {
  readonly name: string;
  readonly owner: 'upstream' | 'varve';
  readonly rule: Rule;
  readonly defaultValue: unknown;
  /** The key of Configuration that it sets. */
  readonly sets: string;
  /** Its function comes with a later version: only the default is accepted. */
  readonly isLater?: true;
  readonly summary: string;
}

const yearMs = 365 * 24 * 3600 * 1000;
const hourMs = 3600 * 1000;
const defaults = defaultConfiguration;

/** Upstream's level names, and pino's for each. */
const levels: Readonly<Record<string, string>> = {
  panic: 'fatal',
  fatal: 'fatal',
  error: 'error',
  warn: 'warn',
  warning: 'warn',
  info: 'info',
  debug: 'debug',
  trace: 'trace',
};

/** A level by any of its names, whatever their case. */
const isLevel: Rule = (value) => {
  const level = typeof value === 'string' ? value.toLowerCase() : '';
  return Object.hasOwn(levels, level)
    ? { value: levels[level] }
    : { problem: `is ${got(value)}; it must be one of ${Object.keys(levels).join(', ')}` };
};

// Upstream completes the list with ext4, then erofs, where they are missing.
const turboFsTypes: Rule = (value) => {
  const checked = isListOf(isString, 'a list of file system names')(value);
  if ('problem' in checked) return checked;
  const list = checked.value as readonly string[];
  const completed = [...list];
  for (const name of ['ext4', 'erofs']) if (!completed.includes(name)) completed.push(name);
  return { value: completed };
};

const isFileSystem: Rule = (value) => {
  const checked = isString(value);
  if ('problem' in checked) return checked;
  const made = newFileSystem(checked.value as string, 'it');
  return made.ok ? checked : { problem: made.rejection.message.replace(/^it /, '') };
};

const isSizeOrEmpty: Rule = (value) =>
  value === '' || (typeof value === 'string' && sizeBytesOf(value) !== undefined)
    ? { value }
    : { problem: `is ${got(value)}; it must be a size such as "20g"` };

// A disk is named after the last two digits, those of no tenant as with 99; a negative one has no
// name.
const isTenant: Rule = (value) => {
  const checked = isWholeNumber(-1, Number.MAX_SAFE_INTEGER, 'a tenant number')(value);
  if ('problem' in checked || (checked.value as number) < 99) return checked;
  const tenant = checked.value as number;
  const twin = tenant % 100 === 99 ? 'no tenant (-1)' : `tenant ${tenant % 100}`;
  return {
    problem:
      `is ${got(value)}, whose devices would have the names of those of ${twin}: ` +
      'choose one from 0 to 98, or -1',
  };
};

const isRegistry: Rule = (value) => {
  const isValid =
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { host?: unknown }).host === 'string';
  return isValid ? { value } : { problem: '' };
};

function later(
  key: { readonly name: string; readonly defaultValue: unknown; readonly summary: string },
  type: Rule,
  what: string,
): ConfigurationKey {
  return {
    ...key,
    owner: 'upstream',
    rule: isOnlyDefault(type, key.defaultValue, what),
    sets: key.name,
    isLater: true,
  };
}

const upstreamKeys: readonly ConfigurationKey[] = [
  {
    name: 'root',
    owner: 'upstream',
    rule: isPath,
    defaultValue: defaults.root,
    sets: 'root',
    summary: 'Data directory.',
  },
  {
    name: 'address',
    owner: 'upstream',
    rule: isSocketPath,
    defaultValue: defaults.address,
    sets: 'address',
    summary: 'Unix socket of the Snapshots service, for containerd.',
  },
  {
    name: 'verbose',
    owner: 'upstream',
    rule: isLevel,
    defaultValue: defaults.logLevel,
    sets: 'logLevel',
    summary: 'Log level by upstream’s name; the same as `logLevel`.',
  },
  {
    name: 'asyncRemove',
    owner: 'upstream',
    rule: isTrueOrFalse,
    defaultValue: defaults.asyncRemove,
    sets: 'asyncRemove',
    summary: 'Remove leaves directories for Cleanup instead of deleting them at once.',
  },
  {
    name: 'runtimeType',
    owner: 'upstream',
    rule: isOneOf('containerd', 'docker'),
    defaultValue: defaults.runtimeType,
    sets: 'runtimeType',
    summary: '`docker` recognises Docker’s init layers.',
  },
  {
    name: 'rwMode',
    owner: 'upstream',
    rule: isOneOf('overlayfs', 'dir', 'dev'),
    defaultValue: defaults.rwMode,
    sets: 'rwMode',
    summary:
      'What containers on block layers write: `overlayfs`: a directory over the device of their ' +
      'image; `dir`: a device of their own, mounted; `dev`: the same, which the client mounts.',
  },
  {
    name: 'autoRemoveDev',
    owner: 'upstream',
    rule: isTrueOrFalse,
    defaultValue: defaults.autoRemoveDev,
    sets: 'autoRemoveDev',
    summary:
      'Whether a device that a container has used is detached when nobody uses it any more; if not, ' +
      'it stays until its layer is removed.',
  },
  later(
    {
      name: 'exporterConfig.enable',
      defaultValue: defaults.exporterConfig.enable,
      summary: 'Metrics over HTTP.',
    },
    isTrueOrFalse,
    'the metrics server comes',
  ),
  {
    name: 'exporterConfig.uriPrefix',
    owner: 'upstream',
    rule: isString,
    defaultValue: defaults.exporterConfig.uriPrefix,
    sets: 'exporterConfig.uriPrefix',
    summary: 'Path of the metrics; without effect while they are not enabled.',
  },
  {
    name: 'exporterConfig.port',
    owner: 'upstream',
    rule: isWholeNumber(0, 65_535, 'a TCP port'),
    defaultValue: defaults.exporterConfig.port,
    sets: 'exporterConfig.port',
    summary: 'Port of the metrics; without effect while they are not enabled.',
  },
  {
    name: 'writableLayerType',
    owner: 'upstream',
    rule: isOneOf('append', 'sparse'),
    defaultValue: defaults.writableLayerType,
    sets: 'writableLayerType',
    summary:
      'Form of writable block layers: what is written is appended, or has its own place in a ' +
      'sparse file.',
  },
  later(
    {
      name: 'mirrorRegistry',
      defaultValue: defaults.mirrorRegistry,
      summary: 'Registries reached by plain HTTP.',
    },
    isListOf(isRegistry, 'a list of {"host": …, "insecure": …}'),
    'reading from registries comes',
  ),
  {
    name: 'defaultFsType',
    owner: 'upstream',
    rule: isFileSystem,
    defaultValue: defaults.defaultFsType,
    sets: 'defaultFsType',
    summary:
      'File system of a new device, `name[;mount options[;mkfs arguments]]`: ext4, xfs, f2fs or ' +
      'ntfs. What an image holds is never changed by it.',
  },
  {
    name: 'rootfsQuota',
    owner: 'upstream',
    rule: isSizeOrEmpty,
    defaultValue: defaults.rootfsQuota,
    sets: 'rootfsQuota',
    summary:
      'Size limit of container layers, such as `20g`, by project quota of the file system that holds ' +
      'the root; where that has none, Prepare is refused.',
  },
  {
    name: 'tenant',
    owner: 'upstream',
    rule: isTenant,
    defaultValue: defaults.tenant,
    sets: 'tenant',
    summary:
      'Number of this snapshotter among others that use tcmu on the same machine, 0 to 98; -1: it is ' +
      'the only one. Others are refused, since their devices would have the names of another’s.',
  },
  later(
    {
      name: 'turboFsType',
      defaultValue: defaults.turboFsType,
      summary: 'Preference among TurboOCI metadata.',
    },
    turboFsTypes,
    'TurboOCI layers come',
  ),
  later(
    {
      name: 'logReportCaller',
      defaultValue: defaults.logReportCaller,
      summary: 'File and line in log lines.',
    },
    isTrueOrFalse,
    'callers in log lines come',
  ),
];

const ownKeys: readonly ConfigurationKey[] = [
  {
    name: 'adminAddress',
    owner: 'varve',
    rule: isSocketPath,
    defaultValue: defaults.adminAddress,
    sets: 'adminAddress',
    summary: 'Unix socket of the admin services; default: `admin.sock` beside `address`.',
  },
  {
    name: 'logLevel',
    owner: 'varve',
    rule: isLevel,
    defaultValue: defaults.logLevel,
    sets: 'logLevel',
    summary: 'The least important log lines that are written.',
  },
  {
    name: 'commitSync',
    owner: 'varve',
    rule: isOneOf('syncfs', 'none'),
    defaultValue: defaults.commitSync,
    sets: 'commitSync',
    summary: '`syncfs`: a layer’s data is on disk before Commit answers; `none`: it may follow.',
  },
  {
    name: 'overlay',
    owner: 'varve',
    rule: isOneOf('auto', 'kernel', 'fuse-overlayfs'),
    defaultValue: defaults.overlay,
    sets: 'overlay',
    summary:
      'Who mounts overlays: the kernel, fuse-overlayfs (clients run it), or `auto`: the kernel where ' +
      'the root can carry upper directories, else fuse-overlayfs if it is installed.',
  },
  {
    name: 'callDeadlineMs',
    owner: 'varve',
    rule: isWholeNumber(1, hourMs, 'milliseconds'),
    defaultValue: defaults.callDeadlineMs,
    sets: 'callDeadlineMs',
    summary: 'How long one call waits; its effect goes on afterwards.',
  },
  {
    name: 'effectDeadlineMs',
    owner: 'varve',
    rule: isWholeNumber(1, 24 * hourMs, 'milliseconds'),
    defaultValue: defaults.effectDeadlineMs,
    sets: 'effectDeadlineMs',
    summary: 'How long one operation on the file system may take before it is given up.',
  },
  {
    name: 'lingerMs',
    owner: 'varve',
    rule: isWholeNumber(0, hourMs, 'milliseconds'),
    defaultValue: defaults.lingerMs,
    sets: 'lingerMs',
    summary: 'How long a device that nobody uses stays attached before it is detached.',
  },
  {
    name: 'remoteLayers',
    owner: 'varve',
    rule: isTrueOrFalse,
    defaultValue: defaults.remoteLayers,
    sets: 'remoteLayers',
    summary:
      'Whether overlaybd layers whose labels say where their blob lies are read from the registry ' +
      'instead of being downloaded. Nothing does that yet: they are downloaded in any case.',
  },
  {
    name: 'blockDaemonAddress',
    owner: 'varve',
    rule: isSocketPath,
    defaultValue: defaults.blockDaemonAddress,
    sets: 'blockDaemonAddress',
    summary: 'Unix socket of varve-bd, which attaches block devices.',
  },
  {
    name: 'transport',
    owner: 'varve',
    rule: isOneOf('auto', 'ublk', 'tcmu', 'fuse'),
    defaultValue: defaults.transport,
    sets: 'transport',
    summary:
      'How block devices reach the kernel. `auto`: the first of `ublk`, `tcmu` and `fuse` that there ' +
      'is when a device is attached. Devices that are attached already stay as they are.',
  },
  {
    name: 'retention.maxAgeMs',
    owner: 'varve',
    rule: isWholeNumber(1, 100 * yearMs, 'milliseconds'),
    defaultValue: defaults.retention.maxAgeMs,
    sets: 'retention.maxAgeMs',
    summary: 'Older history may be dropped, but for snapshots that live on.',
  },
  {
    name: 'retention.maxEventCount',
    owner: 'varve',
    rule: isWholeNumber(1, 1_000_000_000, 'events'),
    defaultValue: defaults.retention.maxEventCount,
    sets: 'retention.maxEventCount',
    summary: 'So many events are kept at most, but for snapshots that live on.',
  },
  {
    name: 'checkpointEveryEventCount',
    owner: 'varve',
    rule: isWholeNumber(1, 10_000_000, 'events'),
    defaultValue: defaults.checkpointEveryEventCount,
    sets: 'checkpointEveryEventCount',
    summary: 'A checkpoint is stored after so many events.',
  },
];

/** Every key that a configuration file may hold. */
export const configurationKeys: readonly ConfigurationKey[] = [...upstreamKeys, ...ownKeys];
