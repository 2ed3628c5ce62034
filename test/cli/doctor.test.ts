// varve doctor: on a real node and its faults, on kernels that lack something, and with a file that
// hangs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { kernelLooks } from '../../src/cli/doctor/kernel.ts';
import { lookAll, type Line } from '../../src/cli/doctor/look.ts';
import { Machine } from '../../src/cli/doctor/machine.ts';
import { rootLooks } from '../../src/cli/doctor/root.ts';
import { runCommand } from '../e2e/lab/command.ts';
import { makeScratch } from '../e2e/lab/scratch.ts';
import { deviceObstacle } from '../native/device-obstacle.ts';
import { isRoot } from '../native/scratch.ts';
import { BlockNode, top } from './block-node.ts';
import { varve, type Ended } from './varve.ts';

interface Document {
  readonly format: string;
  readonly problemCount: number;
  readonly lines: readonly Line[];
}

const lineOf = (lines: readonly Line[], topic: string, name: string): Line => {
  const found = lines.find((line) => line.topic === topic && line.name === name);
  assert.ok(found, `${topic}, ${name}: ${JSON.stringify(lines)}`);
  return found;
};

const documentOf = ({ stdout, stderr }: Ended): Document => {
  assert.equal(stderr, '');
  const document = JSON.parse(stdout) as Document;
  for (const { how, found } of document.lines) assert.ok(how !== '' && found !== '');
  return document;
};

