// A process that writes to a new store until it is killed: appends, and beside them checkpoints and
// compactions, so that LevelDB's log is written from several sides. It prints the position of every
// append that was acknowledged.
//
//   killed-writer.ts ROOT
import { writeSync } from 'node:fs';
import { EventNumbers } from './events.ts';
import { openSound } from './opened-store.ts';

const streams = Array.from({ length: 600 }, (_, index) => `snapshot-${index + 1}`);
const numbers = new EventNumbers();
const { store } = (await openSound(process.argv[2] ?? '')).opened;
await store.append(numbers.batch(streams));

let roundCount = 0;
let isWritingBeside = false;

async function writeBeside(): Promise<void> {
  isWritingBeside = true;
  roundCount += 1;
  const checkpoint = numbers.checkpoint(streams);
  await store.writeCheckpoint(checkpoint);
  if (roundCount % 3 === 0) await store.compact(checkpoint, new Set(streams));
  isWritingBeside = false;
}

for (let count = 0; ; count += 1) {
  if (!isWritingBeside) void writeBeside();
  await store.append(numbers.batch(streams.slice(count % 500, (count % 500) + 30)));
  writeSync(1, `${store.lastSeq}\n`);
}
