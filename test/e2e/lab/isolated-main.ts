// What isolation.ts starts: with mounts, processes and a network of its own, it makes places of the
// whole machine its own, too, and goes on as the program that it is given.
//
//   node isolated-main.ts PROGRAM ARGUMENT...
import { mkdirSync, readFileSync } from 'node:fs';
import { runCommand, tryCommand } from './command.ts';

/** Where containerd, network plugins and kubelet put things, whatever they are told. */
const ownPlaces = ['/run', '/var/lib', '/var/log', '/opt'];

interface MountEntry {
  readonly point: string;
  readonly type: string;
  readonly source: string;
}

function mounts(): readonly MountEntry[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [place = '', kind = ''] = line.split(' - ');
    const point = (place.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const [type = '', source = ''] = kind.split(' ');
    return { point, type, source };
  });
}

/** Devices of others stay in use by what is mounted here, even when they have unmounted them. */
async function letGoOfOthers(): Promise<void> {
  const isOfOthers = ({ point, type, source }: MountEntry): boolean =>
    point !== '/' && (/^(overlay|fuse)/.test(type) || /^\/dev\/(loop|sd|ublk)/.test(source));
  for (const { point } of mounts().filter(isOfOthers).reverse()) {
    // What lay on it is gone with it.
    await tryCommand(['umount', '-l', point]);
  }
}

await runCommand(['mount', '--make-rprivate', '/']);
await letGoOfOthers();
for (const place of ownPlaces) await runCommand(['mount', '-t', 'tmpfs', 'tmpfs', place]);
// Network plugins pass a pod's network on by a mount here.
mkdirSync('/run/netns');
await runCommand(['mount', '-t', 'tmpfs', 'tmpfs', '/run/netns']);
await runCommand(['mount', '--make-shared', '/run/netns']);
await runCommand(['ip', 'link', 'set', 'lo', 'up']);

process.argv.splice(1, 1);
await import(process.argv[1] ?? '');
