// The events of a device in plain sentences.
import type { DeviceEvent, DevicePlan, LeasePurpose } from '../machines/device/events.ts';
import { asker, causeText, done, failed, failureText, started } from './sentence-text.ts';
import type { Described } from './sentence-text.ts';
import { humanSize, isoTime, printable, quoted } from './text.ts';

const purposes: Readonly<Record<LeasePurpose, string>> = {
  container: 'for a container',
  initLayer: 'for an init layer',
  view: 'for a view',
  unpack: 'for an unpack',
  operator: 'for an operator',
};

/** What one event of a device says. */
export function describeDevice(event: DeviceEvent): Described {
  const by = causeText(event.cause);
  switch (event.type) {
    case 'DeviceLeased': {
      const { snapshotId, purpose } = event.data;
      return done(
        `${asker(event.cause, 'Prepare')} leased it ${purposes[purpose]}, #${snapshotId}.`,
      );
    }
    case 'DeviceReleased':
      return done(
        `${asker(event.cause, 'Remove')} gave back the lease of #${event.data.snapshotId}.`,
      );
    case 'DeviceAttachStarted':
      return started(`Attaching it began${by}, ${planText(event.data.plan)}.`);
    case 'DeviceAttached': {
      const { path, sizeBytes, transport } = event.data;
      const how = `over ${printable(transport)}, ${humanSize(sizeBytes)}`;
      return done(`It was attached as ${quoted(path)} ${how}${by}.`);
    }
    case 'DeviceFormatted':
      return done(`It got its file system${by}.`);
    case 'DeviceMounted':
      return done(`It was mounted${by}: it can be used.`);
    case 'DeviceAttachFailed':
      return failed(
        `It could not be attached${by}: ${failureText(event.data.failure)}. ` +
          'What was built is torn down.',
      );
    case 'DeviceLingerStarted':
      return done(
        `Nobody leases it: it is detached at ${isoTime(event.data.untilUs)} unless somebody does.`,
      );
    case 'DeviceKept':
      return done('Nobody leases it: it stays until its layer is removed.');
    case 'DeviceDetachStarted':
      return started(`Detaching it began${by}.`);
    case 'DeviceUnmounted':
      return done(`It was unmounted${by}.`);
    case 'DeviceDetached':
      return done(`It was detached${by}.`);
    case 'DeviceDetachFailed':
      return failed(
        `It could not be detached${by}: ${failureText(event.data.failure)}. It is tried again.`,
      );
    case 'DeviceLost':
      return failed(`It was lost${by}: ${printable(event.data.reason)}.`);
  }
}

function planText(plan: DevicePlan): string {
  const { access, mount, fileSystem, mountOptions, formatArguments } = plan;
  const how = access === 'readOnly' ? 'for reading' : 'for reading and writing';
  const kind = printable(fileSystem);
  const made = formatArguments === null ? '' : ' that is made';
  const options = mountOptions === '' ? '' : ` with ${printable(mountOptions)}`;
  return mount === 'none'
    ? `${how}, with ${kind}${made} on it, to be mounted by its user${options}`
    : `${how}, to be mounted as ${kind}${made}${options}`;
}
