// Node in the machine takes sources whose types were taken away outside. It would do that by
// WebAssembly, whose code V8 now and then fails to find under emulation, and ends; so there is
// none here.
import { existsSync, readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

const checkout = new URL('../../../', import.meta.url).href;
const plain = new URL('file:///run/varve-vm/sources/');

delete globalThis.WebAssembly;
registerHooks({
  load(url, context, next) {
    if (!url.startsWith(checkout) || !url.endsWith('.ts')) return next(url, context);
    const file = new URL(url.slice(checkout.length), plain);
    if (!existsSync(file)) return next(url, context);
    return { format: 'module', source: readFileSync(file), shortCircuit: true };
  },
});
