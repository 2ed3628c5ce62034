// The nearest valid name to one that was mistyped, for messages that end with what to do.

/** The candidate nearest to `name`; undefined if none is near enough to be a slip of the finger. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  // Of nothing, every short name is near.
  if (name === '') return undefined;
  const wanted = name.toLowerCase();
  const distanceMax = Math.max(2, Math.floor(wanted.length / 3));
  let best: string | undefined;
  let bestDistance = distanceMax + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - wanted.length) >= bestDistance) continue;
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * The key of a snapshot that `name` stands for in its user's mind: the newest (last) that ends in
 * it behind what containerd puts before ("default/7/"), else the nearest.
 */
export function nearestKey(name: string, keys: readonly string[]): string | undefined {
  const suffixed = name === '' ? undefined : keys.findLast((key) => key.endsWith(`/${name}`));
  return suffixed ?? nearestName(name, keys);
}

/** How many characters must be put in, taken out, replaced, or swapped with their neighbour. */
export function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const isSame = left[row - 1] === right[column - 1];
      let cost = Math.min(
        at(previous, column) + 1,
        at(current, column - 1) + 1,
        at(previous, column - 1) + (isSame ? 0 : 1),
      );
      const isSwap =
        row > 1 &&
        column > 1 &&
        left[row - 1] === right[column - 2] &&
        left[row - 2] === right[column - 1];
      if (isSwap) cost = Math.min(cost, at(beforePrevious, column - 2) + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, right.length);
}

const at = (row: readonly number[], column: number): number => row[column] as number;
