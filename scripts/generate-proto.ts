// Generates the static gRPC codecs, their types and the descriptors for reflection into
// build/proto. One command, quiet unless it fails: node scripts/generate-proto.ts
import { createRequire } from 'node:module';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

const require = createRequire(import.meta.url);
const pbjs = require('protobufjs-cli/pbjs.js') as {
  main(args: readonly string[], callback: (error: Error | null) => void): void;
};
const protobuf = require('protobufjs') as typeof import('protobufjs');
const descriptor = require('protobufjs/ext/descriptor.js') as {
  readonly FileDescriptorProto: { encode(file: unknown): { finish(): Uint8Array } };
};

const checkout = path.resolve(import.meta.dirname, '..');
const protoDirectory = path.join(checkout, 'proto');
const outputDirectory = path.join(checkout, 'build', 'proto');

async function protoFiles(): Promise<string[]> {
  const names = await readdir(protoDirectory, { recursive: true });
  return names
    .filter((name) => name.endsWith('.proto'))
    .sort()
    .map((name) => path.join(protoDirectory, name));
}

/** Runs pbjs, which writes the code and, beside it, its types. */
async function generateCodecs(files: readonly string[], target: string): Promise<void> {
  const options = [
    '--target',
    'static-module',
    '--wrap',
    'esm',
    '--es6',
    '--force-number',
    '--dts',
  ];
  const omitted = ['verify', 'delimited', 'typeurl', 'convert', 'service'].map((n) => `--no-${n}`);
  const dependency = ['--dependency', 'protobufjs/minimal.js', '--path', protoDirectory];
  await new Promise<void>((resolve, reject) => {
    pbjs.main([...options, ...omitted, ...dependency, '--out', target, ...files], (error) =>
      error ? reject(error) : resolve(),
    );
  });
}

/** One encoded FileDescriptorProto for each proto package, base64. */
function generateDescriptors(files: readonly string[]): string[] {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    path.isAbsolute(target) || target.startsWith('google/protobuf/')
      ? target
      : path.join(protoDirectory, target);
  root.loadSync([...files], { keepCase: true }).resolveAll();
  const set = (
    root as unknown as { toDescriptor(syntax: string): { readonly file: readonly unknown[] } }
  ).toDescriptor('proto3');
  return set.file.map((file) =>
    Buffer.from(descriptor.FileDescriptorProto.encode(file).finish()).toString('base64'),
  );
}

// Everything is written into a directory of its own and renamed file by file, so that a build that
// runs at the same time never reads a half.
const files = await protoFiles();
await mkdir(outputDirectory, { recursive: true });
const scratch = await mkdtemp(path.join(outputDirectory, '.new-'));
try {
  await generateCodecs(files, path.join(scratch, 'messages.js'));
  const descriptors = JSON.stringify(generateDescriptors(files), null, 2);
  await writeFile(
    path.join(scratch, 'descriptors.js'),
    `export const fileDescriptors = ${descriptors};\n`,
  );
  await writeFile(
    path.join(scratch, 'descriptors.d.ts'),
    'export declare const fileDescriptors: readonly string[];\n',
  );
  for (const name of await readdir(scratch)) {
    await rename(path.join(scratch, name), path.join(outputDirectory, name));
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
