// Sabotages of devices: leases, their order, what becomes of what failed or was lost.
import type { Mutant } from './mutant.ts';

const decide = 'src/machines/device/decide.ts';
const devices = 'src/engine/devices.ts';
const evolution = 'src/machines/device/evolution.ts';

export const deviceMutants: readonly Mutant[] = [
  {
    name: 'one image may attach on all places of the node',
    file: 'src/engine/dispatcher.ts',
    search: 'attachConcurrencyMax,\n  groupConcurrencyMax: imageConcurrencyMax',
    replace: 'attachConcurrencyMax,\n  groupConcurrencyMax: Infinity',
  },
  {
    name: 'a device that is written counts as an image of its own',
    file: 'src/engine/dispatcher.ts',
    search: 'projection.catalog.baseOf(below ?? deviceId)',
    replace: 'projection.catalog.baseOf(below === undefined ? deviceId : deviceId)',
  },
  {
    name: 'a device that nobody leases stays for ever',
    file: decide,
    search: 'context.servedContainer && !autoRemoveDev',
    replace: '!autoRemoveDev || context.servedContainer',
  },
  {
    name: 'a view keeps a device like a container',
    file: evolution,
    search: "context.servedContainer || purpose === 'container'",
    replace: "context.servedContainer || purpose !== 'operator'",
  },
  {
    name: 'a lease ends with the release of another',
    file: evolution,
    search: 'leases.filter((lease) => lease.snapshotId !== snapshotId)',
    replace: 'leases.filter((lease) => lease.snapshotId < snapshotId)',
  },
  {
    name: 'a file system is made again',
    file: evolution,
    search: 'plan: { ...plan, formatArguments: null }',
    replace: 'plan: { ...plan }',
  },
  {
    name: 'what is lost is not attached again',
    file: decide,
    search: 'leases.length > 0 && plan !== null',
    replace: 'leases.length > 1 && plan !== null',
  },
  {
    name: 'a Prepare is answered before its device is there',
    file: devices,
    search: 'if (isUsable(state)) return Promise.resolve({ failure: null });',
    replace:
      'if (isUsable(state) || sequencer !== undefined) return Promise.resolve({ failure: null });',
  },
  {
    name: 'a Prepare that fails keeps its lease',
    file: 'src/engine/commands.ts',
    search: 'if (deviceId !== null) devices.release(deviceId, snapshotId, cause);',
    replace: 'if (deviceId === -1) devices.release(deviceId, snapshotId, cause);',
  },
  {
    name: 'a removal keeps its lease',
    file: 'src/engine/commands.ts',
    search: 'const changes = [removed, ...released, ...devices.detachOf(snapshotId)];',
    replace: 'const changes = [removed, ...released.slice(1), ...devices.detachOf(snapshotId)];',
  },
  {
    name: 'a removed layer leaves its device',
    file: 'src/engine/commands.ts',
    search: 'const changes = [removed, ...released, ...devices.detachOf(snapshotId)];',
    replace: 'const changes = [removed, ...released];',
  },
  {
    name: 'a directory is deleted below its device',
    file: 'src/engine/dispatcher.ts',
    search: 'if (!isHeld) this.#snapshots.schedule',
    replace: 'if (!isHeld || intent.attemptCount > 0) this.#snapshots.schedule',
  },
  {
    name: 'after a start leases of what does not exist are kept',
    file: decide,
    search: 'if (!needsLease(snapshotId)) decided.add',
    replace: 'if (!needsLease(snapshotId) && snapshotId < 0) decided.add',
  },
  {
    name: 'a reboot goes unnoticed by devices',
    file: 'src/engine/device-recovery.ts',
    search: "if (truth.wasRebooted) return 'the machine was started anew';",
    replace: 'if (truth.wasRebooted) return undefined;',
  },
  {
    name: 'a device that the backing store lost goes unnoticed',
    file: 'src/engine/device-recovery.ts',
    search: 'if (sighting === undefined || sighting.path === null)',
    replace: 'if (sighting === undefined) return undefined;\n  if (sighting.path === null)',
  },
  {
    name: 'a Commit fails with the attach that it meets',
    file: 'src/engine/dispatcher.ts',
    search: "const takesAway = kind === 'unmountDevice' || kind === 'detachDevice';",
    replace: "const takesAway = kind !== 'formatDevice';",
  },
  {
    name: 'a Commit waits for the next attempt at what is left of a device',
    file: 'src/engine/commands.ts',
    search: '      dispatcher.hurryDevice(snapshotId);\n',
    replace: '',
  },
  {
    name: 'an image is mounted without the options that it asks for',
    file: 'src/engine/devices.ts',
    search: 'return readOnlyPlan(block);',
    replace: "return readOnlyPlan({ ...block, mountOptions: '' });",
  },
  {
    name: 'a layer is sealed before its mount options are looked at',
    file: 'src/machines/snapshot/decide.ts',
    search: 'state.context.writable?.fileSystem);',
    replace: 'undefined);',
  },
  {
    name: 'work on a snapshot does not wait for a stray device of it',
    file: 'src/engine/dispatcher.ts',
    search: 'const isAttached = strays.has(snapshotId) || ',
    replace: 'const isAttached = ',
  },
  {
    name: 'a stray device is taken away while it is attached',
    file: 'src/engine/dispatcher.ts',
    search: 'if (intent !== undefined && !strays.isRunning(deviceId)) {',
    replace: 'if (intent !== undefined) {',
  },
  {
    name: 'a stray device is taken away from whoever took it up',
    file: 'src/engine/strays.ts',
    search: 'const failure = this.#isTakenUp(deviceId) ? null : await',
    replace: 'const failure = await',
  },
  {
    name: 'a stray device is not tried again',
    file: 'src/engine/strays.ts',
    search: '    stray.cancelPause = clock.after(',
    replace: '    if (failure.code !== "") return;\n    stray.cancelPause = clock.after(',
  },
  {
    name: 'the device of an init layer is given back when it is committed',
    file: 'src/engine/dispatcher.ts',
    search: "role === 'initLayer' ? [] : devices",
    replace: 'devices',
  },
  {
    name: 'an init layer above an ordinary one holds the device',
    file: 'src/machines/snapshot/mounts.ts',
    search: 'lowers.some(({ kind })',
    replace: 'lowers.slice(0, 1).some(({ kind })',
  },
];
