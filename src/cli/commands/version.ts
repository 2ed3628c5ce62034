// varve version.
import { version } from '../../server/version.ts';
import type { CommandContext } from '../command-context.ts';

export async function run({ output }: CommandContext): Promise<void> {
  const { platform, arch, version: node } = process;
  if (output.isJson) await output.json({ varve: version, node, platform, arch });
  else await output.line(`varve ${version} (Node ${node}, ${platform} ${arch})`);
}
