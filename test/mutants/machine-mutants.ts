// Sabotages of the pure core.
import type { Mutant } from './mutant.ts';

const snapshot = 'src/machines/snapshot';
const decide = `${snapshot}/decide.ts`;
const evolution = `${snapshot}/evolution.ts`;
const catalog = 'src/machines/catalog/catalog.ts';

export const machineMutants: readonly Mutant[] = [
  {
    name: 'outcomes of attempts that are over are taken',
    file: evolution,
    search: 'context.operation !== null && context.operation.operationId === data.operationId',
    replace: 'context.operation !== null && data !== undefined',
  },
  {
    name: 'a parent is removed under its child',
    file: decide,
    search: 'if (child !== undefined) {',
    replace: 'if (child !== undefined && key === "") {',
  },
  {
    name: 'Prepare takes a key that is taken',
    file: decide,
    search: 'if (facts.isTaken(key)) return nameTaken(key);',
    replace: '',
  },
  {
    name: 'Commit takes a name that is taken',
    file: decide,
    search: 'if (facts.isTaken(command.name)) return nameTaken(command.name);',
    replace: '',
  },
  {
    name: 'a Commit joins one that asks for other labels or another parent',
    file: decide,
    search: 'if (!commit || commit.name !== command.name) return false;',
    replace:
      'if (commit?.name !== command.name) return false; else if (commit !== null) return true;',
  },
  {
    name: 'any snapshot can be a parent',
    file: decide,
    search: "parent !== undefined && kindOf(parent) !== 'committed'",
    replace: 'parent !== undefined && key === ""',
  },
  {
    name: 'Commit adopts a parent that is not committed',
    file: decide,
    search: "if (kindOf(adopted) !== 'committed') {",
    replace: 'if (key === "") {',
  },
  {
    name: 'Commit changes the parent of Prepare',
    file: decide,
    search: "  if (parent !== '') {",
    replace: '  if (parent === key) {',
  },
  {
    name: 'an outcome is recorded where it is illegal',
    file: decide,
    search: 'event !== undefined && isLegal(state, candidate(state, event)) ? [event] : []',
    replace: 'event !== undefined ? [event] : []',
  },
  {
    name: 'Remove does not ask the machine',
    file: decide,
    search:
      "    : { type: 'SnapshotRemoveStarted', data: {} };\n  return isLegal(state, candidate(state, event))",
    replace: "    : { type: 'SnapshotRemoveStarted', data: {} };\n  return isLegal !== undefined",
  },
  {
    name: 'the catalog forgets the name that a commit in flight takes',
    file: catalog,
    search: 'if (name !== undefined) this.#claimed.set(name, snapshotId);',
    replace: '',
  },
  {
    name: 'a name that a failed commit took stays taken',
    file: catalog,
    search: 'if (name !== undefined) this.#claimed.delete(name);',
    replace: '',
  },
  {
    name: 'a key stays taken after Commit and Remove',
    file: catalog,
    search: '    this.#ids.delete(key);',
    replace: '',
  },
  {
    name: 'children that are gone still count',
    file: catalog,
    search: 'siblings?.delete(snapshotId);',
    replace: '',
  },
  {
    name: 'a commit in flight needs no effect',
    file: `${snapshot}/intents.ts`,
    search: "case 'committing':",
    replace: "case 'absent':",
  },
  {
    name: 'a removal in flight needs no effect',
    file: `${snapshot}/intents.ts`,
    search: "case 'removing':",
    replace: "case 'absent':",
  },
  {
    name: 'Commit keeps the labels of Prepare',
    file: evolution,
    search: 'labels: commit.labels,',
    replace: '',
  },
  {
    name: 'Commit keeps the key',
    file: evolution,
    search: '      key: commit.name,\n',
    replace: '',
  },
  {
    name: 'a parent brought by Commit is forgotten',
    file: evolution,
    search: '      parentId: commit.parentId,\n',
    replace: '',
  },
  {
    name: 'attempts of a removal are not counted',
    file: evolution,
    search: '(context.operation?.attemptCount ?? 0) + 1',
    replace: '(context.operation?.attemptCount ?? 0)',
  },
  {
    name: 'a parallel unpack gets a bind mount',
    file: `${snapshot}/mounts.ts`,
    search: 'if (request.awaitsParent) {',
    replace: "if (request.awaitsParent && role === 'initLayer') {",
  },
  {
    name: 'labels that came later decide how an unpack is mounted',
    file: evolution,
    search: 'labels: event.data.labels, updatedAtUs',
    replace:
      'labels: event.data.labels, awaitsParent: awaitsParent({ ...context, ...event.data }), updatedAtUs',
  },
  {
    name: 'an active snapshot without a parent is read-only',
    file: `${snapshot}/mounts.ts`,
    search: "return [bind(fs(snapshotId), 'rw')];\n  }",
    replace: "return [bind(fs(snapshotId), 'ro')];\n  }",
  },
  {
    name: 'layers are stacked in the wrong order',
    file: `${snapshot}/mounts.ts`,
    search: "lowers.map(pathOf).join(':')",
    replace: "lowers.map(pathOf).reverse().join(':')",
  },
  {
    name: 'Docker’s parent views are init layers',
    file: `${snapshot}/role.ts`,
    search: '/^[0-9a-f]{64}-init(-key)?$/',
    replace: '/^[0-9a-f]{64}-init/',
  },
  {
    name: 'a label is looked up in the prototype',
    file: `${snapshot}/labels.ts`,
    search: 'Object.hasOwn(update, key) ? update[key] : undefined',
    replace: 'update[key]',
  },
  {
    name: 'labels without a value are stored',
    file: `${snapshot}/labels.ts`,
    search: "filter(([key, value]) => value !== '' && key",
    replace: 'filter(([key]) => key',
  },
  {
    name: 'a gap in the log is not noticed',
    file: 'src/machines/projection.ts',
    search: 'recorded.globalSeq === this.#globalSeq + 1,',
    replace: 'recorded.globalSeq > 0,',
  },
  {
    name: 'a gap in a stream is not noticed',
    file: `${snapshot}/evolve.ts`,
    search: 'event.revision === state.revision + 1,',
    replace: 'event.revision > 0,',
  },
  {
    name: 'a container that writes its own device gets it read-only',
    file: `${snapshot}/mounts.ts`,
    search: "[bind(deviceMountPoint(directory, snapshotId), 'rw')]",
    replace: "[bind(deviceMountPoint(directory, snapshotId), 'ro')]",
  },
  {
    name: 'an unpack gets a device of its own',
    file: `${snapshot}/writable.ts`,
    search: "mode === 'overlayfs' || role === 'imageLayer'",
    replace: "mode === 'overlayfs'",
  },
  {
    name: 'the configuration changes what file system an image holds',
    file: `${snapshot}/writable.ts`,
    search: 'parent === undefined ? newContent(labels, policy) : contentAbove(parent)',
    replace: 'newContent(labels, policy)',
  },
  {
    name: 'a label may hand mkfs a path',
    file: 'src/machines/device/file-systems.ts',
    search: '/^[\\w^,.=:]+$/',
    replace: '/^[\\w^,.=:/]+$/',
  },
  {
    name: 'a parallel unpack of a remote layer is committed at Prepare',
    file: 'src/engine/remote-unpacks.ts',
    search: ' || awaitsParent(prepared)',
    replace: '',
  },
];
