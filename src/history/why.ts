// The history of a snapshot in plain sentences: what was asked and by whom, what was done, what
// failed and why, what is still going on. Pure text from events; the times are those recorded.
import {
  eventVersions,
  isDeviceEvent,
  isNodeEvent,
  toDomainEvent,
  type DomainEvent,
} from '../machines/event-types.ts';
import type { StoredEvent } from '../machines/kernel/envelope.ts';
import type { NodeEvent } from '../machines/node/events.ts';
import type { Labels, SnapshotEvent, SnapshotRole } from '../machines/snapshot/events.ts';
import { describeDevice } from './device-sentences.ts';
import {
  asker,
  causeText,
  done,
  failed,
  failureText,
  started,
  type Described,
} from './sentence-text.ts';
import { counted, humanSize, isoTime, printable, quoted } from './text.ts';

/** One sentence of a history. */
export interface Sentence {
  readonly globalSeq: number;
  readonly revision: number;
  readonly time: string;
  readonly type: string;
  readonly tone: Described['tone'];
  readonly text: string;
  readonly requestId: string | null;
}

/** The history of one snapshot, and what is going on with it at the end of it. */
export interface SnapshotHistory {
  readonly snapshotId: number;
  /** The key or name that it bore last. */
  readonly key: string;
  readonly sentences: readonly Sentence[];
  /** How it stands after the last sentence. */
  readonly now: string;
  /** Whether something is still going on. */
  readonly isInFlight: boolean;
  /** Positions lost for good among which events of it may have been. */
  readonly lost: readonly PositionRange[];
}

/** Positions of the log, both ends included. */
export interface PositionRange {
  readonly fromSeq: number;
  readonly toSeq: number;
}

/** What Inspect.Why answers and `varve why` prints. A key that came back has several histories. */
export interface WhyDocument {
  readonly format: 'varve-why';
  readonly version: 1;
  readonly key: string;
  readonly histories: readonly SnapshotHistory[];
}

/**
 * The document for `key` from the events of each snapshot that ever bore it. `lost`: positions
 * whose events no repair could save.
 */
export function whyDocument(
  key: string,
  streams: readonly (readonly StoredEvent[])[],
  lost: readonly PositionRange[] = [],
): WhyDocument {
  const histories = streams
    .filter((events) => events.length > 0)
    .map((events) => snapshotHistory(events, lost));
  return { format: 'varve-why', version: 1, key, histories };
}

/** Each event as a sentence. `events` are those of one stream, so that changed labels are named. */
export function whySentences(events: readonly StoredEvent[]): readonly Sentence[] {
  let baseLabels: Labels = {};
  return events.map((event) => {
    const sentence = sentenceOf(event, baseLabels);
    const data = event.data as { readonly labels?: Labels };
    if (data.labels !== undefined) baseLabels = data.labels;
    return sentence;
  });
}

/** One event as a sentence; without `baseLabels` an update's labels are given as they are then. */
export function sentenceOf(event: StoredEvent, baseLabels?: Labels): Sentence {
  const { text, tone } = describe(newest(event), baseLabels);
  return {
    globalSeq: event.globalSeq,
    revision: event.revision,
    time: isoTime(event.timeUs),
    type: event.type,
    tone,
    text,
    requestId: event.cause.requestId ?? null,
  };
}

// An event of a newer program is still told, by its type; only folding must refuse it.
function newest(event: StoredEvent): DomainEvent {
  const version = Object.hasOwn(eventVersions, event.type) ? eventVersions[event.type] : undefined;
  const isKnown = version !== undefined && event.schemaVersion <= version;
  if (isKnown) return toDomainEvent(event);
  return { ...event, type: `${event.type} (of a newer version)` } as unknown as DomainEvent;
}

/** The losses that may have hit a stream: those over which its revisions do not prove it whole. */
export function lossesOf(
  events: readonly StoredEvent[],
  lost: readonly PositionRange[],
): readonly PositionRange[] {
  return lost.filter(({ fromSeq, toSeq }) => {
    const firstIndex = events.findIndex((event) => event.globalSeq >= fromSeq);
    const before = firstIndex < 0 ? events.at(-1) : events[firstIndex - 1];
    const next = firstIndex < 0 ? [] : events.slice(firstIndex);
    const afterIndex = next.findIndex((event) => event.globalSeq > toSeq);
    const passed = afterIndex < 0 ? next : next.slice(0, afterIndex + 1);
    const last = passed.at(-1) ?? before;
    const isOver = last?.type === 'SnapshotRemoved' || last?.type === 'SnapshotPrepareFailed';
    const isProvenAtEnd = afterIndex >= 0 || isOver;
    const firstRevision = before?.revision ?? 0;
    return !isProvenAtEnd || last?.revision !== firstRevision + passed.length;
  });
}

