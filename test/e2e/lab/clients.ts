// The containerds that tests run against, each with all the programs it needs, or why it cannot
// be had on this machine.
import { MissingError } from './command.ts';
import { containerdDirectory, runcDirectory } from './debian-packages.ts';
import { builtGoClient } from './go-clients.ts';

export interface Client {
  readonly name: string;
  readonly programDirectories: readonly string[];
}

/** A client, or the reason why it is missing. */
export type ClientOrReason = Client | { readonly name: string; readonly missing: string };

async function clientOr(
  name: string,
  directories: () => Promise<readonly string[]>,
): Promise<ClientOrReason> {
  if (process.getuid?.() !== 0) return { name, missing: 'it mounts, so it must be run as root' };
  try {
    return { name, programDirectories: await directories() };
  } catch (error) {
    if (error instanceof MissingError) return { name, missing: error.message };
    throw error;
  }
}

/** Debian's containerd 1.6 with Debian's runc. */
export function debianContainerd(): Promise<ClientOrReason> {
  return clientOr('containerd 1.6', async () => [
    await containerdDirectory('1.6.'),
    await runcDirectory(),
  ]);
}

/** containerd 2.4, built from the Go module proxy; with VARVE_REQUIRE_GO=1 it must be had. */
export async function newContainerd(): Promise<ClientOrReason> {
  const client = await clientOr('containerd 2.4', async () => [
    await builtGoClient('containerd'),
    await runcDirectory(),
  ]);
  if ('missing' in client && process.env['VARVE_REQUIRE_GO'] === '1') {
    throw new Error(`${client.name} is required here: ${client.missing}`);
  }
  return client;
}
