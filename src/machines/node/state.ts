// The folded state of the node stream.

/** Ids are reserved durably in blocks, so that a Prepare needs no event of its own for its id. */
export const idBlockSize = 1_000;

export interface NodeState {
  readonly revision: number;
  /** No id at or below this one is ever handed out by a later start. */
  readonly idsReservedUpTo: number;
  readonly bootId: string;
  readonly version: string;
  readonly startedAtUs: number;
  /** Whether the newest server has not yet recorded its end. */
  readonly isRunning: boolean;
  /**
   * Directories without a record up to this id are kept: history that could explain them is lost.
   */
  readonly orphansKeptUpTo: number;
  /** Events at or below this position may have been compacted away. */
  readonly horizonSeq: number;
}

export const initialNodeState: NodeState = {
  revision: 0,
  idsReservedUpTo: 0,
  orphansKeptUpTo: 0,
  bootId: '',
  version: '',
  startedAtUs: 0,
  isRunning: false,
  horizonSeq: 0,
};
