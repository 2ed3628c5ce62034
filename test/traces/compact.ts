// Turns recordings of real clients into the sessions under recorded/:
//
//   node test/traces/compact.ts DIRECTORY
//
// A recording is a file for each command, or one file with all: a line for the command, then a line
// for each call. Kept are the order, what overlapped, requests and answers; times, sizes, outputs
// and the paths of the machine are not.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { completed } from './completion.ts';
import {
  formatTrace,
  recordedDirectory,
  type MethodName,
  type TraceCall,
  type TraceInfo,
  type TraceReply,
  type TraceRequest,
  type TraceStep,
} from './trace.ts';

interface RecordedInfo {
  readonly name: string;
  readonly parent?: string;
  readonly kind: TraceInfo['kind'];
  readonly labels?: Readonly<Record<string, string>>;
}

interface RecordedMount {
  readonly type: string;
  readonly source: string;
  readonly options?: readonly string[];
}

interface RecordedCall {
  readonly seq: number;
  readonly t: number;
  readonly ms: number;
  readonly method: MethodName;
  readonly ns?: string;
  readonly req: TraceRequest & {
    readonly info?: RecordedInfo;
    readonly update_mask?: { readonly paths: readonly string[] };
  };
  readonly resp?: {
    readonly mounts?: readonly RecordedMount[];
    readonly info?: RecordedInfo;
    readonly inodes?: string;
  } & readonly RecordedInfo[];
  readonly code?: string;
}

interface RecordedCommand {
  readonly file: string;
  readonly command: string;
  readonly calls: RecordedCall[];
}

/** Which recordings make a session of which client; a later line wins. */
const sources: readonly (readonly [pattern: RegExp, session: string, client: string])[] = [
  [/^ctr-1\.6-/, 'ctr-1.6', 'ctr 1.6'],
  [/^ctr-1\.7-/, 'ctr-1.7', 'ctr 1.7'],
  [/^ctr-1\.7-4/, 'ctr-1.7-pull', 'ctr 1.7'],
  [/^pull-1\.6-/, 'pull-1.6', 'ctr 1.6'],
  [/^pull-1\.6-remote-/, 'pull-1.6-remote', 'ctr 1.6'],
  [/^pull-1\.7-/, 'pull-1.7', 'ctr 1.7'],
  [/^pull-1\.7-remote-/, 'pull-1.7-remote', 'ctr 1.7'],
  [/^containerd-1\.7\.35$/, 'ctr-1.7.35', 'ctr 1.7'],
  [/^containerd-2\.4$/, 'ctr-2.4', 'ctr 2.4'],
  [/^containerd-2\.4-rebase$/, 'ctr-2.4-rebase', 'ctr 2.4'],
  [/^containerd-2\.4-remote$/, 'ctr-2.4-remote', 'ctr 2.4'],
  [/^cri-1\.6-/, 'cri-1.6', 'CRI'],
  [/^cri-1\.6-remote-/, 'cri-1.6-remote', 'CRI'],
  [/^cri-1\.7-/, 'cri-1.7', 'CRI'],
  [/^cri-1\.7-remote-/, 'cri-1.7-remote', 'CRI'],
  [/^cri-2\.4$/, 'cri-2.4', 'CRI'],
  [/^kubelet-1\.36$/, 'kubelet-1.36', 'CRI'],
  [/^nerdctl-2\.2$/, 'nerdctl-2.2', 'nerdctl'],
  [/^buildkit-0\.33$/, 'buildkit-0.33', 'BuildKit'],
  [/^buildkit-0\.33-oci$/, 'buildkit-0.33-oci', 'BuildKit'],
  [/^docker-\d\d[a-z]?-/, 'docker-26', 'Docker 26'],
  [/^docker-remote-[012]/, 'docker-26-remote', 'Docker 26'],
  [/^docker-remote-3/, 'docker-26-remote-save', 'Docker 26'],
  [/^docker-29(-build)?$/, 'docker-29', 'Docker 29'],
];

/** Commands that began with a new process of the snapshotter on the same directory. */
const restarts = /^docker-(57-snapshotter-restart|63-snapshotter-start)$/;

function readCommands(directory: string): Map<string, RecordedCommand[]> {
  const sessions = new Map<string, RecordedCommand[]>();
  for (const name of readdirSync(directory).sort()) {
    if (!name.endsWith('.jsonl')) continue;
    const file = name.slice(0, -'.jsonl'.length);
    const source = sources.findLast(([pattern]) => pattern.test(file));
    if (source === undefined) throw new Error(`no session takes ${name}`);
    const commands = sessions.get(source[1]) ?? [];
    sessions.set(source[1], commands);
    for (const line of readFileSync(join(directory, name), 'utf8').trimEnd().split('\n')) {
      const record = JSON.parse(line) as RecordedCall | { cmd: string };
      if ('cmd' in record) commands.push({ file, command: record.cmd, calls: [] });
      else commands.at(-1)?.calls.push(record);
    }
  }
  return sessions;
}