/** The history of one snapshot from the events of its stream. */
export function snapshotHistory(
  events: readonly StoredEvent[],
  lost: readonly PositionRange[] = [],
): SnapshotHistory {
  let key = '';
  let snapshotId = 0;
  let pendingName = '';
  let attemptCount = 0;
  for (const event of events as readonly unknown[] as readonly SnapshotEvent[]) {
    if (event.type === 'SnapshotPrepared' || event.type === 'SnapshotPrepareFailed') {
      key = event.data.key;
      snapshotId = event.data.snapshotId;
    }
    if (event.type === 'SnapshotCommitStarted') pendingName = event.data.name;
    if (event.type === 'SnapshotCommitted') key = pendingName;
    if (event.type === 'SnapshotRemoveFailed') attemptCount += 1;
  }
  if (snapshotId === 0) snapshotId = Number(events[0]?.stream.replace('snapshot-', '') ?? 0);
  const { now, isInFlight } = standing(events, { key, pendingName, attemptCount });
  const sentences = whySentences(events);
  return { snapshotId, key, sentences, now, isInFlight, lost: lossesOf(events, lost) };
}

interface Names {
  readonly key: string;
  readonly pendingName: string;
  readonly attemptCount: number;
}

function standing(
  events: readonly StoredEvent[],
  names: Names,
): { readonly now: string; readonly isInFlight: boolean } {
  const relevant = events.filter((event) => event.type !== 'SnapshotLabelsUpdated');
  const last = relevant.at(-1) as unknown as SnapshotEvent | undefined;
  if (last === undefined) return { now: 'Nothing is recorded.', isInFlight: false };
  const since = isoTime(last.timeUs);
  switch (last.type) {
    case 'SnapshotPrepared':
      return {
        now: last.data.role === 'view' ? 'It is a view now.' : 'It is active now.',
        isInFlight: false,
      };
    case 'SnapshotPrepareFailed':
      return { now: 'It never came to be: the key is free.', isInFlight: false };
    case 'SnapshotCommitStarted':
      return {
        now: `Its commit as ${quoted(last.data.name)} is still going on, since ${since}.`,
        isInFlight: true,
      };
    case 'SnapshotCommitted':
      return { now: `It is committed now, as ${quoted(names.key)}.`, isInFlight: false };
    case 'SnapshotCommitFailed':
      return { now: 'It is active now: it can be used, and committed again.', isInFlight: false };
    case 'SnapshotRemoveDeferred':
      return { now: 'It is removed; its directory waits for Cleanup.', isInFlight: false };
    case 'SnapshotRemoveStarted':
      return {
        now: `It is removed; deleting its directory is still going on, since ${since}.`,
        isInFlight: true,
      };
    case 'SnapshotRemoveFailed':
      return {
        now:
          'It is removed; its directory is still there and is tried again ' +
          `(${counted(names.attemptCount, 'attempt')} failed, ` +
          `the last with ${printable(last.data.failure.code)}).`,
        isInFlight: true,
      };
    case 'SnapshotRemoved':
      return { now: 'It is gone: nothing of it is left on disk.', isInFlight: false };
    default:
      return {
        now: 'Its last event is of a kind that this version does not know.',
        isInFlight: false,
      };
  }
}

const roleNames: Readonly<Record<SnapshotRole, string>> = {
  imageLayer: 'image layer',
  initLayer: 'init layer',
  containerLayer: 'container layer',
  view: 'view',
};

function describe(event: DomainEvent, baseLabels: Labels | undefined): Described {
  if (isDeviceEvent(event)) return describeDevice(event);
  if (isNodeEvent(event)) return describeNode(event);
  return describeSnapshot(event, baseLabels);
}

