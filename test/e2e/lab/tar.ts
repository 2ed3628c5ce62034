// Writes tar archives: the same bytes for the same entries. Names that do not fit the old header
// go into an extended one (pax).

export interface TarEntry {
  /** Relative, without a slash at the end. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'character';
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly content?: Buffer;
  /** Where a link leads; of a hard link, the path of an earlier entry. */
  readonly target?: string;
  readonly device?: readonly [major: number, minor: number];
}

const blockSizeBytes = 512;
const nameSizeBytes = 100;
// One moment for everything, so that the same content is the same archive.
export const tarTimeSeconds = Date.UTC(2024, 0, 1) / 1000;

const typeFlags = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  directory: '5',
  fifo: '6',
} as const;

interface Header {
  readonly name: string;
  readonly typeFlag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly target: string;
  readonly device: readonly [number, number];
}

function header(fields: Header): Buffer {
  const block = Buffer.alloc(blockSizeBytes);
  const octal = (value: number, offset: number, width: number): void => {
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1');
  };
  block.write(fields.name, 0, nameSizeBytes, 'utf8');
  octal(fields.mode, 100, 8);
  octal(fields.uid, 108, 8);
  octal(fields.gid, 116, 8);
  octal(fields.sizeBytes, 124, 12);
  octal(tarTimeSeconds, 136, 12);
  // The checksum counts its own place as spaces.
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(fields.typeFlag, 156, 'latin1');
  block.write(fields.target, 157, nameSizeBytes, 'utf8');
  block.write('ustar\u000000', 257, 'latin1');
  octal(fields.device[0], 329, 8);
  octal(fields.device[1], 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function padded(content: Buffer): readonly Buffer[] {
  const rest = content.length % blockSizeBytes;
  return rest === 0 ? [content] : [content, Buffer.alloc(blockSizeBytes - rest)];
}

/** A pax record holds its own length, which counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const restBytes = Buffer.byteLength(rest);
  let length = restBytes;
  while (String(length).length + restBytes !== length) {
    length = String(length).length + restBytes;
  }
  return `${length}${rest}`;
}

const fitsHeader = (name: string): boolean =>
  name.length <= nameSizeBytes && /^[\x20-\x7e]*$/.test(name);

function extension(name: string, target: string): readonly Buffer[] {
  const records = [
    ...(fitsHeader(name) ? [] : [paxRecord('path', name)]),
    ...(fitsHeader(target) ? [] : [paxRecord('linkpath', target)]),
  ];
  if (records.length === 0) return [];
  const content = Buffer.from(records.join(''));
  const fields = { uid: 0, gid: 0, target: '', device: [0, 0] } as const;
  const sizeBytes = content.length;
  return [
    header({ ...fields, name: 'PaxHeader', typeFlag: 'x', mode: 0o644, sizeBytes }),
    ...padded(content),
  ];
}

function entryBlocks(entry: TarEntry): readonly Buffer[] {
  const { kind, mode, uid = 0, gid = 0, content = Buffer.alloc(0), target = '' } = entry;
  const name = kind === 'directory' ? `${entry.path}/` : entry.path;
  const fields = { name, typeFlag: typeFlags[kind], mode, uid, gid, target };
  const sizeBytes = content.length;
  return [
    ...extension(name, target),
    header({ ...fields, sizeBytes, device: entry.device ?? [0, 0] }),
    ...padded(content),
  ];
}

/** The archive of these entries, in this order. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const end = Buffer.alloc(2 * blockSizeBytes);
  return Buffer.concat([...entries.flatMap(entryBlocks), end]);
}