/** In one file a sequence that begins again is another run, on an empty directory. */
function splitRuns(commands: readonly RecordedCommand[]): RecordedCommand[][] {
  const runs: RecordedCommand[][] = [[]];
  let last = 0;
  for (const command of commands) {
    const first = Math.min(...command.calls.map(({ seq }) => seq));
    if (first < last && commands.every(({ file }) => file === command.file)) runs.push([]);
    if (command.calls.length > 0) last = first;
    runs.at(-1)?.push(command);
  }
  return runs;
}

/** Commands of one run that were recorded in two files, in their order. */
function inOrder(commands: readonly RecordedCommand[]): readonly RecordedCommand[] {
  if (!commands.some(({ file }) => file === 'docker-29')) return commands;
  const all = commands.flatMap(({ file, command, calls }) =>
    calls.map((call) => ({ file, command, call })),
  );
  all.sort((a, b) => a.call.seq - b.call.seq);
  const ordered: RecordedCommand[] = [];
  for (const { file, command, call } of all) {
    if (ordered.at(-1)?.command === command) ordered.at(-1)?.calls.push(call);
    else ordered.push({ file, command, calls: [call] });
  }
  return ordered;
}

const toInfo = ({ name, parent, kind, labels }: RecordedInfo): TraceInfo => ({
  name,
  ...(parent ? { parent } : {}),
  kind,
  ...(labels === undefined ? {} : { labels }),
});

const toMount = ({ type, source, options = [] }: RecordedMount): string =>
  `${type} ${source} ${options.join(',')}`.replace(/LAB\/\w+\/snapshots\//g, '');

function toRequest({ req }: RecordedCall): TraceRequest {
  const { key, name, parent, labels, filters, info, update_mask: mask } = req;
  return {
    ...(key === undefined ? {} : { key }),
    ...(info === undefined ? {} : { name: info.name }),
    ...(name === undefined ? {} : { name }),
    ...(parent ? { parent } : {}),
    ...(labels === undefined ? {} : { labels }),
    ...(info?.labels === undefined ? {} : { labels: info.labels }),
    ...(mask === undefined ? {} : { paths: mask.paths }),
    ...(filters === undefined ? {} : { filters }),
  };
}

function toReply({ method, resp, code }: RecordedCall, next: RecordedCall | undefined): TraceReply {
  if (code !== undefined) {
    if (code !== 'AlreadyExists') throw new Error(`an answer with ${code}`);
    const [found] = next?.method === 'List' ? (next.resp ?? []) : [];
    return {
      code: 'ALREADY_EXISTS',
      ...(found === undefined ? {} : { standsFor: toInfo(found) }),
    };
  }
  if (method === 'List') return { infos: (resp ?? []).map(toInfo) };
  return {
    ...(resp?.mounts === undefined ? {} : { mounts: resp.mounts.map(toMount) }),
    ...(resp?.info === undefined ? {} : { info: toInfo(resp.info) }),
    ...(method === 'Usage' ? { inodeCount: Number(resp?.inodes ?? 0) } : {}),
  };
}

function toCalls(recorded: readonly RecordedCall[]): TraceCall[] {
  const calls = recorded.toSorted((a, b) => a.seq - b.seq);
  return calls.map((call, index) => {
    const during = calls
      .slice(0, index)
      .flatMap((earlier, at) => (earlier.t + earlier.ms > call.t ? [index - at] : []));
    return {
      method: call.method,
      request: toRequest(call),
      reply: toReply(call, calls[index + 1]),
      ...(call.ns === undefined ? {} : { namespace: call.ns }),
      ...(during.length === 0 ? {} : { during }),
    };
  });
}

function toSteps(commands: readonly RecordedCommand[]): TraceStep[] {
  return commands.flatMap(({ file, command, calls }): TraceStep[] => [
    ...(restarts.test(file) ? [{ restart: true } as const] : []),
    { command: command.replaceAll('LAB/', '') },
    ...toCalls(calls).map((call) => ({ call })),
  ]);
}

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: node test/traces/compact.ts DIRECTORY');
rmSync(recordedDirectory, { recursive: true, force: true });
mkdirSync(recordedDirectory);
for (const [session, commands] of readCommands(directory)) {
  const client = sources.find(([, name]) => name === session)?.[2] ?? '';
  for (const [index, run] of splitRuns(inOrder(commands)).entries()) {
    const name = index === 0 ? session : `${session}-${index + 1}`;
    const trace = { session: name, client, steps: completed(toSteps(run)) };
    writeFileSync(join(recordedDirectory, `${name}.jsonl`), formatTrace(trace));
  }
}