function describeSnapshot(event: SnapshotEvent, baseLabels: Labels | undefined): Described {
  const by = causeText(event.cause);
  switch (event.type) {
    case 'SnapshotPrepared':
      return done(
        `${asker(event.cause, event.data.role === 'view' ? 'View' : 'Prepare')} asked for ` +
          `${quoted(event.data.key)} ${parentText(event.data)}; ` +
          `snapshot #${event.data.snapshotId} was made as ${article(roleNames[event.data.role])}` +
          `${labelCountText(event.data.labels)}.`,
      );
    case 'SnapshotPrepareFailed':
      return failed(
        `${asker(event.cause, event.data.role === 'view' ? 'View' : 'Prepare')} asked for ` +
          `${quoted(event.data.key)}; it failed: ${failureText(event.data.failure)}. ` +
          'The key was not taken.',
      );
    case 'SnapshotCommitStarted':
      return started(
        `${asker(event.cause, 'Commit')} asked to commit it as ${quoted(event.data.name)} ` +
          `${parentText(event.data)}; measuring it began.`,
      );
    case 'SnapshotCommitted':
      return done(
        `The commit succeeded${by}: ${humanSize(event.data.sizeBytes)} in ` +
          `${counted(event.data.inodeCount, 'inode')}.`,
      );
    case 'SnapshotCommitFailed':
      return failed(
        `The commit failed${by}: ${failureText(event.data.failure)}. It is active again.`,
      );
    case 'SnapshotLabelsUpdated':
      return done(
        `${asker(event.cause, 'Update')} changed labels: ` +
          `${labelChanges(baseLabels, event.data.labels)}.`,
      );
    case 'SnapshotRemoveDeferred':
      return done(
        `${asker(event.cause, 'Remove')} asked to remove it; its directory is left for Cleanup.`,
      );
    case 'SnapshotRemoveStarted':
      return started(
        `${asker(event.cause, 'Remove')} asked to remove it; deleting its directory began.`,
      );
    case 'SnapshotRemoved':
      return done(`Its directory was deleted${by}: nothing of it is left on disk.`);
    case 'SnapshotRemoveFailed':
      return failed(
        `Deleting its directory failed${by}: ${failureText(event.data.failure)}. ` +
          'It is tried again.',
      );
    default:
      return done(`${printable((event as { type: string }).type)} was recorded.`);
  }
}

function describeNode(event: NodeEvent): Described {
  switch (event.type) {
    case 'NodeStarted':
      return done(
        `varve ${printable(event.data.version)} started (process ${event.data.pid}, ` +
          `boot ${printable(event.data.bootId)}).`,
      );
    case 'NodeStopped':
      return done(`varve stopped: ${printable(event.data.reason)}.`);
    case 'IdsReserved':
      return done(`Snapshot ids up to ${event.data.upTo} were reserved.`);
    case 'OrphansRemoved':
      return done(
        `Directories without a record, left by a crash, were deleted: ` +
          `${event.data.snapshotIds.map((id) => `#${id}`).join(', ')}.`,
      );
    case 'LogCompacted':
      return done(
        `History through ${event.data.horizonSeq} was dropped ` +
          `(${counted(event.data.removedEventCount, 'event')}).`,
      );
    case 'LogRepaired':
      return done(
        'The log was repaired: lost ' +
          (event.data.lost.length === 0 ? 'nothing.' : `${lostText(event.data.lost)}.`),
      );
  }
}

const lostText = (lost: readonly PositionRange[]): string =>
  lost
    .map(({ fromSeq, toSeq }) => (fromSeq === toSeq ? `${fromSeq}` : `${fromSeq}–${toSeq}`))
    .join(', ');

function parentText(data: { readonly parent: string; readonly parentId: number | null }): string {
  if (data.parent === '') return 'without a parent';
  const id = data.parentId === null ? '' : ` (#${data.parentId})`;
  return `on parent ${quoted(data.parent)}${id}`;
}

function article(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

function labelCountText(labels: Labels): string {
  const count = Object.keys(labels).length;
  return count === 0 ? '' : ` with ${counted(count, 'label')}`;
}

function labelChanges(before: Labels | undefined, after: Labels): string {
  if (before === undefined) {
    const all = Object.entries(after).map(([name, value]) => `${quoted(name)} is ${quoted(value)}`);
    return all.length === 0 ? 'none is left' : all.join(', ');
  }
  const changes: string[] = [];
  for (const [name, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, name)) changes.push(`${quoted(name)} set to ${quoted(value)}`);
    else if (before[name] !== value) changes.push(`${quoted(name)} changed to ${quoted(value)}`);
  }
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name)) changes.push(`${quoted(name)} taken away`);
  }
  return changes.length === 0 ? 'nothing is different' : changes.join(', ');
}
