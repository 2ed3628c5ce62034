// varve version.
import { version } from '../../server/version.ts';
import type { CommandContext } from '../command-context.ts';

export async function run({ output }: CommandContext): Promise<void> {
  const { platform, arch, version: node } = process;
  const document = { format: 'varve-version', version: 1, varve: version, node, platform, arch };
  if (output.isJson) await output.json(document);
  else await output.line(`varve ${version} (Node ${node}, ${platform} ${arch})`);
}
