// The layer tree of a state as lines of text. Iterative and cycle-proof: chains may be long, and a
// state from a file may be wrong.
import type { SnapshotSummary, StateDocument } from './state-document.ts';

/** A line of the tree: what to draw before the snapshot, and the snapshot. */
export interface TreeLine {
  readonly prefix: string;
  readonly depth: number;
  readonly snapshot: SnapshotSummary;
}

interface Pending {
  readonly snapshot: SnapshotSummary;
  /** What continues below this line's own connector. */
  readonly stem: string;
  readonly isLast: boolean;
  readonly depth: number;
}

/** The lines, parents before children, brothers by id. */
export function treeLines(state: StateDocument): readonly TreeLine[] {
  const ids = new Set(state.snapshots.map((snapshot) => snapshot.id));
  const children = new Map<number, SnapshotSummary[]>();
  const roots: SnapshotSummary[] = [];
  for (const snapshot of [...state.snapshots].sort((left, right) => left.id - right.id)) {
    const { parentId } = snapshot;
    if (parentId === null || !ids.has(parentId)) {
      roots.push(snapshot);
      continue;
    }
    const brothers = children.get(parentId);
    if (brothers === undefined) children.set(parentId, [snapshot]);
    else brothers.push(snapshot);
  }
  const lines: TreeLine[] = [];
  const stack: Pending[] = roots.map((root) => rootOf(root)).reverse();
  const drawn = new Set<number>();
  const all = [...state.snapshots];
  while (true) {
    // Whoever is left when the roots are done stands in a circle: it is broken at its first member.
    const next = stack.pop() ?? rootOf(all.find((snapshot) => !drawn.has(snapshot.id)));
    if (next === undefined) break;
    const { snapshot, stem, isLast, depth } = next;
    if (drawn.has(snapshot.id)) continue;
    drawn.add(snapshot.id);
    const connector = depth === 0 ? '' : isLast ? '└─ ' : '├─ ';
    lines.push({ prefix: stem + connector, depth, snapshot });
    const below = depth === 0 ? '' : stem + (isLast ? '   ' : '│  ');
    const own = children.get(snapshot.id) ?? [];
    for (let index = own.length - 1; index >= 0; index -= 1) {
      const child = own[index] as SnapshotSummary;
      stack.push({
        snapshot: child,
        stem: below,
        isLast: index === own.length - 1,
        depth: depth + 1,
      });
    }
  }
  return lines;
}

function rootOf(snapshot: SnapshotSummary): Pending;
function rootOf(snapshot: SnapshotSummary | undefined): Pending | undefined;
function rootOf(snapshot: SnapshotSummary | undefined): Pending | undefined {
  return snapshot && { snapshot, stem: '', isLast: true, depth: 0 };
}
