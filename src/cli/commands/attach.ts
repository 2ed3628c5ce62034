// varve attach LAYER: the device of a block layer, without a container.
import { printable } from '../../history/text.ts';
import { controlDefinition } from '../../server/grpc/definitions.ts';
import { withAdminClient } from '../admin-client.ts';
import type { CommandContext } from '../command-context.ts';

export async function run(
  { output, adminAddress }: CommandContext,
  input: { readonly arguments: readonly string[] },
): Promise<void> {
  const [snapshot = ''] = input.arguments;
  const attached = await withAdminClient(adminAddress(), (client) =>
    client.answer(controlDefinition.attach, { snapshot }),
  );
  const { deviceId, path, mountPoint, fileSystem, sizeBytes, wasAttached } = attached;
  if (output.isJson) {
    const document = { format: 'varve-attach', version: 1, deviceId, path, mountPoint };
    await output.json({ ...document, fileSystem, sizeBytes, wasAttached });
  } else {
    await output.line(`${path ?? ''}  ${printable(mountPoint ?? '')}`);
  }
}
