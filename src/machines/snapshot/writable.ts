// Whether a snapshot is written through a block device of its own, and how that is made: from the
// mode that the configuration or a label asks for, and from what lies below.
import type { WritableLayerType } from '../device/events.ts';
import { isWritable, newFileSystem, writableMountOptions } from '../device/file-systems.ts';
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import { shorten } from '../kernel/text.ts';
import type { Labels, MountMode, SnapshotRole, WritableBlock } from './events.ts';
import { isBlockLayer, type SnapshotState } from './state.ts';

/** `dir` or `dev` for one snapshot, whatever the configuration says; any other value: neither. */
export const writableLabel = 'containerd.io/snapshot/overlaybd.writable';

/** File system of a new device: `name[;mount options[;mkfs arguments]]`. */
export const fileSystemLabel = 'containerd.io/snapshot/overlaybd/blob-fs-type';

/** Size of a new device in GiB. */
export const sizeLabel = 'containerd.io/snapshot/overlaybd/vsize';

/** What the configuration says about snapshots that are written. */
export interface WritingPolicy {
  readonly runtimeType: 'containerd' | 'docker';
  readonly rwMode: MountMode;
  readonly writableLayerType: WritableLayerType;
  readonly defaultFsType: string;
}

export interface WritingRequest {
  readonly role: SnapshotRole;
  readonly labels: Labels;
  readonly parent: SnapshotState | undefined;
}

export interface Writing {
  readonly mode: MountMode;
  readonly writable: WritableBlock | null;
}

const sizeGibDefault = 64;
const sizeGibMax = 16_384;

const byDirectories: Writing = { mode: 'overlayfs', writable: null };

export function decideWriting(
  { role, labels, parent }: WritingRequest,
  policy: WritingPolicy,
): Result<Writing> {
  const asked = labels[writableLabel];
  const mode = asked === undefined ? policy.rwMode : isBlockMode(asked) ? asked : 'overlayfs';
  // An unpack writes files, whatever is asked for.
  if (mode === 'overlayfs' || role === 'imageLayer') return accepted(byDirectories);
  if (policy.runtimeType === 'docker') {
    return refused(
      `label ${writableLabel} is ${mode}: with runtimeType docker containers share the device of ` +
        'their image and write into directories; leave the label out',
    );
  }
  if (role === 'initLayer') return accepted(byDirectories);
  const isOnFiles = parent !== undefined && !isBlockLayer(parent);
  if (isOnFiles) return accepted(byDirectories);
  if (role === 'view') {
    const isOfDevice = mode === 'dev' && parent !== undefined;
    return accepted(isOfDevice ? { mode, writable: null } : byDirectories);
  }
  const content = parent === undefined ? newContent(labels, policy) : contentAbove(parent);
  if (!content.ok) return content;
  if (content.value === undefined) {
    if (asked === undefined) return accepted(byDirectories);
    return refused(
      `label ${writableLabel} is ${mode}, but the image holds ` +
        `${parent?.context.block?.fileSystem ?? 'a file system'}, which cannot be written: leave ` +
        'the label out',
    );
  }
  const { writableLayerType: layerType } = policy;
  return accepted({ mode, writable: { layerType, ...content.value } });
}

const refused = (message: string): Result<never> => rejected('failed_precondition', message);

const isBlockMode = (text: string): text is 'dir' | 'dev' => text === 'dir' || text === 'dev';

type Content = Omit<WritableBlock, 'layerType'>;

/** What the layers below hold is never changed by what a label or the configuration says. */
function contentAbove({ context }: SnapshotState): Result<Content | undefined> {
  const fileSystem = context.block?.fileSystem ?? '';
  if (!isWritable(fileSystem)) return accepted(undefined);
  const mountOptions = writableMountOptions(fileSystem);
  return accepted({ sizeGib: null, fileSystem, mountOptions, formatArguments: null });
}

function newContent(labels: Labels, { defaultFsType }: WritingPolicy): Result<Content> {
  const sizeGib = sizeOf(labels[sizeLabel]);
  if (!sizeGib.ok) return sizeGib;
  const label = labels[fileSystemLabel];
  const made =
    label === undefined
      ? newFileSystem(defaultFsType, 'defaultFsType of the configuration')
      : newFileSystem(label, `label ${fileSystemLabel}`);
  return made.ok ? accepted({ sizeGib: sizeGib.value, ...made.value }) : made;
}

function sizeOf(label: string | undefined): Result<number> {
  if (label === undefined) return accepted(sizeGibDefault);
  const sizeGib = /^\d{1,6}$/.test(label) ? Number(label) : 0;
  return sizeGib >= 1 && sizeGib <= sizeGibMax
    ? accepted(sizeGib)
    : rejected(
        'invalid_argument',
        `label ${sizeLabel} is ${JSON.stringify(shorten(label))}: it must be a number of GiB ` +
          `from 1 to ${sizeGibMax}`,
      );
}
