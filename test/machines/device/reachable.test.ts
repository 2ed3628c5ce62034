// What holds in every state that a device can reach, under every plan and policy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideDeviceOutcome } from '../../../src/machines/device/decide.ts';
import { isDeviceInFlight } from '../../../src/machines/device/evolve.ts';
import { deviceIntentOf } from '../../../src/machines/device/intents.ts';
import { deviceMachine } from '../../../src/machines/device/machine.ts';
import { isUsable } from '../../../src/machines/device/state.ts';
import {
  explore,
  exploreAll,
  failure,
  folded,
  isTimer,
  plans,
  stepsFrom,
  successes,
} from './exploration.ts';

const spaces = Object.entries(plans).flatMap(([planName, plan]) =>
  [true, false].map((autoRemoveDev) => {
    const policy = { autoRemoveDev, lingerMs: 5_000, nowUs: 1_000 };
    const name = `${planName}, autoRemoveDev ${autoRemoveDev}`;
    return { name, plan, policy, found: explore(plan, policy) };
  }),
);

const told = (path: readonly { readonly name: string }[]): string =>
  path.map(({ name }) => name).join(' → ');

for (const { name, plan, policy, found } of spaces) {
  test(`${name}: in flight and owing one effect are the same`, () => {
    for (const { state, path } of found) {
      assert.equal(deviceIntentOf(state) !== undefined, isDeviceInFlight(state), told(path));
    }
  });

  test(`${name}: a leased device is ready, or owes an effect that leads there`, () => {
    for (const { state, path } of found) {
      const isLeased = state.context.leases.length > 0;
      if (!isLeased || state.value.attachment === 'ready') continue;
      // All effects that are owed succeed, however many those are.
      let next = state;
      for (let count = 0; next.value.attachment !== 'ready'; count += 1) {
        const intent = deviceIntentOf(next);
        assert.ok(intent !== undefined && count < 8, `${told(path)} never ends`);
        const outcome = successes[intent.kind];
        const events = decideDeviceOutcome(next, intent.operationId, outcome, policy);
        assert.ok(events.length > 0, `${told(path)}: ${intent.kind} is met by silence`);
        next = folded(next, events);
      }
      assert.deepEqual(next.context.leases, state.context.leases);
    }
  });

  test(`${name}: what nobody leases is kept, gone, or owes an effect`, () => {
    const kept = new Set<boolean>();
    for (const { state, path } of found) {
      if (state.context.leases.length > 0 || isDeviceInFlight(state)) continue;
      const { attachment } = state.value;
      assert.ok(attachment === 'kept' || attachment === 'absent', `${attachment}: ${told(path)}`);
      kept.add(attachment === 'kept');
      if (attachment === 'absent') assert.equal(state.context.path, null, told(path));
      if (attachment === 'kept') assert.ok(state.context.servedContainer, told(path));
    }
    // One that is written is its snapshot's alone.
    assert.equal(kept.has(true), !policy.autoRemoveDev && plan.access === 'readOnly');
  });

  test(`${name}: nothing begins to unmount or detach what is leased, but to undo or turn round`, () => {
    for (const { state, path } of found) {
      if (state.context.leases.length === 0) continue;
      for (const step of stepsFrom(state, plan, policy)) {
        const next = folded(state, step.events);
        const leaves = ['unmounting', 'detaching'].includes(next.value.attachment);
        const stillLeased = next.context.leases.length > 0;
        const was = ['unmounting', 'detaching'].includes(state.value.attachment);
        if (leaves && stillLeased && !was) {
          assert.ok(next.context.isUndoing, `${told(path)} → ${step.name}`);
        }
        if (leaves && was && !state.context.isUndoing && step.name.endsWith('ed')) {
          assert.fail(`${told(path)} → ${step.name} goes on with detaching`);
        }
      }
    }
  });

  test(`${name}: a device is formatted once at most, and before it is mounted or given out`, () => {
    for (const { state, path } of found) {
      const isNew = (state.context.plan?.formatArguments ?? null) !== null;
      if (isUsable(state) || state.value.attachment === 'mounting') assert.ok(!isNew, told(path));
      if (plan.formatArguments === null) assert.ok(!isNew, told(path));
    }
  });

  test(`${name}: both outcomes are taken, a late one is dropped, and the next has an id of its own`, () => {
    for (const { state, path } of found) {
      const intent = deviceIntentOf(state);
      if (intent === undefined) continue;
      const { kind, operationId } = intent;
      const outcomes = [
        successes[kind],
        ...(isTimer(kind) ? [] : [{ kind: 'failed', failure } as const]),
      ];
      for (const outcome of outcomes) {
        const late = decideDeviceOutcome(state, operationId - 1, outcome, policy);
        assert.deepEqual(late, [], told(path));
        const events = decideDeviceOutcome(state, operationId, outcome, policy);
        assert.ok(events.length > 0, `${told(path)} → ${kind} ${outcome.kind}`);
        const next = deviceIntentOf(folded(state, events));
        assert.ok(next === undefined || next.operationId > operationId, told(path));
      }
    }
  });

  test(`${name}: who leases it is never forgotten but by a release`, () => {
    for (const { state, path } of found) {
      for (const step of stepsFrom(state, plan, policy)) {
        if (step.name.startsWith('release')) continue;
        const after = folded(state, step.events).context.leases;
        for (const lease of state.context.leases) {
          assert.ok(
            after.some(({ snapshotId }) => snapshotId === lease.snapshotId),
            `${told(path)} → ${step.name}`,
          );
        }
      }
    }
  });
}

test('every state of the machine is reached', () => {
  const reached = new Set(
    spaces.flatMap(({ plan, policy }) =>
      exploreAll(plan, policy).map(({ value }) => value.attachment as string),
    ),
  );
  const declared = Object.keys(deviceMachine.root.states['attachment']?.states ?? {});
  assert.deepEqual([...reached].sort(), declared.sort());
});
