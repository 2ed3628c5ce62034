// The machines keep to the closed subset of xstate, every edge is walked, and the diagrams are
// fresh.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { assign, createMachine, fromPromise, setup, type AnyStateMachine } from 'xstate';
import { compileStatechart } from '../../src/machines/kernel/statechart.ts';
import { snapshotMachines } from '../../src/machines/snapshot/machine.ts';
import { machineDocuments } from '../../scripts/generate-machine-docs.ts';
import { roles } from './chart-space.ts';
import { foldWalk, walksOf } from './walks.ts';

interface Node {
  readonly [key: string]: unknown;
  readonly type?: string;
  readonly on?: Readonly<Record<string, unknown>>;
  readonly states?: Readonly<Record<string, Node>>;
}

const allowedKeys = new Set([
  ...['id', 'type', 'context', 'initial', 'states', 'on', 'tags', 'meta', 'description', 'schemas'],
]);

/** What a machine's definition holds beyond named guards, named assigns, tags and regions. */
function violations(node: Node, path = '(root)'): readonly string[] {
  const found = Object.keys(node)
    .filter((key) => !allowedKeys.has(key))
    .map((key) => `${path}.${key}`);
  if (node.type === 'history') found.push(`${path} is a history state`);
  for (const [event, transition] of Object.entries(node.on ?? {})) {
    if (!/^[A-Z][A-Za-z]+$/.test(event)) found.push(`${path}.on.${event}`);
    for (const one of [transition].flat() as readonly Record<string, unknown>[]) {
      for (const [key, value] of Object.entries(one)) {
        if (!['target', 'guard', 'actions'].includes(key)) found.push(`${path}.on.${event}.${key}`);
        const isNamed = [value].flat().every((each) => typeof each === 'string');
        if (!isNamed) found.push(`${path}.on.${event}.${key} is not a name`);
      }
    }
  }
  for (const [key, child] of Object.entries(node.states ?? {})) {
    found.push(...violations(child, `${path}.${key}`));
  }
  return found;
}

test('the machines use regions, named guards, named assigns and tags alone', () => {
  for (const role of roles) {
    assert.deepEqual(violations(snapshotMachines[role].config as unknown as Node), [], role);
  }
});

test('the walker finds what is forbidden', () => {
  const dirty = createMachine({
    initial: 'a',
    states: {
      a: {
        after: { 10: 'b' },
        invoke: { src: fromPromise(async () => 1) },
        entry: 'x',
        on: { 'x.*': 'b', Inline: { target: 'b', guard: () => true } },
      },
      b: { type: 'history' },
    },
  });
  const found = violations(dirty.config as unknown as Node);
  for (const expected of [
    '(root).a.after',
    '(root).a.invoke',
    '(root).a.entry',
    '(root).a.on.x.*',
    '(root).a.on.Inline.guard is not a name',
    '(root).b is a history state',
  ]) {
    assert.ok(found.includes(expected), expected);
  }
});

const region = (states: object) =>
  ({ type: 'parallel', states: { only: { initial: 'a', states } } }) as const;
const refused: Readonly<Record<string, () => unknown>> = {
  'must be parallel': () => createMachine({ initial: 'a', states: { a: {} } }),
  'no after': () => createMachine(region({ a: { after: { 5: 'b' } }, b: {} }) as never),
  'no always': () => createMachine(region({ a: { always: 'b' }, b: {} }) as never),
  'no entry or exit': () => createMachine(region({ a: { entry: 'x' } }) as never),
  'no invoke': () => createMachine(region({ a: { invoke: { src: 'x' } } }) as never),
  'wildcards are not allowed': () =>
    createMachine(region({ a: { on: { '*': 'b' } }, b: {} }) as never),
  'must be atomic': () =>
    createMachine(region({ a: { initial: 'x', states: { x: {} } } }) as never),
  'nothing implements unknown': () =>
    createMachine(region({ a: { on: { Go: { target: 'b', guard: 'unknown' } } }, b: {} }) as never),
  'named, not inline': () =>
    createMachine(
      region({ a: { on: { Go: { target: 'b', guard: () => true } } }, b: {} }) as never,
    ),
  'nothing implements xstate.assign': () =>
    setup({}).createMachine(region({ a: { on: { Go: { actions: assign({}) } } } }) as never),
};

for (const [message, machine] of Object.entries(refused)) {
  test(`compiling a machine outside the subset is refused: ${message}`, () => {
    assert.throws(
      () => compileStatechart(machine() as AnyStateMachine, { guards: {}, assigns: {} }, {}),
      {
        name: 'InvariantViolation',
        message: new RegExp(message),
      },
    );
  });
}

for (const role of roles) {
  test(`${role}: every state is reached and every edge walked, as xstate/graph says`, () => {
    const walks = walksOf(role);
    for (const { types, expected, state } of walks) {
      if (expected !== undefined) assert.deepEqual(state.value, expected, types.join(' '));
    }
    const walked = new Set<string>();
    for (const { types } of walks) {
      if (types.length === 0) continue;
      const before = foldWalk(role, types.slice(0, -1));
      walked.add(`${before.value.lifecycle} ${String(types.at(-1))}`);
    }
    const declared = Object.entries(snapshotMachines[role].root.states['lifecycle']?.states ?? {});
    const edges = declared.flatMap(([name, node]) =>
      node.ownEvents.map((type) => `${name} ${type}`),
    );
    assert.deepEqual([...walked].sort(), edges.sort());
    const reached = new Set(walks.map(({ state }) => state.value.lifecycle));
    assert.deepEqual([...reached].sort(), declared.map(([name]) => name).sort());
  });
}

test('the diagrams in docs/machines are what the machines say', () => {
  for (const [path, text] of machineDocuments()) {
    const kept = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
    assert.ok(kept === text, `${path} is stale: run scripts/generate-machine-docs.ts`);
  }
});
