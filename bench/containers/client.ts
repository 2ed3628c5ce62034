// The Snapshots service as a client calls it, with the time that each call takes.
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import { snapshotsDefinition as snapshots } from '../../src/server/grpc/definitions.ts';

export interface BenchMount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

interface MountsReply {
  readonly mounts?: readonly Partial<BenchMount>[] | null;
}

export class SnapshotsClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(`unix:${address}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  async prepare(key: string, parent: string): Promise<readonly BenchMount[]> {
    const reply = await this.#call(snapshots.prepare, { key, parent, labels: {} });
    return mountsOf(reply as MountsReply);
  }

  async mounts(key: string): Promise<readonly BenchMount[]> {
    return mountsOf((await this.#call(snapshots.mounts, { key })) as MountsReply);
  }

  async commit(key: string, name: string): Promise<void> {
    await this.#call(snapshots.commit, { key, name, labels: {} });
  }

  async remove(key: string): Promise<void> {
    await this.#call(snapshots.remove, { key });
  }

  close(): void {
    this.#client.close();
  }

  #call<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: Date.now() + 120_000 },
        (error, reply) => {
          if (error === null && reply !== undefined) resolve(reply);
          else reject(error ?? new Error(`${method.path} answered nothing`));
        },
      );
    });
  }
}

const mountsOf = ({ mounts }: MountsReply): readonly BenchMount[] =>
  (mounts ?? []).map(({ type = '', source = '', options = [] }) => ({ type, source, options }));

/** How long `work` takes, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}
