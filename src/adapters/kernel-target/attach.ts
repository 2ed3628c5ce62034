// Attaches a device: step by step as overlaybd's own snapshotter does it, from wherever a
// predecessor stopped. What fails is undone.
import type { AttachedDevice, EffectResult } from '../../engine/ports.ts';
import { failed } from '../block-devices/failed.ts';
import type { EffectFailure } from '../../machines/kernel/envelope.ts';
import { detach } from './detach.ts';
import { awaitDisk, type Disk } from './disk.ts';
import { failedOrder, type Order, type TargetStep } from './orders.ts';
import { whyPending } from './pending.ts';
import { foreignPart, isComplete, isLinked, look, type Standing } from './standing.ts';
import type { TargetDevice } from './target-device.ts';

/** As long as the kernel can wait, in seconds: a daemon may be away for any time. */
const foreverSeconds = '2147483';

/** A daemon that starts has the kernel refuse new devices for a moment. */
const enableCountMax = 100;
const enableEveryMs = 50;

/** Attaches it, or takes what is there of it. */
export async function attach(device: TargetDevice): Promise<EffectResult<AttachedDevice>> {
  const looked = await look(device.ask, device.names);
  if (!looked.ok) return failedOrder(looked);
  const standing = looked.value;
  const foreign = foreignPart(standing, device.names, device.config);
  if (foreign !== undefined) {
    const message =
      `${foreign}: it is not of this root and is left alone; take it away, or choose another ` +
      '"tenant" or another "transport"';
    return failed({ step: 'attach', code: 'EEXIST', message, path: device.names.corePath });
  }
  const unready = await whyNotReady(device, standing);
  if (unready !== undefined) return failed(unready);
  const built = isComplete(standing) ? done : await build(device, standing);
  if (!built.ok) return undo(device, built);
  let disk = await awaitDisk(device.ask, device, device.sleep);
  if (!disk.ok) return undo(device, disk.failure);
  let timed = await setDiskTimeOut(device, disk.value);
  if (!timed.ok && timed.code === 'ENOENT') {
    // That was the disk of a device before, of the same name and place, on its way out.
    disk = await awaitDisk(device.ask, device, device.sleep);
    if (!disk.ok) return undo(device, disk.failure);
    timed = await setDiskTimeOut(device, disk.value);
  }
  return timed.ok ? { ok: true, value: attached(disk.value) } : undo(device, timed);
}

/** Takes one that is complete, but for what a predecessor has not come to. */
export async function finish(
  device: TargetDevice,
  disk: Disk,
): Promise<EffectResult<AttachedDevice>> {
  const timed = await setDiskTimeOut(device, disk);
  return timed.ok ? { ok: true, value: attached(disk) } : failed(timed);
}

/** Has the kernel wait for answers for ever, unless it does. */
async function setDiskTimeOut(device: TargetDevice, { name }: Disk): Promise<Taken> {
  const path = `/sys/block/${name}/device/timeout`;
  const told = await device.ask({ operation: 'read-attribute', path });
  if (!told.ok) return told;
  const isSet = told.value.text.trim() === foreverSeconds;
  return isSet ? done : write(device, 'setDiskTimeOut', path, foreverSeconds);
}

/** Why a step failed; with `abandoned` a process of ours is still in the kernel with it. */
type StepFailure = EffectFailure & { readonly abandoned?: boolean };

/** How the steps ended, in the words of helper processes. */
type Taken = { readonly ok: true } | ({ readonly ok: false } & StepFailure);

const done: Taken = { ok: true };

const attached = ({ path, sizeBytes }: Disk): AttachedDevice => ({
  path,
  sizeBytes,
  transport: 'tcmu',
});

/** What would make a step wait for ever; undefined if nothing does. */
async function whyNotReady(
  device: TargetDevice,
  standing: Standing,
): Promise<EffectFailure | undefined> {
  if ((await device.servedBy()) === undefined) {
    const message =
      "nobody serves the kernel's target: start varve-bd with --tcmu, or overlaybd-tcmu";
    return { step: 'attach', code: 'ECONNREFUSED', message };
  }
  return whyPending(device, standing);
}

