// varve-layer, asked for what it knows of layers and told what to do with them: their bytes are
// nobody's whom this process trusts.
import { execFile } from 'node:child_process';
import type { EffectResult } from '../../engine/ports.ts';

export interface LayerTool {
  /** Path of varve-layer. */
  readonly program: string;
  /** How long it may take. */
  readonly deadlineMs: number;
}

/** Runs a command of varve-layer; answers what it printed. `step` and `file` name a failure. */
export function runLayerTool(
  { program, deadlineMs }: LayerTool,
  commandLine: readonly string[],
  { step, file }: { readonly step: string; readonly file: string },
): Promise<EffectResult<string>> {
  const options = { timeout: deadlineMs, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(program, commandLine, options, (error, stdout, stderr) => {
      if (error === null) {
        resolve({ ok: true, value: stdout });
        return;
      }
      const { killed = false, code } = error;
      const message = stderr.trim().replace(/^varve-layer: /, '') || error.message;
      const isFull = /No space left on device|Disk quota exceeded/.test(message);
      const name = killed
        ? 'ETIMEDOUT'
        : isFull
          ? 'ENOSPC'
          : typeof code === 'string'
            ? code
            : 'EIO';
      resolve({ ok: false, failure: { step, code: name, message, path: file } });
    });
  });
}
