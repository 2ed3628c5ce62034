// The nearest valid name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearestName } from '../../src/config/nearest.ts';

test('the distance counts characters put in, taken out, replaced and swapped', () => {
  assert.equal(editDistance('root', 'root'), 0);
  assert.equal(editDistance('rot', 'root'), 1);
  assert.equal(editDistance('roots', 'root'), 1);
  assert.equal(editDistance('rook', 'root'), 1);
  assert.equal(editDistance('orot', 'root'), 1);
  assert.equal(editDistance('', 'root'), 4);
});

test('a slip finds its name whatever the case; something else finds none', () => {
  const names = ['asyncRemove', 'address', 'adminAddress'];
  assert.equal(nearestName('asynRemove', names), 'asyncRemove');
  assert.equal(nearestName('ADRESS', names), 'address');
  assert.equal(nearestName('colour', names), undefined);
  assert.equal(nearestName('x', []), undefined);
  assert.equal(nearestName('', ['#3']), undefined);
});
