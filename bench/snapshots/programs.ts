// Builds the Go programs that the benchmarks use: containerd's own overlayfs snapshotter over gRPC,
// and the client that measures both it and varve.
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Programs {
  readonly peer: string;
  readonly load: string;
}

/** Needs Go and its module proxy; both programs end up in `directory`. */
export async function buildPrograms(checkout: string, directory: string): Promise<Programs> {
  await mkdir(directory, { recursive: true });
  const cwd = join(checkout, 'bench', 'peer');
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
  const build = async (name: string): Promise<string> => {
    const output = join(directory, name);
    await run('go', ['build', '-o', output, `./${name}`], { cwd, env }).catch((error: unknown) => {
      const { stderr = '', message } = error as { stderr?: string; message: string };
      const reason = stderr.trim() === '' ? message : stderr.trim();
      throw new Error(`the peer cannot be built (it needs Go ≥ 1.26.6 and its proxy): ${reason}`);
    });
    return output;
  };
  return { peer: await build('overlay-peer'), load: await build('snapshot-load') };
}
