// A sealed value is what stands in the database: eight hex digits of checksum, then the payload.
// The checksum covers the key too, so a value that turns up under another key (a flipped bit in a
// table's keys does that) is refused like an altered one.
import { crc32 } from 'node:zlib';

function checksum(key: string, payload: string): string {
  return crc32(key + payload)
    .toString(16)
    .padStart(8, '0');
}

export function seal(key: string, payload: string): string {
  return checksum(key, payload) + payload;
}

/** The payload, or undefined when the value is not what was stored under this key. */
export function unseal(key: string, value: string | undefined): string | undefined {
  if (value === undefined || value.length < 8) {
    return undefined;
  }
  const payload = value.slice(8);
  return checksum(key, payload) === value.slice(0, 8) ? payload : undefined;
}

/** The payload as JSON; undefined when the checksum or the syntax does not hold. */
export function unsealJson(key: string, value: string | undefined): unknown {
  const payload = unseal(key, value);
  if (payload === undefined) {
    return undefined;
  }
  try {
    return JSON.parse(payload);
  } catch {
    // A payload whose checksum holds but that is no JSON was not written by us: as good as damaged.
    return undefined;
  }
}
