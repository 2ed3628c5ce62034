// Plays one recorded call against a server and says what its answer has that the recorded one has
// not. Beside the recorded answers it keeps its own account of which snapshot lies on which, and
// every mount must agree with that too.
import { status, type MethodDefinition } from '@grpc/grpc-js';
import { snapshotsDefinition as methods } from '../../src/server/grpc/definitions.ts';
import type { CallOptions, Reply } from '../server/client.ts';
import {
  compareInfos,
  compareMounts,
  idsOf,
  IdPairs,
  infoLine,
  ordinaryMount,
  plainInfo,
  plainMounts,
  type WireInfo,
  type WireMount,
} from './comparison.ts';
import type { Server } from './server.ts';
import type { TraceCall, TraceInfo, TraceReply } from './trace.ts';

/** The answer to expect: the recorded one, or the mounts of an ordinary active snapshot. */
export type Expected = TraceReply | 'ordinary';

type Problems = readonly string[];

const snapshotter = 'varve';
const okCode: number = status.OK;
const clockToleranceMs = 1_000;

export class Player {
  readonly #server: Server;
  readonly #pairs = new IdPairs();
  /** varve's ids of a snapshot's layers, nearest first and its own among them, by name. */
  readonly #layers = new Map<string, readonly string[]>();
  readonly #names = new Set<string>();
  readonly #startedMs = Date.now();

  constructor(server: Server) {
    this.#server = server;
  }

