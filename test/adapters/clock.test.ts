// The process's clock: timers of any length.
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { systemClock } from '../../src/adapters/system/clock.ts';

const dayMs = 24 * 3600 * 1000;
/** The longest that Node's own timers take. */
const stepMs = 2 ** 31 - 1;

test('a timer of forty days fires after forty days, and a cancelled one never', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { after } = systemClock();
  const fired: string[] = [];
  after(40 * dayMs, () => fired.push('forty'));
  const cancel = after(40 * dayMs, () => fired.push('cancelled'));
  after(0, () => fired.push('none'));
  t.mock.timers.tick(1);
  assert.deepEqual(fired, ['none']);
  t.mock.timers.tick(stepMs - 1);
  cancel();
  t.mock.timers.tick(40 * dayMs - stepMs - 1);
  assert.deepEqual(fired, ['none']);
  t.mock.timers.tick(1);
  assert.deepEqual(fired, ['none', 'forty']);
});

test('no length of a timer is too long for Node', async (t) => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): number => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const cancels = [2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, Infinity].map((delayMs) =>
    systemClock().after(delayMs, () => assert.fail('it fired')),
  );
  t.after(() => cancels.forEach((cancel) => cancel()));
  await setImmediate();
  assert.deepEqual(warnings, []);
});
