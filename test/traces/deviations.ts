// Where varve is meant to answer otherwise than the recorded snapshotter did. Each deviation says
// which calls it is about and what is expected instead; everything else must be equal.
import type { Trace, TraceCall, TraceReply } from './trace.ts';

export interface Deviation {
  readonly name: string;
  readonly reason: string;
  applies(session: string, call: TraceCall): boolean;
  /** The expected answer; `ordinary` stands for the mounts of an ordinary active snapshot. */
  instead(call: TraceCall): TraceReply | 'ordinary';
}

const referenceLabel = 'containerd.io/snapshot.ref';
const parentChainLabel = 'containerd.io/snapshot/parent-chain-id';

const has = (call: TraceCall, label: string): boolean =>
  Object.hasOwn(call.request.labels ?? {}, label);

export const deviations: readonly Deviation[] = [
  {
    name: 'layer taken from a remote snapshot',
    reason:
      'the recorded snapshotter had every layer that a client names in snapshot.ref; varve has ' +
      'no remote layers, so the client is given mounts to unpack it. The replay then commits the ' +
      'layer in its place, so that every later call meets what it met when it was recorded.',
    applies: (session, call) =>
      session.includes('remote') &&
      call.reply.code === 'ALREADY_EXISTS' &&
      has(call, referenceLabel),
    instead: () => 'ordinary',
  },
  {
    name: 'staged layer',
    reason:
      'the recorded snapshotter answered with read-only mounts, by which a client takes the ' +
      'layer for complete; varve has no content for it and must give writable ones.',
    applies: (session, call) =>
      session === 'ctr-2.4-remote-2' && call.method === 'Prepare' && has(call, referenceLabel),
    instead: () => 'ordinary',
  },
  {
    name: 'parallel unpack on bind mounts',
    reason:
      'the recorded snapshotter gave bind mounts to layers whose parent comes at Commit; a ' +
      'client loses whiteouts on them, so varve gives overlay mounts with only an upper directory.',
    applies: (session, call) =>
      session === 'ctr-2.4-rebase' &&
      call.method === 'Prepare' &&
      call.request.parent === undefined &&
      has(call, parentChainLabel),
    instead: (call) => ({
      mounts: (call.reply.mounts ?? []).map((mount) =>
        mount.replace(/^bind (\S+) rw,rbind$/, 'overlay overlay upperdir=$1'),
      ),
    }),
  },
];

/** The deviation that a call falls under, if any. */
export const deviationOf = (trace: Trace, call: TraceCall): Deviation | undefined =>
  deviations.find((deviation) => deviation.applies(trace.session, call));
