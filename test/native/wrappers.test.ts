// The typed wrappers around libvarve_sys, called through koffi.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { errnoName } from '../../src/adapters/native/errno.ts';
import {
  fileStatus,
  keepRoom,
  preallocate,
  syncPath,
  syncPathAsync,
} from '../../src/adapters/native/files.ts';
import { makeLayers, probeOverlayUpper } from '../../src/adapters/native/layer-directories.ts';
import { lockFile } from '../../src/adapters/native/lock.ts';
import { freeLoopNumber, loopStatus, loopUsesDirectIo } from '../../src/adapters/native/loop.ts';
import { mount, mountFlag, mountWithOptions, unmount } from '../../src/adapters/native/mounts.ts';
import { notifyServiceManager } from '../../src/adapters/native/notify.ts';
import {
  closeDescriptor,
  hasEnded,
  listenerOf,
  openProcess,
  receiveDescriptor,
  sendDescriptor,
  signalProcess,
} from '../../src/adapters/native/processes.ts';
import {
  getProject,
  getProjectUsage,
  setProject,
  setProjectLimit,
} from '../../src/adapters/native/quota.ts';
import { isRoot, runProgram, scratchDirectory } from './scratch.ts';

/** The descriptor of a socket; Node shows it to nobody. */
const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;

const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

test('a status agrees with what Node reads', (t) => {
  const path = join(scratchDirectory(t), 'file');
  writeFileSync(path, 'x'.repeat(5000));
  const expected = lstatSync(path, { bigint: true });
  const found = fileStatus(path);
  assert.ok(found.ok);
  assert.equal(found.value.device, Number(expected.dev));
  assert.equal(found.value.inode, expected.ino);
  assert.equal(found.value.sizeBytes, 5000);
  assert.equal(found.value.blockCount, Number(expected.blocks));
  assert.equal(found.value.mode, Number(expected.mode));
  assert.equal(found.value.mtimeNs, expected.mtimeNs);
  assert.equal(found.value.isMountRoot, false);
  assert.ok(found.value.mountId > 0);
});

test('a status is of the link and not of what it names', (t) => {
  const directory = scratchDirectory(t);
  symlinkSync('/', join(directory, 'link'));
  const found = fileStatus(join(directory, 'link'));
  assert.ok(found.ok);
  assert.equal(found.value.mode & 0o170000, 0o120000);
});

test('a failed call is a value with the name of its errno', () => {
  assert.deepEqual(fileStatus('/absent/file'), {
    ok: false,
    errno: 2,
    code: 'ENOENT',
    step: 'statx',
    message: 'no such file or directory',
  });
});

test('a string with a NUL is refused instead of cut', () => {
  const result = fileStatus('/\0absent');
  assert.ok(!result.ok);
  assert.equal(result.code, 'EINVAL');
});

test('errno names cover what Node and the kernel call by different tables', () => {
  assert.equal(errnoName(16), 'EBUSY');
  assert.equal(errnoName(11), 'EAGAIN');
  assert.equal(errnoName(116), 'ESTALE');
  assert.equal(errnoName(99999), 'E99999');
});

test('layers have exact modes whatever the umask', async (t) => {
  const directory = scratchDirectory(t);
  const before = process.umask(0o077);
  try {
    const [made] = await makeLayers(directory, [
      { snapshotId: 42, parentId: null, withWork: true },
    ]);
    assert.ok(made?.ok);
  } finally {
    process.umask(before);
  }
  assert.equal(modeOf(join(directory, '42')), 0o700);
  assert.equal(modeOf(join(directory, '42/fs')), 0o755);
  assert.equal(modeOf(join(directory, '42/work')), 0o711);
});

