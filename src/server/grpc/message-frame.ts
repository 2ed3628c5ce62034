// gRPC's framing of a message in a stream: a flag for compression, the length in four bytes, the
// message.
import { status } from '@grpc/grpc-js';
import { requestBytesMax } from './limits.ts';
import type { StatusReply } from './status.ts';

const headerBytes = 5;

/** A message as it stands in a stream, not compressed. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headerBytes);
  return frame;
}

/** Puts the one message of a request together, however it was cut. Holds no more than one. */
export class RequestReader {
  #received: Buffer | undefined;
  #rest: Buffer[] = [];
  #receivedBytes = 0;

  /** A refusal as soon as it is clear that this is no request. */
  add(chunk: Buffer): StatusReply | undefined {
    this.#receivedBytes += chunk.length;
    if (this.#received === undefined) this.#received = chunk;
    else this.#rest.push(chunk);
    if (this.#receivedBytes < headerBytes) return undefined;
    const messageBytes = this.#messageBytes();
    if (messageBytes > requestBytesMax) {
      const details = `the request has ${messageBytes} bytes; at most ${requestBytesMax} are allowed`;
      return { code: status.RESOURCE_EXHAUSTED, details };
    }
    return this.#receivedBytes > headerBytes + messageBytes ? tooMany : undefined;
  }

  /** The message, once all was received. */
  end(): Buffer | StatusReply {
    if (this.#receivedBytes < headerBytes) return none;
    if (this.#receivedBytes < headerBytes + this.#messageBytes()) return none;
    const frame = this.#joined();
    return frame[0] === 0 ? frame.subarray(headerBytes) : compressed;
  }

  #messageBytes(): number {
    const first = this.#received;
    const header = first !== undefined && first.length >= headerBytes ? first : this.#joined();
    return header.readUInt32BE(1);
  }

  #joined(): Buffer {
    const first = this.#received ?? Buffer.alloc(0);
    if (this.#rest.length === 0) return first;
    this.#received = Buffer.concat([first, ...this.#rest]);
    this.#rest = [];
    return this.#received;
  }
}

const none: StatusReply = { code: status.UNIMPLEMENTED, details: 'the request has no message' };
const tooMany: StatusReply = {
  code: status.UNIMPLEMENTED,
  details: 'the request has more than one message',
};
const compressed: StatusReply = {
  code: status.INTERNAL,
  details: 'the message is compressed, but the request names no compression',
};