describe('varve doctor', { skip: deviceObstacle() ?? false }, () => {
  let node: BlockNode;
  const containerdConfig = (): string => path.join(node.scratch.path, 'config.toml');
  const dockerConfig = (): string => path.join(node.scratch.path, 'daemon.json');

  before(async () => {
    node = await BlockNode.start();
    await node.unpackLayers();
    await node.prepare('default/3/box', top);
  });
  after(() => node?.scratch.dispose());

  const doctor = (...args: string[]): Promise<Ended> => {
    const own = ['--config', node.configPath, '--root', node.root, '--json'];
    const clients = ['--containerd-config', containerdConfig(), '--docker-config', dockerConfig()];
    return node.ask('doctor', ...own, ...clients, ...args);
  };
  const plugin = (address: string, root: string): string =>
    `version = 2\n[proxy_plugins.sediment]\ntype = "snapshot"\naddress = "${address}"\n` +
    `capabilities = ["rebase"]\n[proxy_plugins.sediment.exports]\nroot = "${root}"\n`;

  test('a node that is well has no problems, and every line says what was looked at', async () => {
    writeFileSync(containerdConfig(), plugin(node.daemon.address, node.root));
    const ended = await doctor();
    const { lines, problemCount } = documentOf(ended);
    assert.equal(problemCount, 0, JSON.stringify(lines.filter((one) => one.verdict === 'problem')));
    assert.equal(ended.code, 0);
    assert.match(
      lineOf(lines, 'varve serve', 'answers').found,
      /^process \d+, version .* serves \//,
    );
    assert.match(lineOf(lines, 'varve serve', 'capabilities').how, /^\/proc\/\d+\/status$/);
    assert.match(
      lineOf(lines, 'varve-bd', 'answers').found,
      /^process \d+, version \d+\.\d+\.\d+, transport fuse; 1 device$/,
    );
    assert.equal(lineOf(lines, 'varve-bd', 'answers').verdict, 'ok');
    assert.equal(lineOf(lines, 'root', 'file system').verdict, 'ok');
    assert.match(lineOf(lines, 'containerd', 'proxy plugin').found, /"sediment" names \//);
    assert.equal(lineOf(lines, 'containerd', 'exports.root').verdict, 'ok');
    assert.equal(lineOf(lines, 'docker', 'daemon.json').verdict, 'note');
    assert.equal(lineOf(lines, 'leaks', 'root and machine').verdict, 'ok');
    const text = (await node.ask('doctor', '--config', node.configPath, '--root', node.root))
      .stdout;
    assert.match(text, /^ {2}ok {7}answers: process \d+/m);
  });

  test('containerd that does not name the socket, or another root, is a problem', async () => {
    writeFileSync(containerdConfig(), plugin('/run/other.sock', node.root));
    const other = await doctor();
    assert.equal(other.code, 1);
    const missing = lineOf(documentOf(other).lines, 'containerd', 'proxy plugin');
    assert.equal(missing.verdict, 'problem');
    assert.match(missing.next ?? '', /docs\/operations\.md/);

    // In a file of its own, as packages do it.
    mkdirSync(path.join(node.scratch.path, 'conf.d'));
    const extra = path.join(node.scratch.path, 'conf.d', 'varve.toml');
    writeFileSync(extra, plugin(`unix://${node.daemon.address}`, '/elsewhere'));
    writeFileSync(containerdConfig(), 'imports = ["conf.d/*.toml"]\n');
    const { lines } = documentOf(await doctor());
    assert.equal(lineOf(lines, 'containerd', 'proxy plugin').verdict, 'ok');
    const root = lineOf(lines, 'containerd', 'exports.root');
    assert.equal(root.verdict, 'problem');
    assert.match(root.found, /it is "\/elsewhere", and the root is /);
    writeFileSync(containerdConfig(), '[proxy_plugins\n');
    const broken = lineOf(documentOf(await doctor()).lines, 'containerd', 'proxy plugin');
    assert.match(broken.found, /cannot be read: line 1: /);
    writeFileSync(containerdConfig(), plugin(node.daemon.address, node.root));
  });

  test('Docker that uses varve without its image store, or unknown to varve, is a problem', async () => {
    const told = async (config: object): Promise<Line> => {
      writeFileSync(dockerConfig(), JSON.stringify(config));
      return lineOf(documentOf(await doctor()).lines, 'docker', 'daemon.json');
    };
    const driver = { 'storage-driver': 'sediment' };
    assert.match((await told(driver)).found, /without the containerd image store/);
    const features = { 'containerd-snapshotter': true };
    const unknown = await told({ ...driver, features });
    assert.equal(unknown.verdict, 'problem');
    assert.match(unknown.next ?? '', /"runtimeType": "docker"/);
    assert.equal((await told({ 'storage-driver': 'overlay2' })).verdict, 'note');
    writeFileSync(dockerConfig(), '[');
    const broken = lineOf(documentOf(await doctor()).lines, 'docker', 'daemon.json');
    assert.match(broken.found, /no JSON object/);
    writeFileSync(dockerConfig(), '{}');
  });

  test('what nothing is known of is a leak, with what to do', async () => {
    const stray = path.join(node.root, 'snapshots', '77', 'block');
    mkdirSync(stray, { recursive: true });
    execFileSync('cp', [path.join(node.root, 'snapshots/1/block/config.v1.json'), stray]);
    const config = path.join(stray, 'config.v1.json');
    const socket = ['--socket', node.blockDaemon.address];
    assert.equal(
      (await varve(['bd', 'open', config, '--device', 'snapshot-77', ...socket])).code,
      0,
    );
    const ended = await doctor();
    assert.equal(ended.code, 1);
    const leaks = documentOf(ended).lines.filter(({ topic }) => topic === 'leaks');
    assert.deepEqual(leaks.map(({ found }) => found.replace(/:.*/, '')).sort(), [
      'device #77',
      'directory 77',
    ]);
    assert.ok(leaks.every(({ next }) => next?.includes('varve fsck')));
  });

  test('without daemons it works, and says that they do not run', async () => {
    await node.daemon.stop();
    await node.blockDaemon.service.kill();
    const ended = await doctor();
    const { lines } = documentOf(ended);
    const serve = lineOf(lines, 'varve serve', 'answers');
    assert.deepEqual([serve.verdict, serve.found], ['note', 'varve serve does not run']);
    // Its socket is left: it did not end in order.
    const blockDaemon = lineOf(lines, 'varve-bd', 'answers');
    assert.equal(blockDaemon.verdict, 'problem');
    assert.match(blockDaemon.next ?? '', /start varve-bd --socket/);
    assert.ok(
      lines.some(({ topic, found }) => topic === 'leaks' && /could not be asked/.test(found)),
    );
  });

  test('a look that hangs is given up, and named; the others and the command are not held', async () => {
    const pipe = path.join(node.scratch.path, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const ended = await doctor('--containerd-config', pipe, '--deadline', '1500');
    assert.equal(ended.signal, null);
    const { lines } = documentOf(ended);
    const hanging = lineOf(lines, 'containerd', 'proxy plugin');
    assert.equal(hanging.verdict, 'problem');
    assert.equal(hanging.found, 'no answer within 1500 ms');
    assert.equal(hanging.how, pipe);
    assert.equal(lineOf(lines, 'kernel', 'overlay').verdict, 'ok');
    assert.equal(ended.code, 1);
  });

  test('who may not do what varve does is told so', async () => {
    chmodSync(node.scratch.path, 0o755);
    const args = ['doctor', '--json', '--config', node.configPath, '--root', '/nowhere'];
    // Where the directory of scratch directories is the runner's own, it is not for everybody.
    chmodSync(path.dirname(node.scratch.path), statSync(tmpdir()).mode | 0o011);
    const { lines } = documentOf(await varve(args, { uid: 65534 }));
    const rights = lineOf(lines, 'varve serve', 'capabilities');
    assert.equal(rights.verdict, 'problem');
    assert.match(rights.found, /CAP_SYS_ADMIN \(mounts, and block devices\)/);
    assert.match(lineOf(lines, 'kernel', 'FUSE').found, /may not be used/);
  });
});

test(
  'a root on an overlay is a problem, and whether fuse-overlayfs is there is said',
  { skip: !isRoot },
  async () => {
    const scratch = makeScratch('varve-cli-');
    try {
      const at = (name: string): string => path.join(scratch.path, name);
      for (const name of ['lower', 'upper', 'work', 'merged', 'bin']) mkdirSync(at(name));
      const layers = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')}`;
      await runCommand(['mount', '-t', 'overlay', 'overlay', '-o', layers, at('merged')]);
      mkdirSync(at('merged/root/snapshots'), { recursive: true });
      writeFileSync(at('config.json'), '{}');
      const args = ['doctor', '--json', '--config', at('config.json'), '--root', at('merged/root')];
      const found = async (): Promise<Line> =>
        lineOf(
          documentOf(await varve(args, { env: { PATH: at('bin') } })).lines,
          'root',
          'file system',
        );
      const { verdict, found: text, next } = await found();
      assert.equal(verdict, 'problem');
      assert.match(
        text,
        /is on overlay, .*it is an overlay itself.*; mount.fuse3 and fuse-overlayfs .* not installed/,
      );
      assert.match(next ?? '', /ext4, xfs, btrfs or tmpfs/);
      writeFileSync(at('bin/fuse-overlayfs'), '', { mode: 0o755 });
      assert.match((await found()).found, /; mount.fuse3 .* not installed/);
      writeFileSync(at('bin/mount.fuse3'), '', { mode: 0o755 });
      const installed = await found();
      assert.equal(installed.verdict, 'note');
      assert.match(installed.found, /fuse-overlayfs mounts overlays there/);
    } finally {
      await scratch.dispose();
    }
  },
);

test('kernels that lack something: what is needed is a problem, the rest a note', async () => {
  const scratch = makeScratch('varve-cli-');
  try {
    const put = (file: string, text: string): void => {
      mkdirSync(path.join(scratch.path, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(scratch.path, file), text);
    };
    put('proc/filesystems', 'nodev\tproc\n\text4\n');
    put('proc/sys/kernel/osrelease', '6.1.0-18-amd64\n');
    put(
      'lib/modules/6.1.0-18-amd64/modules.dep',
      'kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\n',
    );
    put('sys/module/target_core_user/refcnt', '0\n');
    const root = '/data/varve';
    put(
      'proc/self/mountinfo',
      '20 1 8:1 / / rw shared:1 - ext4 /dev/a rw\n' +
        '21 20 8:2 / /data rw,relatime - xfs /dev/b rw,prjquota\n',
    );
    const machine = new Machine(scratch.path);
    const rootOptions = { root, searchPath: '', probeOverlayUpper: async () => undefined };
    const looks = [...kernelLooks(machine), ...rootLooks(machine, rootOptions)];
    const { lines } = await lookAll(looks, 5_000);
    const verdicts = (topic: string): object =>
      Object.fromEntries(
        lines.filter((one) => one.topic === topic).map(({ name, verdict }) => [name, verdict]),
      );
    assert.deepEqual(verdicts('kernel'), {
      overlay: 'problem',
      'overlay index': 'ok',
      ext4: 'ok',
      xfs: 'note',
      erofs: 'note',
      FUSE: 'problem',
      'FUSE resend': 'note',
      'loop devices': 'problem',
    });
    assert.equal(lineOf(lines, 'kernel', 'xfs').next, 'modprobe xfs');
    assert.match(lineOf(lines, 'root', 'mount propagation').found, /^\/data is private/);
    assert.equal(lineOf(lines, 'root', 'project quota').verdict, 'ok');
  } finally {
    await scratch.dispose();
  }
});

test('a look that fails is a problem with its reason, and fails no other', async () => {
  const place = { topic: 'x', how: '/x' };
  const { lines, hangs } = await lookAll(
    [
      { ...place, name: 'bad', look: () => Promise.reject(new Error('the disk is gone')) },
      { ...place, name: 'good', look: async () => ({ verdict: 'ok', found: 'fine' }) },
      { ...place, name: 'stuck', look: () => new Promise(() => undefined) },
    ],
    50,
  );
  assert.deepEqual(
    lines.map(({ name, verdict, found }) => [name, verdict, found]),
    [
      ['bad', 'problem', 'the disk is gone'],
      ['good', 'ok', 'fine'],
      ['stuck', 'problem', 'no answer within 50 ms'],
    ],
  );
  assert.ok(hangs);
});