test('each layer of a call has a result of its own, and the owner of its parent', async (t) => {
  const directory = scratchDirectory(t);
  const largeId = 2 ** 45 + 3;
  mkdirSync(join(directory, '7/fs'), { recursive: true });
  if (isRoot) chownSync(join(directory, '7/fs'), 1234, 5678);
  const results = await makeLayers(directory, [
    { snapshotId: 7, parentId: null, withWork: true },
    { snapshotId: largeId, parentId: 7, withWork: false },
    { snapshotId: 9, parentId: 404, withWork: true },
    { snapshotId: 10, parentId: largeId, withWork: true },
  ]);
  assert.deepEqual(
    results.map((result) => (result.ok ? 'made' : result.code)),
    ['EEXIST', 'made', 'ENOENT', 'made'],
  );
  assert.deepEqual(readdirSync(directory).sort(), ['10', String(largeId), '7'].sort());
  assert.deepEqual(readdirSync(join(directory, String(largeId))), ['fs']);
  const status = lstatSync(join(directory, '10/fs'));
  if (isRoot) assert.deepEqual([status.uid, status.gid], [1234, 5678]);
});

test('layers below a directory that is not there all fail', async () => {
  const request = { snapshotId: 1, parentId: null, withWork: true };
  const results = await makeLayers('/absent/directory', [request, request]);
  assert.deepEqual(
    results.map((result) => (result.ok ? 'made' : result.code)),
    ['ENOENT', 'ENOENT'],
  );
});

test(
  'the overlay probe accepts an ordinary directory and leaves nothing',
  { skip: !isRoot },
  (t) => {
    const directory = scratchDirectory(t);
    assert.ok(probeOverlayUpper(directory).ok);
    assert.deepEqual(readdirSync(directory), []);
  },
);

test('the overlay probe names every step that fails', { skip: !isRoot }, (t) => {
  const directory = scratchDirectory(t);
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(directory, name));
  const target = join(directory, 'merged');
  const layers = { lowerdir: 'lower', upperdir: 'upper', workdir: 'work' };
  const options = Object.entries(layers).map(([key, name]) => `${key}=${join(directory, name)}`);
  const mounted = mountWithOptions({ type: 'overlay', target, options });
  assert.ok(mounted.ok, JSON.stringify(mounted));
  const probed = probeOverlayUpper(target);
  assert.ok(!probed.ok);
  assert.ok(probed.problems.includes('on-overlay'));
  assert.ok(unmount(target, 0).ok);
  const absent = probeOverlayUpper(join(directory, 'absent'));
  assert.ok(!absent.ok);
  assert.deepEqual([absent.code, absent.problems], ['ENOENT', ['scratch-directory']]);
});

test('a bind mount is a mount root until it is unmounted', { skip: !isRoot }, (t) => {
  const directory = scratchDirectory(t);
  const request = { source: directory, target: directory, type: '', flags: mountFlag.bind };
  mkdirSync(join(directory, 'target'));
  const target = join(directory, 'target');
  assert.ok(mount({ ...request, target, data: '' }).ok);
  const mounted = fileStatus(target);
  assert.ok(mounted.ok && mounted.value.isMountRoot);
  assert.ok(unmount(target, 0).ok);
  const after = fileStatus(target);
  assert.ok(after.ok && !after.value.isMountRoot);
});

test('the kernel explains a mount that it refuses', { skip: !isRoot }, (t) => {
  const target = scratchDirectory(t);
  const refused = mountWithOptions({ type: 'overlay', target, options: ['nonsense=1'] });
  assert.ok(!refused.ok && 'message' in refused);
  assert.match(refused.message, /nonsense/);
});

test('the lock is held once, tells its holder, and is free after release', (t) => {
  const path = join(scratchDirectory(t), 'lock');
  const first = lockFile(path);
  assert.ok(first.ok);
  const second = lockFile(path);
  assert.ok(!second.ok && 'holderPid' in second);
  assert.equal(second.code, 'EAGAIN');
  assert.equal(second.holderPid, process.pid);
  first.value.release();
  first.value.release();
  const third = lockFile(path);
  assert.ok(third.ok);
  third.value.release();
});

