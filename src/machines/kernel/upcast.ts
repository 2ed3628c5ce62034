// Old versions of events become the newest before anything else sees them. An event is never edited
// in the log: a changed shape is a new version and one pure function from the version before.
import { invariant, WrittenByNewer } from './invariant.ts';

/** Upcasters by `Type@version`: from that version's data to the next version's. */
export type Upcasters = Readonly<Record<string, (data: unknown) => unknown>>;

interface Versioned {
  readonly type: string;
  readonly schemaVersion: number;
  readonly data: unknown;
}

/**
 * Brings an event to the newest version; throws for a type or version that this program is too old
 * for.
 */
export function upcast<Event extends Versioned>(
  event: Event,
  newest: Readonly<Record<string, number>>,
  upcasters: Upcasters,
): Event {
  const version = Object.hasOwn(newest, event.type) ? newest[event.type] : undefined;
  if (version === event.schemaVersion) return event;
  if (version === undefined || event.schemaVersion > version) {
    throw new WrittenByNewer(`event ${event.type} version ${event.schemaVersion}`);
  }
  let data = event.data;
  for (let from = event.schemaVersion; from < version; from++) {
    const step = upcasters[`${event.type}@${from}`];
    invariant(step !== undefined, `no upcaster for ${event.type} version ${from}`);
    data = step(data);
  }
  return { ...event, data, schemaVersion: version };
}
