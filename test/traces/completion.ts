// Recordings may begin within a session or leave calls out. Where an unfiltered List shows
// snapshots that no recorded call made, or misses some that none removed, the calls that explain it
// are put in before that List, marked as inferred.
import type { TraceCall, TraceInfo, TraceStep } from './trace.ts';

type Known = Map<string, TraceInfo>;

/** Puts in what a recording leaves out. */
export function completed(steps: readonly TraceStep[]): TraceStep[] {
  const known: Known = new Map();
  const result: TraceStep[] = [];
  for (const step of steps) {
    if (!('call' in step)) {
      result.push(step);
      continue;
    }
    const { call } = step;
    if (call.method === 'List' && call.request.filters === undefined) {
      for (const inferred of explain(known, call.reply.infos ?? [])) {
        follow(known, inferred);
        result.push({ call: inferred });
      }
    }
    follow(known, call);
    result.push(step);
  }
  return result;
}

function follow(known: Known, { method, request, reply }: TraceCall): void {
  const { key = '', name = '', parent } = request;
  if (method === 'Prepare' || method === 'View') {
    if (reply.standsFor !== undefined && !known.has(reply.standsFor.name)) {
      known.set(reply.standsFor.name, reply.standsFor);
      return;
    }
    const kind = method === 'Prepare' ? 'ACTIVE' : 'VIEW';
    known.set(key, { name: key, kind, ...(parent === undefined ? {} : { parent }) });
  } else if (method === 'Commit') {
    const active = known.get(key);
    known.delete(key);
    known.set(name, { name, kind: 'COMMITTED', ...parentOf(active?.parent ?? parent) });
  } else if (method === 'Remove') known.delete(key);
}

const parentOf = (parent: string | undefined): { parent?: string } =>
  parent === undefined ? {} : { parent };

function explain(known: Known, listed: readonly TraceInfo[]): TraceCall[] {
  const names = new Set(listed.map(({ name }) => name));
  const calls: TraceCall[] = [];
  const gone = [...known.keys()].filter((name) => !names.has(name));
  for (const key of gone.toReversed()) {
    calls.push({ method: 'Remove', request: { key }, reply: {}, inferred: true });
  }
  const waiting = listed.filter(({ name }) => !known.has(name));
  const made = new Set(known.keys());
  while (waiting.length > 0) {
    const at = waiting.findIndex(({ parent }) => parent === undefined || made.has(parent));
    const [info] = waiting.splice(at, 1);
    if (at < 0 || info === undefined) throw new Error('a listed snapshot has an unlisted parent');
    made.add(info.name);
    calls.push(...make(info));
  }
  return calls;
}

function make({ name, parent, kind, labels }: TraceInfo): TraceCall[] {
  const request = { ...parentOf(parent), ...(labels === undefined ? {} : { labels }) };
  const inferred = true;
  if (kind !== 'COMMITTED') {
    const method = kind === 'VIEW' ? 'View' : 'Prepare';
    return [{ method, request: { key: name, ...request }, reply: {}, inferred }];
  }
  const key = `inferred ${name}`;
  return [
    { method: 'Prepare', request: { key, ...parentOf(parent) }, reply: {}, inferred },
    {
      method: 'Commit',
      request: { key, name, ...(labels === undefined ? {} : { labels }) },
      reply: {},
      inferred,
    },
  ];
}