test('a child process does not inherit the lock', (t) => {
  const path = join(scratchDirectory(t), 'lock');
  const lock = lockFile(path);
  assert.ok(lock.ok);
  const { stdout } = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
  assert.ok(!stdout.includes(path), stdout);
  lock.value.release();
});

test('files are preallocated and made durable', async (t) => {
  const path = join(scratchDirectory(t), 'reserve');
  assert.ok(preallocate(path, 1 << 20).ok);
  assert.ok(lstatSync(path).blocks * 512 >= 1 << 20);
  assert.equal(modeOf(path), 0o600);
  assert.ok(syncPath(path).ok);
  assert.ok((await syncPathAsync(path)).ok);
});

test('room is kept behind the end of a file', async (t) => {
  const path = join(scratchDirectory(t), 'log');
  writeFileSync(path, 'begun');
  assert.ok((await keepRoom(path, 1 << 20)).ok);
  const { size, blocks } = lstatSync(path);
  assert.equal(size, 5);
  assert.ok(blocks * 512 >= 1 << 20);
});

test('without a service manager a notification is no failure', () => {
  assert.deepEqual(notifyServiceManager('READY=1', ''), { ok: true, value: false });
  const absent = notifyServiceManager('READY=1', '/absent/socket');
  assert.ok(!absent.ok);
  assert.equal(absent.code, 'ENOENT');
});

test('a process descriptor is opened for the living only', () => {
  const own = openProcess(process.pid);
  assert.ok(own.ok);
  assert.ok(closeDescriptor(own.value).ok);
  const { pid } = spawnSync('true');
  const gone = openProcess(pid);
  assert.ok(!gone.ok);
  assert.equal(gone.code, 'ESRCH');
});

test('a process descriptor tells the end of its process, and signals it alone', async () => {
  const child = spawn('sleep', ['1000']);
  const ended = once(child, 'exit');
  const opened = openProcess(child.pid ?? 0);
  assert.ok(opened.ok);
  assert.deepEqual(hasEnded(opened.value), { ok: true, value: false });
  assert.ok(signalProcess(opened.value, 'SIGTERM').ok);
  assert.deepEqual(await ended, [null, 'SIGTERM']);
  assert.deepEqual(hasEnded(opened.value), { ok: true, value: true });
  const late = signalProcess(opened.value, 'SIGTERM');
  assert.ok(!late.ok && late.code === 'ESRCH');
  assert.ok(closeDescriptor(opened.value).ok);
  const closed = hasEnded(opened.value);
  assert.ok(!closed.ok && closed.code === 'EBADF');
});

test('a socket tells which process listens on it', async (t) => {
  const path = join(scratchDirectory(t), 's');
  const absent = listenerOf(path);
  assert.ok(!absent.ok && absent.code === 'ENOENT');
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  assert.deepEqual(listenerOf(path), { ok: true, value: process.pid });
  server.close();
  await once(server, 'close');
  const long = listenerOf(`/${'x'.repeat(200)}`);
  assert.ok(!long.ok && long.code === 'ENAMETOOLONG');
});

test('a descriptor passes through a socket', async (t) => {
  const directory = scratchDirectory(t);
  const path = join(directory, 'content');
  writeFileSync(path, 'passed on');
  const file = openSync(path, 'r');
  t.after(() => closeSync(file));
  const server = createServer({ pauseOnConnect: true });
  t.after(() => server.close());
  server.listen(join(directory, 's'));
  await once(server, 'listening');
  const client = connect(join(directory, 's'));
  t.after(() => client.destroy());
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.after(() => accepted.destroy());
  assert.ok(sendDescriptor(descriptorOf(client), file).ok);
  const received = receiveDescriptor(descriptorOf(accepted));
  assert.ok(received.ok);
  assert.equal(readFileSync(received.value, 'utf8'), 'passed on');
  assert.ok(closeDescriptor(received.value).ok);
  const nothing = receiveDescriptor(descriptorOf(accepted));
  assert.ok(!nothing.ok && nothing.code === 'EAGAIN');
});

