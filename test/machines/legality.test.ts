// The golden legality matrix: which event is legal in which state, for every role. It is drawn from
// the compiled tables and from xstate, which must agree on every state, context and event.
// VARVE_REWRITE=1 writes the file anew; commit that only if every changed character is meant.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  askTable,
  askXstate,
  contexts,
  currentOperationId,
  eventOf,
  eventTypes,
  roles,
  valuesOf,
  type Answer,
} from './chart-space.ts';
import type { SnapshotRole } from '../../src/machines/snapshot/events.ts';
import type { SnapshotStateValue } from '../../src/machines/snapshot/state.ts';

const golden = new URL('legality.txt', import.meta.url);
const staleOperationId = currentOperationId - 1;

type Ask = typeof askTable;

const contextFor = (value: SnapshotStateValue) =>
  contexts[value.lifecycle] ?? contexts['idle'] ?? assert.fail('there is an idle context');

const target = (value: SnapshotStateValue, answer: Answer): string =>
  answer === undefined || 'broken' in answer
    ? 'illegal'
    : answer.value.lifecycle === value.lifecycle
      ? 'stays'
      : answer.value.lifecycle;

/** `.` illegal, `#` legal, `o` legal for the operation in flight alone. */
function cell(ask: Ask, role: SnapshotRole, value: SnapshotStateValue, type: number): string {
  const context = contextFor(value);
  const eventType = eventTypes[type] ?? assert.fail('a known event type');
  const current = ask(role, value, { context, event: eventOf(role, eventType) });
  const stale = ask(role, value, { context, event: eventOf(role, eventType, staleOperationId) });
  if (current === undefined) return stale === undefined ? '.' : '?';
  return stale === undefined ? 'o' : '#';
}

function edges(ask: Ask, role: SnapshotRole): readonly string[] {
  return valuesOf(role).flatMap((value) =>
    eventTypes.flatMap((type) => {
      const answer = ask(role, value, { context: contextFor(value), event: eventOf(role, type) });
      if (answer === undefined) return [];
      return [`  ${value.lifecycle}/${value.backing} ${type} -> ${target(value, answer)}`];
    }),
  );
}

function matrix(ask: Ask): string {
  const lines = [
    'Legal events by state. . illegal, # legal, o legal for the operation in flight.',
    '',
  ];
  eventTypes.forEach((type, index) => lines.push(`  ${index} ${type}`));
  for (const role of roles) {
    lines.push('', role, `  ${''.padEnd(26)}${eventTypes.map((_, index) => index).join(' ')}`);
    for (const value of valuesOf(role)) {
      const cells = eventTypes.map((_, index) => cell(ask, role, value, index));
      lines.push(`  ${`${value.lifecycle}/${value.backing}`.padEnd(26)}${cells.join(' ')}`);
    }
    lines.push('', ...edges(ask, role));
  }
  return `${lines.join('\n')}\n`;
}

test('the legality matrix of the tables is the golden one', () => {
  const drawn = matrix(askTable);
  if (process.env['VARVE_REWRITE'] === '1') writeFileSync(golden, drawn);
  assert.equal(drawn, readFileSync(golden, 'utf8'), 'see VARVE_REWRITE in this file');
});

test('the legality matrix of xstate itself is the golden one', () => {
  assert.equal(matrix(askXstate), readFileSync(golden, 'utf8'));
});

test('tables and xstate agree on every state, context and event', () => {
  let comparedCount = 0;
  for (const role of roles) {
    for (const value of valuesOf(role)) {
      for (const [name, context] of Object.entries(contexts)) {
        for (const type of eventTypes) {
          for (const operationId of [currentOperationId, staleOperationId]) {
            const event = eventOf(role, type, operationId);
            assert.deepEqual(
              askTable(role, value, { context, event }),
              askXstate(role, value, { context, event }),
              `${role} ${value.lifecycle}/${value.backing} ${name} ${type} of ${operationId}`,
            );
            comparedCount += 1;
          }
        }
      }
    }
  }
  assert.ok(comparedCount > 3_000, `only ${comparedCount} were compared`);
});
