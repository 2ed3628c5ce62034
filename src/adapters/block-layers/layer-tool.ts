// varve-layer, asked for what it knows of layers and told what to do with them: their bytes are
// nobody's whom this process trusts.
import type { EffectResult } from '../../engine/ports.ts';
import { runProgram } from '../helper-pool/program.ts';

export interface LayerTool {
  /** Path of varve-layer. */
  readonly program: string;
  /** How long it may take. */
  readonly deadlineMs: number;
}

/** Runs a command of varve-layer; answers what it printed. `step` and `file` name a failure. */
export async function runLayerTool(
  { program, deadlineMs }: LayerTool,
  commandLine: readonly string[],
  { step, file }: { readonly step: string; readonly file: string },
): Promise<EffectResult<string>> {
  const ended = await runProgram(program, commandLine, deadlineMs);
  if (ended.ok) return { ok: true, value: ended.stdout };
  if (ended.startCode === 'ENOENT') {
    const missing = `${program} is not there: install the package of varve again`;
    return { ok: false, failure: { step, code: 'ENOPKG', message: missing, path: file } };
  }
  const said = ended.stderr.trim().replace(/^varve-layer: /, '');
  const message = ended.isLate || said === '' ? ended.reason : said;
  const code = ended.isLate ? 'ETIMEDOUT' : (ended.startCode ?? saidCode(message));
  return { ok: false, failure: { step, code, message, path: file } };
}

function saidCode(message: string): string {
  if (/No space left on device|Disk quota exceeded/.test(message)) return 'ENOSPC';
  return message.includes('is in use as the writable layer') ? 'EBUSY' : 'EIO';
}
