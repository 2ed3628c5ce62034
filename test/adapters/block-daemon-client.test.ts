// The client of varve-bd's control socket against daemons that are slow, stuck or silent.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import {
  BlockDaemonClient,
  BlockDaemonUnreachable,
} from '../../src/adapters/block-daemon/client.ts';

const silenceMs = 300;

interface Request {
  readonly id: number;
  readonly operation: string;
}

/** A daemon that does with each request what it is told. */
async function fakeDaemon(
  t: TestContext,
  answer: (request: Request, socket: Socket) => void,
): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-bd-client-'));
  const path = join(directory, 'bd.sock');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trim().split('\n')) answer(JSON.parse(line) as Request, socket);
    });
  });
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
    rmSync(directory, { recursive: true });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

const reply = (socket: Socket, id: number): boolean => socket.write(`{"id":${id},"ok":{}}\n`);

test('a daemon that does not answer is told from one that is slow', async (t) => {
  const stuck = await fakeDaemon(t, () => undefined);
  const client = await BlockDaemonClient.connect(stuck, silenceMs);
  t.after(() => client.close());
  await assert.rejects(
    client.request('commit'),
    (error) => error instanceof BlockDaemonUnreachable && error.code === 'ETIMEDOUT',
  );

  // It answers a commit only once it has given several signs of life.
  let commit = 0;
  let signs = 0;
  const slow = await fakeDaemon(t, ({ id, operation }, socket) => {
    if (operation === 'commit') {
      commit = id;
    } else {
      signs += 1;
      reply(socket, id);
      if (signs === 3) reply(socket, commit);
    }
  });
  const patient = await BlockDaemonClient.connect(slow, silenceMs);
  t.after(() => patient.close());
  assert.deepEqual(await patient.request('commit'), {});
  assert.equal(signs, 3);
});
