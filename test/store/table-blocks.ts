// Where a table's blocks lie, so that a test can damage the one that holds a key.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decompressSnappy } from '../../src/adapters/level/snappy.ts';
import { ByteReader } from '../../src/adapters/level/stored-entry.ts';

const footerBytes = 48;
const internalSuffixBytes = 8;
const snappy = 1;

export interface Block {
  readonly offset: number;
  readonly length: number;
}

function readBlock(reader: ByteReader): Block {
  return { offset: reader.number(), length: reader.number() };
}

/** The entries of a sound block. */
export function entriesOf(
  table: Buffer,
  { offset, length }: Block,
): { key: string; value: Buffer }[] {
  const raw = table.subarray(offset, offset + length);
  const block = table[offset + length] === snappy ? decompressSnappy(raw) : raw;
  const restartCount = block.readUInt32LE(block.length - 4);
  const end = block.length - 4 * (restartCount + 1);
  const reader = new ByteReader(block);
  const entries: { key: string; value: Buffer }[] = [];
  let key = Buffer.alloc(0);
  while (reader.position < end) {
    const sharedBytes = reader.number();
    const unsharedBytes = reader.number();
    const valueBytes = reader.number();
    key = Buffer.concat([key.subarray(0, sharedBytes), reader.bytes(unsharedBytes)]);
    const value = reader.bytes(valueBytes);
    entries.push({ key: key.toString('latin1', 0, key.length - internalSuffixBytes), value });
  }
  return entries;
}

/** The blocks that a table's index names, in the order of their keys. */
export function blocksOf(table: Buffer): Block[] {
  const footer = new ByteReader(table.subarray(table.length - footerBytes));
  readBlock(footer);
  const index = entriesOf(table, readBlock(footer));
  return index.map(({ value }) => readBlock(new ByteReader(value)));
}

export interface BrokenBlock {
  /** The name of the table. */
  readonly table: string;
  /** What LevelDB can no longer read there. */
  readonly keys: readonly string[];
}

/** Makes the block that holds a key, in the newest table that does, unreadable for LevelDB. */
export function breakBlock(root: string, key: string): BrokenBlock {
  const names = readdirSync(join(root, 'log')).filter((name) => name.endsWith('.ldb'));
  for (const name of names.sort().reverse()) {
    const path = join(root, 'log', name);
    const table = readFileSync(path);
    for (const block of blocksOf(table)) {
      const keys = entriesOf(table, block).map((entry) => entry.key);
      if (!keys.includes(key)) continue;
      // A length that cannot be: decompressing fails.
      table.fill(0xff, block.offset, block.offset + 5);
      table[block.offset + block.length] = snappy;
      writeFileSync(path, table);
      return { table: name, keys };
    }
  }
  throw new Error(`no table holds ${key}`);
}
