// The envelope of a recorded event: what every event carries besides its own data.
// Positions are gap-free: globalSeq over the whole log, revision within a stream, both from 1.

/**
 * Why an event was recorded. `requestId` is also in the log lines of that request; an `effect`
 * bears method, request and namespace of the call that began it.
 */
export interface Cause {
  readonly kind: 'rpc' | 'recovery' | 'operator' | 'timer' | 'effect';
  /** The gRPC method (`Prepare`, …) or the operator's command. */
  readonly method?: string;
  readonly requestId?: string;
  /** containerd's namespace header, when the caller sent one. */
  readonly namespace?: string;
}

/** An event as decide() produces it: not yet numbered. */
export interface NewEvent<Type extends string = string, Data = unknown> {
  readonly type: Type;
  readonly data: Data;
}

/** A numbered event. `timeUs` is microseconds since the Unix epoch (UTC). */
export interface RecordedEvent<Type extends string = string, Data = unknown> extends NewEvent<
  Type,
  Data
> {
  readonly globalSeq: number;
  /** `node` or `snapshot-<id>`. */
  readonly stream: string;
  readonly revision: number;
  readonly schemaVersion: number;
  readonly timeUs: number;
  readonly cause: Cause;
}

/**
 * An event as it stands in the log: `hash` covers the event and `previousHash` (its stream's
 * chain).
 */
export interface StoredEvent extends RecordedEvent {
  readonly previousHash: string;
  readonly hash: string;
}

/** Why an effect failed, as recorded in a `…Failed` event and shown to people. */
export interface EffectFailure {
  /** The step that failed, e.g. `mkdir`, `disk-usage`, `unlinkat`. */
  readonly step: string;
  /** The errno name, or `ETIMEDOUT` for a passed deadline. */
  readonly code: string;
  readonly message: string;
  readonly path?: string;
}
