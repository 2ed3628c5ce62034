// Every crash point that the sources name, read from them, so that one without a case is noticed.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('../../src/', import.meta.url));

const source = (path: string): string => readFileSync(sources + path, 'utf8');

/** The kinds of effects, as the intents declare them. */
function effectKinds(): readonly string[] {
  const union = /interface Intent \{\s*readonly kind: ([^;]+);/.exec(
    source('machines/snapshot/intents.ts'),
  );
  return [...(union?.[1] ?? '').matchAll(/'(\w+)'/g)].map((match) => match[1] ?? '');
}

/** The steps at devices of the kernel's target, as the adapter declares them. */
function targetSteps(): readonly string[] {
  const union = /type TargetStep =([^;]+);/.exec(source('adapters/kernel-target/orders.ts'));
  return [...(union?.[1] ?? '').matchAll(/'(\w+)'/g)].map((match) => match[1] ?? '');
}

/** The names of all points, each once. */
export function namedCrashPoints(): readonly string[] {
  const kinds = effectKinds();
  const steps = targetSteps();
  assert.ok(kinds.length > 1 && steps.length > 1, 'the kinds of effects and steps are found');
  const names = new Set<string>();
  for (const path of globSync('**/*.ts', { cwd: sources })) {
    const text = source(path);
    const literals = [...text.matchAll(/\bcrashPoint\(\s*(['`])(.+?)\1\s*\)/g)];
    const callCount = [...text.matchAll(/\bcrashPoint\(/g)].length;
    assert.equal(literals.length, callCount, `${path} names its crash points where it passes them`);
    for (const [, , name = ''] of literals) {
      for (const kind of kinds) {
        for (const step of steps) {
          names.add(name.replace('${intent.kind}', kind).replace('${step}', step));
        }
      }
    }
  }
  for (const name of names) assert.match(name, /^[\w:]+$/, 'a name without other parts');
  return [...names].sort();
}
