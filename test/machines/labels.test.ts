// Labels as stored, and field masks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  labelBytesMax,
  labelCountMax,
  storedLabels,
  updatedLabels,
} from '../../src/machines/snapshot/labels.ts';
import { fold, prepared } from './given.ts';
import type { Labels } from '../../src/machines/snapshot/events.ts';

// A literal would set the prototype instead of a label.
const withProto = (value: string): Labels => JSON.parse(`{"__proto__":"${value}"}`) as Labels;

function stored(labels: Labels): Labels {
  const result = storedLabels(labels);
  assert.ok(result.ok);
  return result.value;
}

function updated(current: Labels, update: Labels, ...paths: readonly string[]): Labels {
  const result = updatedLabels(current, update, paths);
  assert.ok(result.ok);
  return result.value;
}

test('a label called __proto__ is a label like any other', () => {
  const labels = stored(withProto('x'));
  assert.deepEqual(Object.entries(labels), [['__proto__', 'x']]);
  assert.equal(Object.getPrototypeOf(labels), Object.prototype);
  assert.equal(JSON.stringify(labels), '{"__proto__":"x"}');
});

test('a mask can set and delete a label called __proto__', () => {
  const set = updated({ a: '1' }, withProto('x'), 'labels.__proto__');
  assert.equal(JSON.stringify(set), '{"__proto__":"x","a":"1"}');
  assert.equal(JSON.stringify(updated(set, {}, 'labels.__proto__')), '{"a":"1"}');
  assert.equal(JSON.stringify(updated({ a: '1' }, {}, 'labels.constructor')), '{"a":"1"}');
});

test('a label called __proto__ survives folding and a checkpoint', () => {
  const projection = fold(prepared(1, { labels: withProto('x') }));
  const checkpoint = JSON.parse(JSON.stringify(projection.toCheckpoint())) as {
    snapshots: [{ context: { labels: Labels } }];
  };
  assert.deepEqual(Object.entries(checkpoint.snapshots[0].context.labels), [['__proto__', 'x']]);
});

test('a label of exactly the limit is stored, one byte more is refused', () => {
  const value = 'v'.repeat(labelBytesMax - 1);
  assert.deepEqual(stored({ k: value }), { k: value });
  const refused = storedLabels({ kk: value });
  assert.ok(!refused.ok);
  assert.equal(refused.rejection.code, 'invalid_argument');
});

test('a label without a key is refused', () => {
  for (const value of ['x', '']) {
    const refused = storedLabels({ '': value });
    assert.ok(!refused.ok);
    assert.equal(refused.rejection.code, 'invalid_argument');
  }
});

test('label lengths are bytes of UTF-8, not characters', () => {
  assert.ok(storedLabels({ k: '😀'.repeat(1023) }).ok);
  assert.ok(!storedLabels({ k: '😀'.repeat(1024) }).ok);
  assert.ok(!storedLabels({ k: '€'.repeat(1366) }).ok);
});

test('more labels than the limit are refused', () => {
  const many = (count: number): Labels =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`label-${index}`, 'x']));
  assert.ok(storedLabels(many(labelCountMax)).ok);
  assert.ok(!storedLabels(many(labelCountMax + 1)).ok);
});

test('equal labels are stored equal, in whatever order they came', () => {
  const one = JSON.stringify(stored({ b: '2', a: '1', c: '' }));
  assert.equal(one, JSON.stringify(stored({ a: '1', b: '2' })));
});

test('no mask and the mask labels replace all labels', () => {
  assert.deepEqual(updated({ old: '1' }, { fresh: '2' }), { fresh: '2' });
  assert.deepEqual(updated({ old: '1' }, { fresh: '2' }, 'labels'), { fresh: '2' });
  assert.deepEqual(updated({ old: '1' }, {}), {});
});

test('mask paths apply from left to right', () => {
  const current = { a: '1', b: '2' };
  assert.deepEqual(updated(current, { c: '3' }, 'labels', 'labels.a'), { c: '3' });
  assert.deepEqual(updated(current, { a: '9', c: '3' }, 'labels.a', 'labels'), { a: '9', c: '3' });
});

test('everything after the first "labels." is the key', () => {
  const key = 'containerd.io/snapshot/labels.x';
  assert.deepEqual(updated({}, { [key]: '1' }, `labels.${key}`), { [key]: '1' });
});

test('an empty value or none deletes the label', () => {
  assert.deepEqual(updated({ a: '1' }, { a: '' }, 'labels.a'), {});
  assert.deepEqual(updated({ a: '1' }, {}, 'labels.a'), {});
});

test('any other path refuses the whole call and names the path', () => {
  for (const path of ['parent', 'labels.', 'label', 'labels[a]', 'name', '']) {
    const result = updatedLabels({ a: '1' }, { a: '2' }, ['labels.a', path]);
    assert.ok(!result.ok, path);
    assert.equal(result.rejection.code, 'invalid_argument');
    assert.ok(result.rejection.message.includes(JSON.stringify(path)), result.rejection.message);
  }
});
