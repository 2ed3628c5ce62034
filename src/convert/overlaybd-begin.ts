// What a layer begins with that is an overlaybd layer in its archive, whatever its annotations say.
import { Header } from 'tar/header';

const blockBytes = 512;
/** One header, or one more with its continuation for the size of a large one. */
const blockCountMax = 4;
const layerName = 'overlaybd.commit';
const magics = [Buffer.from('ZFile\0'), Buffer.from('LSMT\0')];

/** Whether the first bytes of an archive that is not compressed are those of such a layer. */
export function beginsAsOverlaybd(begin: Buffer): boolean {
  for (let offset = 0; offset < blockCountMax * blockBytes; offset += blockBytes) {
    const content = begin.subarray(offset + blockBytes);
    if (!magics.some((magic) => content.subarray(0, magic.length).equals(magic))) continue;
    const header = new Header(begin, offset);
    if (header.cksumValid && header.path === layerName) return true;
  }
  return false;
}
