// How much a container may write into its directory: from the configuration, or a label of its own.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import { shorten } from '../kernel/text.ts';
import type { Labels, SnapshotRole } from './events.ts';

/** Size limit of one container layer, such as `20g`; it counts more than the configuration. */
export const quotaLabel = 'containerd.io/snapshot/disk_quota';

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** Bytes of a size such as `20g`, `512MiB` or `4096`, in steps of 1024; undefined if it is none. */
export function sizeBytesOf(text: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,15})([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  const factor = unitBytes[unit.toLowerCase()];
  const sizeBytes = digits === '' || factor === undefined ? 0 : Number(digits) * factor;
  return sizeBytes > 0 && Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}

export interface QuotaRequest {
  readonly role: SnapshotRole;
  readonly labels: Labels;
  /** Whether it writes a device of its own, which has a size of its own. */
  readonly hasOwnDevice: boolean;
  /** `rootfsQuota` of the configuration; '' for none. */
  readonly rootfsQuota: string;
}

/** The limit of a new snapshot in bytes; null if it has none. */
export function decideQuota(request: QuotaRequest): Result<number | null> {
  const { role, labels, hasOwnDevice, rootfsQuota } = request;
  if (role !== 'containerLayer') return accepted(null);
  const label = Object.hasOwn(labels, quotaLabel) ? labels[quotaLabel] : undefined;
  if (label === undefined) {
    return accepted(hasOwnDevice ? null : (sizeBytesOf(rootfsQuota) ?? null));
  }
  if (hasOwnDevice) {
    return rejected(
      'failed_precondition',
      `label ${quotaLabel}: a container that writes a device of its own is limited by the size of ` +
        'that; leave the label out',
    );
  }
  const limitBytes = sizeBytesOf(label);
  return limitBytes === undefined
    ? rejected(
        'invalid_argument',
        `label ${quotaLabel} is ${JSON.stringify(shorten(label))}: it must be a size such as 20g`,
      )
    : accepted(limitBytes);
}