test('a loop device tells its backing file', { skip: !isRoot }, (t) => {
  const path = join(scratchDirectory(t), 'image');
  assert.ok(preallocate(path, 1 << 20).ok);
  let device: string;
  try {
    device = runProgram('losetup', ['--find', '--show', path]);
  } catch {
    t.skip('no loop device can be attached here');
    return;
  }
  t.after(() => runProgram('losetup', ['--detach', device]));
  const status = loopStatus(device);
  assert.ok(status.ok);
  assert.equal(status.value.backingInode, lstatSync(path, { bigint: true }).ino);
  assert.equal(status.value.fileName, path.slice(0, 63));
  assert.equal(device, `/dev/loop${status.value.number}`);
  const isDirect = loopUsesDirectIo(status.value.number);
  assert.ok(isDirect.ok && !isDirect.value, 'attached without direct I/O');
  const free = freeLoopNumber();
  assert.ok(free.ok && free.value !== status.value.number);
});

test('quota queries on a file system without quota answer a value', (t) => {
  const directory = scratchDirectory(t);
  const usage = getProjectUsage(directory, 1);
  assert.ok(usage.ok || ['ESRCH', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EPERM'].includes(usage.code));
  const project = getProject(directory);
  assert.ok(project.ok ? project.value === 0 : project.code !== '');
});

test('a project is limited where the file system has project quota', { skip: !isRoot }, (t) => {
  const directory = scratchDirectory(t);
  const image = join(directory, 'image');
  const mounted = join(directory, 'mounted');
  mkdirSync(mounted);
  runProgram('truncate', ['--size=64M', image]);
  runProgram('mkfs.ext4', ['-q', '-O', 'quota,project', '-E', 'quotatype=prjquota', image]);
  try {
    runProgram('mount', ['-o', 'loop,prjquota', image, mounted]);
  } catch {
    t.skip('this kernel has no project quota');
    return;
  }
  const limited = join(mounted, 'limited');
  mkdirSync(limited);
  assert.ok(setProject(limited, 7).ok);
  mkdirSync(join(limited, 'below'));
  assert.deepEqual(getProject(join(limited, 'below')), { ok: true, value: 7 });
  assert.ok(setProjectLimit({ path: mounted, projectId: 7, limitBytes: 1 << 20 }).ok);
  assert.throws(
    () => writeFileSync(join(limited, 'below/file'), Buffer.alloc(2 << 20)),
    /ENOSPC|EDQUOT/,
  );
  const usage = getProjectUsage(mounted, 7);
  assert.ok(usage.ok);
  assert.equal(usage.value.limitBytes, 1 << 20);
  assert.ok(usage.value.usedBytes <= 1 << 20);
  assert.equal(usage.value.usedInodeCount, 3);
});

test('setting project quota on a file system without it answers a value', (t) => {
  const directory = scratchDirectory(t);
  const limited = setProjectLimit({ path: directory, projectId: 7, limitBytes: 1 << 20 });
  assert.ok(
    !limited.ok && ['ESRCH', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EPERM'].includes(limited.code),
  );
  const absent = setProject(join(directory, 'absent'), 7);
  assert.ok(!absent.ok && absent.code === 'ENOENT');
});

test('every function that the header declares has its parameters in the library', () => {
  const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
  const header = read('../../native/syscalls/varve_sys.h');
  const declared = [...header.matchAll(/VARVE_SYS_API int varve_sys_(\w+)\(/g)].map(
    (found) => found[1] ?? '',
  );
  const library = read('../../src/adapters/native/library.ts');
  assert.ok(declared.length > 20);
  for (const name of declared) assert.match(library, new RegExp(`^  ${name}:`, 'm'), name);
});
