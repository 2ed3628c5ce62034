// What clients were told: each call is noted before it is sent, and its outcome when it is
// answered. A call that was not answered may have happened or not; all others must be borne out
// afterwards.
import assert from 'node:assert/strict';
import { status } from '@grpc/grpc-js';
import {
  controlDefinition as control,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import { containerd } from '../../src/server/grpc/messages.ts';
import type { Reply, TestClient } from '../server/client.ts';

type Kind = containerd.services.snapshots.v1.Kind;

export interface Known {
  /** Kind as it is on the wire; undefined for none. */
  readonly kind: Kind | undefined;
  /** Value of the one label that the work sets. */
  readonly label: string;
}

export interface Clients {
  readonly snapshots: TestClient;
  readonly admin: TestClient;
}

const { VIEW, ACTIVE, COMMITTED } = containerd.services.snapshots.v1.Kind;
const viewing: Known = { kind: VIEW, label: '' };
const active: Known = { kind: ACTIVE, label: '' };
const committed: Known = { kind: COMMITTED, label: '' };
const absent: Known = { kind: undefined, label: '' };

class ServerGone extends Error {
  override readonly name = 'ServerGone';
}

export class Ledger {
  readonly #known: Map<string, Known>;
  /** Keys whose last call was not answered. */
  readonly #doubtful = new Set<string>();

  constructor(known: ReadonlyMap<string, Known> = new Map()) {
    this.#known = new Map(known);
  }

  copy(): Ledger {
    assert.equal(this.#doubtful.size, 0, 'all calls were answered');
    return new Ledger(this.#known);
  }

  async #send<Value>(
    reply: Promise<Reply<Value>>,
    changes: Readonly<Record<string, Known>> = {},
  ): Promise<Value | undefined> {
    const keys = Object.keys(changes);
    for (const key of keys) this.#doubtful.add(key);
    const { code, details, value } = await reply;
    if (code === status.UNAVAILABLE) throw new ServerGone();
    assert.equal(code, status.OK, details);
    for (const [key, known] of Object.entries(changes)) {
      this.#known.set(key, known);
      this.#doubtful.delete(key);
    }
    return value;
  }

  /** Work of every kind, once; answers whether the server was there to its end. */
  async work(clients: Clients, round: string): Promise<boolean> {
    try {
      await this.#work(clients, round);
      return true;
    } catch (error) {
      if (error instanceof ServerGone) return false;
      throw error;
    }
  }

  async #work({ snapshots: client, admin }: Clients, round: string): Promise<void> {
    const [layer, name, box, view] = ['layer', 'name', 'box', 'view'].map(
      (kind) => `${kind}-${round}`,
    ) as [string, string, string, string];
    await this.#send(client.call(snapshots.prepare, { key: layer }), { [layer]: active });
    const committing = client.call(snapshots.commit, { key: layer, name });
    await this.#send(committing, { [layer]: absent, [name]: committed });
    const info = { name, labels: { label: round } };
    const updating = client.call(snapshots.update, { info });
    await this.#send(updating, { [name]: { ...committed, label: round } });
    const parent = name;
    await this.#send(client.call(snapshots.prepare, { key: box, parent }), { [box]: active });
    await this.#send(client.call(snapshots.view, { key: view, parent }), { [view]: viewing });
    await this.#send(client.call(snapshots.remove, { key: view }), { [view]: absent });
    await this.#send(client.call(snapshots.cleanup, {}));
    const stored = await this.#send(admin.call(control.checkpoint, {}));
    const throughSeq = stored?.globalSeq ?? 0;
    await this.#send(admin.call(control.compact, { throughSeq }));
  }

  /** What was answered is so; nothing else is there. */
  async check(client: TestClient): Promise<void> {
    const { messages } = await client.all(snapshots.list, {});
    const listed = messages.flatMap(({ info }) => info ?? []);
    for (const name of listed.map((info) => info.name ?? '')) {
      assert.ok(this.#known.has(name) || this.#doubtful.has(name), `${name} was asked for`);
    }
    for (const [key, { kind, label }] of this.#known) {
      if (this.#doubtful.has(key)) continue;
      const found = listed.find(({ name }) => name === key);
      assert.equal(found?.kind, kind, key);
      assert.equal(found?.labels?.['label'] ?? '', label, key);
      if (kind !== ACTIVE) continue;
      assert.equal((await client.call(snapshots.mounts, { key })).code, status.OK, key);
    }
  }
}
