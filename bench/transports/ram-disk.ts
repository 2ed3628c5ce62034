// The RAM disk of the kernel's target as a disk of this machine: the way of a request over `tcmu`
// without anybody outside the kernel, which is what `tcmu` can come to at most.
import { writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, symlink, unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const root = '/sys/kernel/config/target';
const core = `${root}/core/rd_mcp_0/bench`;
const port = 'naa.1990000000000000';
const group = `${root}/loopback/${port}/tpgt_1`;
const pageBytes = 4096;

export async function ramDisk(sizeBytes: number) {
  await mkdir(core, { recursive: true });
  writeFileSync(`${core}/control`, `rd_pages=${sizeBytes / pageBytes}`);
  writeFileSync(`${core}/enable`, '1');
  await mkdir(`${group}/lun/lun_0`, { recursive: true });
  writeFileSync(`${group}/nexus`, port);
  await symlink(core, `${group}/lun/lun_0/bench`);
  const address = (await readFile(`${group}/address`, 'utf8')).trim();
  const close = async (): Promise<void> => {
    await unlink(`${group}/lun/lun_0/bench`);
    const folders = [`${group}/lun/lun_0`, group, `${root}/loopback/${port}`, core];
    for (const folder of folders) await rmdir(folder);
  };
  for (;;) {
    const names = await readdir(`/sys/class/scsi_device/${address}:0/device/block`).catch(() => []);
    if (names[0] !== undefined) return { path: `/dev/${names[0]}`, close };
    await delay(20);
  }
}
