// A tree of files of all kinds, and what is in a tree, to hold one against another.
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sha256 } from './layer-tool.ts';

/** Files around the sizes of blocks and pages, half of their bytes hard to compress. */
export function makeTree(directory: string): void {
  mkdirSync(directory);
  const sizes = [0, 1, 511, 512, 4095, 4096, 4097, 65_536, 300_001, 1 << 20, 3_000_000];
  for (const depth of ['', 'a', 'a/b', 'a/b/ç']) {
    mkdirSync(join(directory, depth), { recursive: true });
    for (const size of sizes) {
      const text = Buffer.alloc(size, `${depth} holds ${size} bytes. `);
      randomBytes(size >> 1).copy(text);
      writeFileSync(join(directory, depth, `of ${size}`), text);
    }
  }
  for (let number = 0; number < 300; number += 1) {
    writeFileSync(join(directory, 'a', `small-${number}`), `${number}`.repeat(number));
  }
  writeFileSync(join(directory, 'holes'), 'begin');
  truncateSync(join(directory, 'holes'), 5_000_000);
  chmodSync(join(directory, 'holes'), 0o4711);
  linkSync(join(directory, 'holes'), join(directory, 'a', 'also-holes'));
  symlinkSync('a/b', join(directory, 'link'));
  symlinkSync('x'.repeat(900), join(directory, 'long-link'));
}

/** Every path below a directory, with what is there. */
export function contentOf(directory: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    if (name === 'lost+found') continue;
    const path = join(directory, name);
    const status = lstatSync(path);
    const content = status.isSymbolicLink()
      ? readlinkSync(path)
      : status.isFile()
        ? `${status.nlink} ${status.size} ${sha256(readFileSync(path))}`
        : '';
    found.set(name, `${status.mode.toString(8)} ${status.uid} ${content}`);
  }
  return found;
}