/** The steps up to the disk, but for those that are done. */
async function build(device: TargetDevice, standing: Standing): Promise<Taken> {
  const { adapterPath, corePath, fabricPath, portPath, groupPath, unitPath, linkPath } =
    device.names;
  const directories = async (
    ...made: readonly (readonly [TargetStep, string])[]
  ): Promise<Taken> => {
    for (const [step, path] of made) {
      const result = await device.steps.take(step, { operation: 'make-directory', path });
      if (!result.ok) return result;
    }
    return done;
  };
  if (standing.config === null) {
    const made = await directories(['makeAdapter', adapterPath], ['makeCore', corePath]);
    if (!made.ok) return made;
  }
  if (!standing.isEnabled) {
    const enabled = await enable(device);
    if (!enabled.ok) return enabled;
  }
  if (isLinked(standing)) return done;
  const timed = await write(
    device,
    'setTimeOut',
    `${corePath}/attrib/cmd_time_out`,
    foreverSeconds,
  );
  if (!timed.ok) return timed;
  const made = await directories(
    // The kernel loads what makes disks of devices when this is there.
    ['makeFabric', fabricPath],
    ['makePort', portPath],
    ['makeGroup', groupPath],
    ['makeUnit', unitPath],
  );
  if (!made.ok) return made;
  const connected = await makeNexus(device);
  if (!connected.ok) return connected;
  // The kernel looks at the disk meanwhile, and the daemon answers.
  return device.steps.take('link', { operation: 'make-link', path: linkPath, target: corePath });
}

async function enable(device: TargetDevice): Promise<Taken> {
  const { names, config, steps, sleep, result } = device;
  const control = `${names.corePath}/control`;
  const told = await write(device, 'configure', control, `dev_config=${config}`);
  if (!told.ok) return told;
  const limited = await write(device, 'limitData', control, 'max_data_area_mb=4');
  if (!limited.ok) return limited;
  const cleared = await result.clear();
  if (!cleared.ok) return { ok: false, ...cleared.failure };
  const order: Order = {
    operation: 'write-attribute',
    path: `${names.corePath}/enable`,
    text: '1',
  };
  let enabled = await steps.take('enable', order);
  for (let count = 1; !enabled.ok && enabled.code === 'EAGAIN'; count += 1) {
    if (count === enableCountMax) return explained(enabled, await refusal(device));
    await sleep(enableEveryMs);
    enabled = await steps.take('enable', order);
  }
  return enabled.ok ? enabled : explained(enabled, await result.text());
}

/** What is known of a daemon that had the kernel refuse new devices all the time. */
async function refusal({ result }: TargetDevice): Promise<string> {
  const waitedSeconds = (enableCountMax * enableEveryMs) / 1_000;
  const said = await result.text();
  const reason = `for ${waitedSeconds} s the kernel took no new devices: a daemon starts, or ended`;
  return said === undefined ? reason : `${reason}; ${said}`;
}

const explained = <Failure extends StepFailure>(failure: Failure, text?: string): Failure =>
  text === undefined ? failure : { ...failure, message: `${failure.message}; ${text}` };

/** Without it a port has no host, and shows no disk. */
async function makeNexus(device: TargetDevice): Promise<Taken> {
  const { port, groupPath } = device.names;
  const path = `${groupPath}/nexus`;
  const made = await write(device, 'makeNexus', path, port);
  return !made.ok && made.code === 'EEXIST' ? done : made;
}

const write = (
  { steps }: TargetDevice,
  step: TargetStep,
  path: string,
  text: string,
): Promise<Taken> => steps.take(step, { operation: 'write-attribute', path, text });

/** Takes down what there is of it; the failure says what is left. */
async function undo(device: TargetDevice, failure: StepFailure): Promise<EffectResult<never>> {
  // What a process in the kernel still works on can only be waited for.
  if (failure.abandoned === true) return failed(failure);
  const undone = await detach(device.again());
  if (undone.ok) return failed(failure);
  return failed(explained(failure, `what was built is still there: ${undone.failure.message}`));
}
