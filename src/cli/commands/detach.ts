// varve detach LAYER: gives back what varve attach has attached.
import { printable } from '../../history/text.ts';
import { controlDefinition } from '../../server/grpc/definitions.ts';
import type { varve } from '../../server/grpc/messages.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';

type DetachResponse = varve.v1.DetachResponse.$Properties;

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly arguments: readonly string[] },
): Promise<void> {
  const [snapshot = ''] = input.arguments;
  const detached = await withAdminClient(adminAddress(), (client) =>
    client.answer(controlDefinition.detach, { snapshot }),
  );
  const { deviceId, wasAttached, state, leases } = detached;
  if (output.isJson) {
    const document = { format: 'varve-detach', version: 1, deviceId, wasAttached };
    await output.json({ ...document, state, leases });
  } else {
    await output.lines(detachedLines(detached));
  }
}

function detachedLines({ deviceId, wasAttached, state, leases }: DetachResponse): string[] {
  const users = leases ?? [];
  const begin = wasAttached
    ? `The device of #${deviceId} is given back`
    : `No operator has the device of #${deviceId} attached`;
  if (users.length > 0) {
    const lines = users.map(
      ({ purpose, key, snapshotId }) =>
        `  ${purpose} ${printable(key || 'of a Prepare under way')} (#${snapshotId})`,
    );
    return [`${begin}; it stays for those who lease it:`, ...lines];
  }
  return [`${begin}; ${endings[state ?? ''] ?? `it is ${state}`}.`];
}

const endings: Readonly<Record<string, string>> = {
  absent: 'it is detached',
  kept: 'it stays until its layer is removed (autoRemoveDev)',
};