  /** Makes the call; `changing` are names that overlapping calls may make or remove meanwhile. */
  async play(
    call: TraceCall,
    expected: Expected,
    changing: ReadonlySet<string>,
  ): Promise<Problems> {
    const { key = '', name = '', parent = '', labels = {} } = call.request;
    switch (call.method) {
      case 'Prepare':
      case 'View':
        return this.#prepare(call, expected);
      case 'Mounts': {
        const reply = await this.#ask(call, methods.mounts, { snapshotter, key });
        return failure(reply) ?? this.#compareMounts(key, expected, reply.value?.mounts);
      }
      case 'Commit': {
        const request = { snapshotter, key, name, labels, parent };
        return failure(await this.#ask(call, methods.commit, request)) ?? this.#commit(call);
      }
      case 'Remove': {
        const reply = await this.#ask(call, methods.remove, { snapshotter, key });
        this.#names.delete(key);
        this.#layers.delete(key);
        return failure(reply) ?? [];
      }
      case 'Cleanup':
        return failure(await this.#ask(call, methods.cleanup, { snapshotter })) ?? [];
      case 'Usage': {
        const reply = await this.#ask(call, methods.usage, { snapshotter, key });
        return failure(reply) ?? compareUsage(expected, reply.value?.inodes ?? 0);
      }
      case 'Stat': {
        const reply = await this.#ask(call, methods.stat, { snapshotter, key });
        return failure(reply) ?? this.#compareInfo(expected, reply.value?.info);
      }
      case 'Update': {
        const request = {
          snapshotter,
          info: { name, labels },
          updateMask: { paths: [...(call.request.paths ?? [])] },
        };
        const reply = await this.#ask(call, methods.update, request);
        return failure(reply) ?? this.#compareInfo(expected, reply.value?.info);
      }
      case 'List':
        return this.#list(call, expected, changing);
    }
  }

  /**
   * Does what the recorded snapshotter did of itself: has the layer of a call as a committed
   * snapshot. Where it had that already, it left the call's key behind as an active one.
   */
  async standIn(call: TraceCall, { name, labels }: TraceInfo): Promise<Problems> {
    if (this.#names.has(name)) return [];
    const { key, parent } = call.request;
    const commit: TraceCall = {
      method: 'Commit',
      request: {
        ...(key === undefined ? {} : { key }),
        ...(parent === undefined ? {} : { parent }),
        name,
        ...(labels === undefined ? {} : { labels }),
      },
      reply: {},
    };
    return this.play(commit, commit.reply, new Set());
  }

  #ask<Request, Response>(
    { namespace }: TraceCall,
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Reply<Response>> {
    const options: CallOptions =
      namespace === undefined ? {} : { metadata: { 'containerd-namespace': namespace } };
    return this.#server.client.call(method, request, options);
  }

  async #prepare(call: TraceCall, expected: Expected): Promise<Problems> {
    const { key = '', parent = '', labels } = call.request;
    const definition = call.method === 'View' ? methods.view : methods.prepare;
    const request = { snapshotter, key, parent, ...(labels === undefined ? {} : { labels }) };
    const reply = await this.#ask(call, definition, request);
    const failed = failure(reply);
    if (failed !== undefined) return failed;
    const [mount = ''] = this.#plain(reply.value?.mounts);
    const { own, lower } = idsOf(mount);
    const below = parent === '' ? lower : (this.#layers.get(parent) ?? []);
    this.#names.add(key);
    this.#layers.set(key, own === undefined ? below : [own, ...below]);
    // A call that the recording lacks has no recorded answer.
    if (call.inferred === true) return [];
    return this.#compareMounts(key, expected, reply.value?.mounts);
  }

  #commit({ request: { key = '', name = '', parent } }: TraceCall): Problems {
    const layers = this.#layers.get(key) ?? [];
    // A parent that comes only now goes below; one from the start is there already.
    const below = (parent === undefined ? undefined : this.#layers.get(parent)) ?? [];
    const isNew = below.length > 0 && !layers.includes(below[0] ?? '');
    this.#layers.set(name, isNew ? [...layers, ...below] : layers);
    this.#layers.delete(key);
    this.#names.delete(key);
    this.#names.add(name);
    return [];
  }

  #plain(mounts: readonly WireMount[] | null | undefined): readonly string[] {
    return plainMounts(mounts ?? [], this.#server.snapshots);
  }

  #compareMounts(
    key: string,
    expected: Expected,
    mounts: readonly WireMount[] | null | undefined,
  ): Problems {
    const ours = this.#plain(mounts);
    const layers = this.#layers.get(key) ?? [];
    if (expected === 'ordinary') {
      // Ids are varve's own on both sides, so each stands for itself.
      return compareMounts([ordinaryMount(layers)], ours, new IdPairs());
    }
    const { own, lower } = idsOf(ours[0] ?? '');
    const named = own === undefined ? lower : [own, ...lower];
    const isWhole = named.join(' ') === layers.join(' ');
    return [
      ...compareMounts(expected.mounts ?? [], ours, this.#pairs),
      ...(isWhole ? [] : [`layers ${named.join(' ')}, not ${layers.join(' ')}`]),
    ];
  }

  #compareInfo(expected: Expected, info: WireInfo | null | undefined): Problems {
    if (expected === 'ordinary' || expected.info === undefined || !info) return ['no info'];
    const recorded = infoLine(expected.info);
    const ours = infoLine(plainInfo(info));
    return [...(recorded === ours ? [] : [`${ours}, not ${recorded}`]), ...this.#times(info)];
  }

  /** Times must be of this session, and no update before the creation. */
  #times(info: WireInfo): Problems {
    const created = timeMs(info.createdAt);
    const updated = timeMs(info.updatedAt);
    const isSound =
      created >= this.#startedMs - clockToleranceMs &&
      updated >= created &&
      updated <= Date.now() + clockToleranceMs;
    return isSound ? [] : [`created at ${created}, updated at ${updated}`];
  }

  async #list(
    { request }: TraceCall,
    expected: Expected,
    changing: ReadonlySet<string>,
  ): Promise<Problems> {
    const filters = [...(request.filters ?? [])];
    const reply = await this.#server.client.all(methods.list, { snapshotter, filters });
    const failed = failure(reply);
    if (failed !== undefined || expected === 'ordinary') return failed ?? [];
    const infos = reply.messages.flatMap((message) => message.info ?? []);
    return [
      ...compareInfos(expected.infos ?? [], infos.map(plainInfo), changing),
      ...infos.flatMap((info) => this.#times(info)),
    ];
  }
}

function failure({ code, details }: Reply<unknown>): Problems | undefined {
  return code === okCode ? undefined : [`answered ${status[code]}: ${details}`];
}

function compareUsage(expected: Expected, inodeCount: number): Problems {
  if (expected === 'ordinary') return [];
  const recorded = expected.inodeCount ?? 0;
  return inodeCount > 0 === recorded > 0 ? [] : [`${inodeCount} inodes, not ${recorded}`];
}

function timeMs(time: WireInfo['createdAt']): number {
  return Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1_000_000;
}
