// A tar of 1 GiB like the layer of an image: many small files, a few large ones, links, devices,
// extended attributes, holes. The same bytes every time.
import { closeSync, openSync, writeSync } from 'node:fs';

const blockBytes = 512;
const totalBytes = 2 ** 30;
const modified = 1_700_000_000;

/** What of a tar there is most of. */
export interface LayerTar {
  readonly bytes: number;
  readonly entries: number;
}

interface Member {
  readonly path: string;
  readonly type: '0' | '1' | '2' | '3' | '5' | 'x';
  readonly mode: number;
  readonly link?: string;
  readonly records?: Readonly<Record<string, string>>;
}

/** A generator of numbers below 2^32 that is the same everywhere. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');

function headerOf({ path, type, mode, link = '' }: Member, bytes: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(path, 0, 100);
  block.write(octal(mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(bytes, 11), 124);
  block.write(octal(modified, 11), 136);
  block.write(' '.repeat(8), 148);
  block.write(type, 156);
  block.write(link, 157, 100);
  block.write('ustar\u000000', 257);
  block.write(octal(type === '3' ? 1 : 0, 7), 329);
  block.write(octal(type === '3' ? 3 : 0, 7), 337);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\u0000 `, 148);
  return block;
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length++;
  return `${length} ${key}=${value}\n`;
}

class Writer {
  bytes = 0;
  entries = 0;
  readonly #descriptor: number;
  readonly #random: (below: number) => number;
  readonly #content: Buffer;

  constructor(descriptor: number, random: (below: number) => number) {
    this.#descriptor = descriptor;
    this.#random = random;
    // Half of it is text-like, which compressors find something in; none of it is zeros.
    this.#content = Buffer.alloc(8 << 20);
    for (let at = 0; at < this.#content.length; at++) {
      const isText = (at >> 16) % 2 === 0;
      this.#content[at] = isText ? 97 + random(16) : 1 + random(255);
    }
  }

  write(bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#descriptor, bytes, done, bytes.length - done);
    }
    this.bytes += bytes.length;
  }

  add(member: Member, content: number | Buffer = 0): void {
    this.entries++;
    if (member.records !== undefined) {
      const records = Buffer.from(
        Object.entries(member.records)
          .map(([key, value]) => paxRecord(key, value))
          .join(''),
      );
      this.write(headerOf({ path: 'PaxHeaders/x', type: 'x', mode: 0o644 }, records.length));
      this.#writePadded(records);
    }
    const length = typeof content === 'number' ? content : content.length;
    this.write(headerOf(member, length));
    if (typeof content !== 'number') return this.#writePadded(content);
    for (let left = length; left > 0;) {
      const start = this.#random(this.#content.length / 2);
      const piece = Math.min(left, this.#content.length / 2);
      this.write(this.#content.subarray(start, start + piece));
      left -= piece;
    }
    this.#pad(length);
  }

  #writePadded(bytes: Buffer): void {
    this.write(bytes);
    this.#pad(bytes.length);
  }

  #pad(length: number): void {
    this.write(Buffer.alloc((blockBytes - (length % blockBytes)) % blockBytes));
  }
}

function addSmallFiles(writer: Writer, random: (below: number) => number): void {
  for (let folder = 0; folder < 1_500; folder++) {
    const path = `usr/share/part${folder % 30}/folder${folder}`;
    writer.add({ path: `${path}/`, type: '5', mode: 0o755 });
    for (let at = 0; at < 20; at++) {
      const mode = at === 0 ? 0o755 : 0o644;
      // Evenly over powers of two from 64 bytes to 64 KiB, so that most are below a few KiB.
      const bytes = Math.floor(64 * 2 ** (random(1_000) / 100));
      const records =
        at === 1 ? { records: { 'SCHILY.xattr.user.note': `of file ${folder}` } } : {};
      writer.add({ path: `${path}/file-${at}.txt`, type: '0', mode, ...records }, bytes);
    }
    const link = `${path}/file-0.txt`;
    writer.add({ path: `${path}/hard`, type: '1', mode: 0o755, link });
    writer.add({ path: `${path}/soft`, type: '2', mode: 0o777, link: 'file-2.txt' });
  }
}

function addSparseFiles(writer: Writer): void {
  for (let at = 0; at < 20; at++) {
    const size = 64 << 20;
    const parts = Array.from({ length: 8 }, (_, part) => [part << 22, 16_384] as const);
    const map = Buffer.alloc(blockBytes);
    map.write(`${parts.length}\n${parts.map(([from, bytes]) => `${from}\n${bytes}\n`).join('')}`);
    const data = Buffer.alloc(8 * 16_384, `sparse ${at} `);
    const records = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': `var/lib/sparse-${at}`,
      'GNU.sparse.realsize': String(size),
    };
    const path = `var/lib/GNUSparseFile.0/sparse-${at}`;
    writer.add({ path, type: '0', mode: 0o600, records }, Buffer.concat([map, data]));
  }
}

/** Writes the tar into a new file. */
export function writeLayerTar(path: string): LayerTar {
  const descriptor = openSync(path, 'wx');
  try {
    const random = makeRandom(8);
    const writer = new Writer(descriptor, random);
    writer.add({ path: 'dev/', type: '5', mode: 0o755 });
    writer.add({ path: 'dev/null', type: '3', mode: 0o666 });
    addSmallFiles(writer, random);
    addSparseFiles(writer);
    for (let at = 0; at < 500; at++) {
      const bytes = 64 * 1024 + random(960 * 1024);
      writer.add({ path: `usr/lib/library-${at}.so`, type: '0', mode: 0o644 }, bytes);
    }
    for (let at = 0; at < 4; at++) {
      writer.add({ path: `opt/large-${at}`, type: '0', mode: 0o755 }, 64 << 20);
    }
    const rest = totalBytes - writer.bytes - 3 * blockBytes;
    writer.add({ path: 'opt/rest', type: '0', mode: 0o755 }, rest);
    writer.write(Buffer.alloc(2 * blockBytes));
    return { bytes: writer.bytes, entries: writer.entries };
  } finally {
    closeSync(descriptor);
  }
}
