// Bundles the varve command into dist/. Subcommands are chunks of their own, so that a quick
// command does not load what only `varve serve` needs. Native add-ons stay in node_modules, where
// their prebuilt binaries are found beside their own files.
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const checkout = fileURLToPath(new URL('..', import.meta.url));

/** Packages that look for files beside their own sources and so cannot be moved into a bundle. */
const unbundledPackages = ['koffi', '@grpc/reflection', 'grpc-health-check'];

/**
 * Bundles classic-level's JavaScript but leaves the loading of its binary where the binary lies.
 */
const levelBinary: Plugin = {
  name: 'level-binary',
  setup(context) {
    context.onResolve({ filter: /^\.\/binding(\.js)?$/ }, ({ importer }) =>
      importer.includes('classic-level')
        ? { path: 'classic-level/binding.js', external: true }
        : undefined,
    );
  },
};

// Bundled CommonJS packages expect these names.
const commonJsNames = `
import { createRequire as __createRequire } from 'node:module';
import { fileURLToPath as __fileUrlToPath } from 'node:url';
const require = __createRequire(import.meta.url);
const __filename = __fileUrlToPath(import.meta.url);
const __dirname = __fileUrlToPath(new URL('.', import.meta.url));
`;

await rm(`${checkout}/dist`, { recursive: true, force: true });
await build({
  absWorkingDir: checkout,
  entryPoints: { varve: 'src/cli/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none',
  external: unbundledPackages,
  plugins: [levelBinary],
  banner: { js: commonJsNames },
  logLevel: 'warning',
}).catch(() => {
  // esbuild has printed what is wrong and where.
  process.exitCode = 1;
});
