// The content of the image that tests and the demo use: a busybox root, files of many kinds, and
// changes to them by every means a layer has.
import { readFileSync } from 'node:fs';
import { runCommand } from './command.ts';
import type { TarEntry } from './tar.ts';

const file = (path: string, content: string | Buffer, mode = 0o644): TarEntry => ({
  path,
  kind: 'file',
  mode,
  content: Buffer.from(content),
});

const directory = (path: string, mode = 0o755): TarEntry => ({ path, kind: 'directory', mode });

const symlink = (path: string, target: string): TarEntry => ({
  path,
  kind: 'symlink',
  mode: 0o777,
  target,
});

/** In a layer: removes what lower layers have at this path. */
function whiteout(path: string): TarEntry {
  const slash = path.lastIndexOf('/') + 1;
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`, '');
}

/** In a layer: hides what lower layers have in this directory. */
const opaque = (path: string): TarEntry => file(`${path}/.wh..wh..opq`, '');

/** Layer 1: busybox with a link for each of its commands. */
export async function busyboxLayer(busybox: string): Promise<readonly TarEntry[]> {
  const names = (await runCommand([busybox, '--list'])).split('\n').filter((name) => name !== '');
  const links = [...new Set(names)]
    .filter((name) => name !== 'busybox')
    .sort()
    .map((name) => symlink(`bin/${name}`, 'busybox'));
  return [
    directory('bin'),
    file('bin/busybox', readFileSync(busybox), 0o755),
    ...links,
    directory('dev'),
    directory('etc'),
    file('etc/group', 'root:x:0:\n'),
    file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n'),
    directory('proc'),
    directory('root', 0o700),
    directory('sys'),
    directory('tmp', 0o1777),
  ];
}

/** Layer 2: files of many kinds. */
export function variedLayer(): readonly TarEntry[] {
  const small = Array.from({ length: 50 }, (_, index) => index + 1).map((number) =>
    file(`data/small/${number}`, `small file ${number}\n`),
  );
  const long = 'long-'.repeat(40);
  return [
    directory('data'),
    file('data/big', Buffer.alloc(2 << 20, 'big file ')),
    symlink('data/dangling', 'nowhere'),
    directory('data/deep'),
    directory('data/deep/er', 0o750),
    file('data/deep/er/file', 'deep\n'),
    file('data/empty', ''),
    { path: 'data/fifo', kind: 'fifo', mode: 0o600 },
    file('data/gone', 'gone\n'),
    directory('data/gone-dir'),
    file('data/gone-dir/file', 'gone\n'),
    file('data/hard1', 'linked\n'),
    { path: 'data/hard2', kind: 'hardlink', mode: 0o644, target: 'data/hard1' },
    file(`data/${long}`, 'long\n'),
    file('data/naïve-文件', 'not ASCII\n'),
    { path: 'data/null', kind: 'character', mode: 0o666, device: [1, 3] },
    directory('data/opaque'),
    file('data/opaque/hidden', 'hidden\n'),
    { ...file('data/owned', 'owned\n'), uid: 1000, gid: 1000 },
    file('data/replaced', 'before\n'),
    directory('data/small', 0o1777),
    ...small,
    file('data/suid', 'suid\n', 0o4755),
    symlink('data/symlink', '../bin/busybox'),
    directory('data/turned'),
    file('data/turned/file', 'a directory becomes a file\n'),
  ];
}

/**
 * Layer 3: what layer 2 holds is replaced, removed, and a directory begun anew. Of two names of a
 * file one is written again, with a further name: that one parts.
 */
export function changingLayer(): readonly TarEntry[] {
  return [
    directory('data'),
    whiteout('data/gone'),
    whiteout('data/gone-dir'),
    directory('data/opaque'),
    opaque('data/opaque'),
    file('data/opaque/shown', 'shown\n'),
    file('data/hard1', 'parted\n'),
    { path: 'data/hard3', kind: 'hardlink', mode: 0o644, target: 'data/hard1' },
    file('data/replaced', 'after\n'),
    file('data/turned', 'now a file\n'),
  ];
}

/** A further layer, of one file. */
export function extraLayer(number: number): readonly TarEntry[] {
  return [directory('extra'), file(`extra/${number}`, `extra layer ${number}\n`)];
}
