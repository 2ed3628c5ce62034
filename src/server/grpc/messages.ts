// The generated messages (scripts/generate-proto.ts). 64-bit integers are plain numbers: Long is
// switched off before the generated code runs, so that a bundle and a checkout decode alike.
// A number that does not fit exactly is not a safe integer; convert.ts refuses it.
import './plain-numbers.ts';

export { containerd, google, varve } from '../../../build/proto/messages.js';
