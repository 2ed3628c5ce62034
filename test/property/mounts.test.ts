// No unpack is ever answered with a read-only mount: containerd would take the layer for complete
// and empty. Nor with one that is not an overlay when the unpack brings its parent later: that
// would lose whiteouts. And a view is never writable.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decideCommit, decidePrepare, decideUpdate } from '../../src/machines/snapshot/decide.ts';
import { mountsOf } from '../../src/machines/snapshot/mounts.ts';
import { parentChainIdLabel, snapshotRefLabel } from '../../src/machines/snapshot/role.ts';
import { committed, committedBlock, fold, recordNext, policy } from '../machines/given.ts';
import { settings } from './settings.ts';

const chainId = `sha256:${'0123456789abcdef'.repeat(4)}`;
const label = fc.constantFrom(snapshotRefLabel, parentChainIdLabel, 'containerd.io/snapshot/x');
const value = fc.constantFrom(chainId, '', 'x');
const labels = fc.dictionary(label, value);
const request = fc.record({
  kind: fc.constantFrom('active' as const, 'view' as const),
  key: fc.oneof(
    fc.string({ minLength: 1, maxLength: 40 }),
    fc.constantFrom(`k8s.io/7/extract-1-a ${chainId}`, `${chainId.slice(7)}-init-key`, 'web'),
  ),
  parent: fc.constantFrom('', 'one', 'two', 'three', 'block', 'mixed'),
  labels,
  policy: fc.constantFrom('containerd' as const, 'docker' as const).map((runtimeType) => ({
    ...policy,
    runtimeType,
  })),
});

const base = fold(
  committed(1, 'one'),
  committed(2, 'two', { parent: 'one', parentId: 1 }),
  committed(3, 'three', { parent: 'two', parentId: 2 }),
  committedBlock(4, 'block'),
  committed(5, 'mixed', { parent: 'block', parentId: 4 }),
).toCheckpoint();

test('no unpack gets a read-only mount, no View a writable one, and Update changes none', async () => {
  const { Projection } = await import('../../src/machines/projection.ts');
  const { seed, runCount } = settings(2_000, 50_000);
  fc.assert(
    fc.property(request, labels, fc.boolean(), (command, updated, indexOff) => {
      const projection = Projection.fromCheckpoint(base);
      const decided = decidePrepare({ ...command, snapshotId: 9 }, projection.catalog);
      assert.ok(decided.ok);
      projection.apply(recordNext(projection, { snapshotId: 9, event: decided.value }));
      const state = projection.snapshot(9);
      assert.ok(state);
      const mountsNow = () => {
        const now = projection.snapshot(9);
        assert.ok(now);
        const lowers = projection.catalog.lowersOf(now);
        return mountsOf({
          ...now.context,
          device: null,
          isRemote: false,
          lowers,
          directory: '/s',
          indexOff,
          overlayType: 'overlay',
        });
      };
      const mounts = mountsNow();
      assert.equal(mounts.length, 1, 'the diff service wants exactly one');
      const [mount] = mounts;
      assert.ok(mount);
      const has = (start: string): boolean => mount.options.some((one) => one.startsWith(start));
      const isReadOnly =
        has('ro') ||
        (mount.type === 'overlay' && !has('upperdir=')) ||
        !(has('rw') || has('upper'));
      assert.equal(isReadOnly, command.kind === 'view');
      const isRebased = (state.context.labels[parentChainIdLabel] ?? '') !== '';
      const isPlain = command.kind === 'active' && command.parent === '' && isRebased;
      if (isPlain && state.context.role === 'imageLayer') {
        assert.deepEqual([mount.type, mount.options], ['overlay', ['upperdir=/s/9/fs']]);
      }
      if (isPlain) assert.ok(['imageLayer', 'initLayer'].includes(state.context.role));
      const update = decideUpdate(command.key, { labels: updated, paths: [] }, state);
      assert.ok(update.ok);
      projection.apply(recordNext(projection, { snapshotId: 9, event: update.value }));
      assert.deepEqual(mountsNow(), mounts, 'Mounts is what Prepare answered');
      if (command.kind === 'view') return;
      const commit = { name: 'committed', labels: updated, parent: '' };
      const begun = decideCommit(command.key, commit, projection.snapshot(9), projection.catalog);
      assert.ok(begun.ok);
      projection.apply(recordNext(projection, { snapshotId: 9, event: begun.value }));
      assert.deepEqual(mountsNow(), mounts, 'while it is committed, too');
    }),
    { seed, numRuns: runCount },
  );
});
