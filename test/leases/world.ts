// Which block devices are really there, as varve-bd and the kernel tell it, and whether they are
// those that clients use: whatever varve itself holds of its leases.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { BlockNode } from '../cli/block-node.ts';
import { waitUntil } from '../e2e/lab/service.ts';
import { devicesOf } from '../faults/devices.ts';

/** What a client reaches by the mounts that it was answered. */
export interface Use {
  readonly key: string;
  /** The layer that it was prepared on. */
  readonly parent: string;
  /** Whether it writes a device of its own. */
  readonly isWritable: boolean;
  /** The block device, or the directory that one is mounted on. */
  readonly place: string;
}

type DeviceByKey = ReadonlyMap<string, string>;

const isDevice = (place: string): boolean => place.startsWith('/dev/');

/** The directories below another one on which block devices are mounted, each with its device. */
function mountedBelow(directory: string): readonly (readonly [string, string])[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const found = mounts.map((line) => {
    const [ofPoint = '', ofDevice = ''] = line.split(' - ');
    return [ofPoint.split(' ')[4] ?? '', ofDevice.split(' ')[1] ?? ''] as const;
  });
  return found.filter(([point]) => point.startsWith(`${directory}/`));
}

/** The loop devices that a process holds. */
function loopDevicesOf(pid: number): readonly string[] {
  const folder = `/proc/${pid}/fd`;
  const targets = readdirSync(folder).flatMap((name) => {
    try {
      return readlinkSync(path.join(folder, name));
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
  return targets.filter((target) => /^\/dev\/loop\d+$/.test(target));
}

export class World {
  readonly #node: BlockNode;
  /** The device of each key, and when it was opened, as of the last look. */
  #opened: DeviceByKey = new Map();

  constructor(node: BlockNode) {
    this.#node = node;
  }

  /** Each use has the device that it had, no chain has two, and soon there are no others. */
  async check(uses: readonly Use[]): Promise<void> {
    const devices = this.#devicesOf(uses);
    assertShared(uses, devices);
    await this.#assertOpen(devices);
    await this.#noOthers(uses, devices);
  }

  #devicesOf(uses: readonly Use[]): DeviceByKey {
    const mounted = new Map(mountedBelow(this.#node.root));
    const devices = new Map<string, string>();
    for (const { key, place } of uses) {
      const device = isDevice(place) ? place : mounted.get(place);
      assert.ok(device !== undefined, `${place} of ${key} is a mount`);
      devices.set(key, device);
    }
    return devices;
  }

  /** varve-bd and the kernel have the devices, the same ones as at the last look. */
  async #assertOpen(devices: DeviceByKey): Promise<void> {
    const listed = new Map((await devicesOf(this.#node)).map((one) => [one.path, one]));
    const opened = new Map<string, string>();
    for (const [key, device] of devices) {
      const found = listed.get(device);
      assert.equal(found?.state, 'open', `varve-bd has ${device} of ${key} open`);
      const file = path.join('/sys/block', path.basename(device), 'loop/backing_file');
      assert.ok(existsSync(file), `the kernel has ${device} of ${key}`);
      const now = `${device}, open since ${found?.openedAt}`;
      assert.equal(now, this.#opened.get(key) ?? now, `${key} has the device that it had`);
      opened.set(key, now);
    }
    this.#opened = opened;
  }

  async #noOthers(uses: readonly Use[], devices: DeviceByKey): Promise<void> {
    const ofMounts = uses.filter(({ place }) => !isDevice(place)).map(({ key }) => key);
    const used = [...new Set(devices.values())];
    const wanted = {
      inDaemon: used.sort().join(),
      inKernel: used.sort().join(),
      mounted: [...new Set(ofMounts.map((key) => devices.get(key)))].sort().join(),
    };
    let found: object = {};
    const isAll = async (): Promise<boolean> => {
      const listed = (await devicesOf(this.#node)).map((one) => one.path);
      const held = loopDevicesOf(this.#node.blockDaemon.service.pid);
      const mounted = mountedBelow(this.#node.root).map(([, device]) => device);
      found = {
        inDaemon: listed.sort().join(),
        inKernel: [...new Set(held)].sort().join(),
        mounted: mounted.sort().join(),
      };
      return JSON.stringify(found) === JSON.stringify(wanted);
    };
    await waitUntil('nothing but what is used is attached', isAll).catch((error: unknown) => {
      const [is, shall] = [found, wanted].map((one) => JSON.stringify(one));
      throw new Error(`${String(error)}: it is ${is}, and should be ${shall}`);
    });
  }
}

/** Who reads the same layers reads one device; who writes has one that nobody else has. */
function assertShared(uses: readonly Use[], devices: DeviceByKey): void {
  const ownerOf = new Map<string, string>();
  const deviceOf = new Map<string, string>();
  for (const { key, parent, isWritable } of uses) {
    const device = devices.get(key) ?? '';
    const owner = isWritable ? key : `who reads ${parent}`;
    assert.equal(ownerOf.get(device) ?? owner, owner, `${device} has one owner`);
    assert.equal(deviceOf.get(owner) ?? device, device, `${owner} has one device`);
    ownerOf.set(device, owner);
    deviceOf.set(owner, device);
  }
}
