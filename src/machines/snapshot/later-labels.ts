// Labels of overlaybd whose functions are still to come. What they ask for would silently not
// happen, and the image would behave differently from what its maker wants: so they are refused by
// name.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import type { Labels } from './events.ts';

const prefix = 'containerd.io/snapshot/';

interface LaterLabel {
  readonly label: string;
  /** The value that has an effect; undefined: any. */
  readonly value?: string;
  readonly what: string;
}

const laterLabels: readonly LaterLabel[] = [
  { label: 'overlaybd/acceleration-layer', value: 'yes', what: 'acceleration layers' },
  { label: 'overlaybd/record-trace', value: 'yes', what: 'recording of traces' },
  { label: 'overlaybd/record-trace-path', what: 'recording of traces' },
  { label: 'overlaybd/turbo-oci/target-digest', what: 'TurboOCI layers' },
  { label: 'overlaybd/turbo-oci/target-media-type', what: 'TurboOCI layers' },
  { label: 'overlaybd/fastoci/target-digest', what: 'TurboOCI layers' },
  { label: 'overlaybd/fastoci/target-media-type', what: 'TurboOCI layers' },
  { label: 'overlaybd/convert2turbo-oci', what: 'conversion to TurboOCI' },
  { label: 'overlay.active.path', what: 'writable layers in directories of others' },
];

/** Refuses what asks for something that this version cannot do. */
export function checkLaterLabels(labels: Labels): Result<void> {
  for (const { label, value, what } of laterLabels) {
    const name = prefix + label;
    const found = Object.hasOwn(labels, name) ? labels[name] : undefined;
    if (found === undefined || (value !== undefined && found !== value)) continue;
    return rejected(
      'failed_precondition',
      `label ${name}: this version has no ${what}; use an image without it`,
    );
  }
  return accepted(undefined);
}
