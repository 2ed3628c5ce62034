// The form in which recorded sessions of real clients are kept, and how it is read. A session is
// one run against one snapshotter: a header line, then a line for each step in order of arrival.
// Hexadecimal digests are held once, in the header, and stand in the lines as {index}. Paths of
// snapshots stand as `<id>/fs` and `<id>/work`, with the ids of the recorded snapshotter.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type MethodName =
  | 'Prepare'
  | 'View'
  | 'Mounts'
  | 'Commit'
  | 'Remove'
  | 'Stat'
  | 'Update'
  | 'List'
  | 'Usage'
  | 'Cleanup';

export interface TraceInfo {
  readonly name: string;
  readonly parent?: string;
  readonly kind: 'VIEW' | 'ACTIVE' | 'COMMITTED';
  readonly labels?: Readonly<Record<string, string>>;
}

export interface TraceRequest {
  readonly key?: string;
  readonly name?: string;
  readonly parent?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Field mask of Update. */
  readonly paths?: readonly string[];
  readonly filters?: readonly string[];
}

/** What the recorded snapshotter answered; without `code` it was OK. */
export interface TraceReply {
  readonly code?: 'ALREADY_EXISTS';
  /** With ALREADY_EXISTS: the committed snapshot that the recorded snapshotter had instead. */
  readonly standsFor?: TraceInfo;
  /** Each as `type source option,option`. */
  readonly mounts?: readonly string[];
  readonly info?: TraceInfo;
  readonly infos?: readonly TraceInfo[];
  readonly inodeCount?: number;
}

export interface TraceCall {
  readonly method: MethodName;
  readonly request: TraceRequest;
  readonly reply: TraceReply;
  /** The namespace header, where the client sent one. */
  readonly namespace?: string;
  /** Calls still under way on arrival, as distances back from this one. */
  readonly during?: readonly number[];
  /** True for a call that is missing from the recording and follows from a later answer of List. */
  readonly inferred?: true;
}

export type TraceStep =
  { readonly command: string } | { readonly restart: true } | { readonly call: TraceCall };

export interface Trace {
  readonly session: string;
  readonly client: string;
  readonly steps: readonly TraceStep[];
}

export const recordedDirectory = join(import.meta.dirname, 'recorded');

/** Writes a session in the kept form. */
export function formatTrace(trace: Trace): string {
  const indexes = new Map<string, number>();
  const lines = trace.steps.map((step) => {
    const line = JSON.stringify(step);
    if (/\{\d+\}/.test(line)) throw new Error(`session ${trace.session}: cannot hold ${line}`);
    return line.replace(/[0-9a-f]{64}/g, (digest) => {
      const index = indexes.get(digest) ?? indexes.size;
      indexes.set(digest, index);
      return `{${index}}`;
    });
  });
  const header = JSON.stringify({ client: trace.client, digests: [...indexes.keys()] });
  return `${[header, ...lines].join('\n')}\n`;
}

function parseTrace(session: string, text: string): Trace {
  const [first = '', ...lines] = text.trimEnd().split('\n');
  const header = JSON.parse(first) as { client: string; digests: readonly string[] };
  const expand = (line: string): TraceStep =>
    JSON.parse(
      line.replace(/\{(\d+)\}/g, (_, index: string) => {
        const digest = header.digests[Number(index)];
        if (digest === undefined) throw new Error(`session ${session}: no digest ${index}`);
        return digest;
      }),
    ) as TraceStep;
  return { session, client: header.client, steps: lines.map(expand) };
}

/** Reads all kept sessions, in order of their names. */
export function readTraces(): readonly Trace[] {
  return readdirSync(recordedDirectory)
    .sort()
    .map((name) => {
      const text = readFileSync(join(recordedDirectory, name), 'utf8');
      return parseTrace(name.replace(/\.jsonl$/, ''), text);
    });
}
