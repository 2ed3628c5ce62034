// What the looks of varve doctor have in common: what one says, and that none takes longer than its
// deadline, nor ends the others by failing.

export type Verdict =
  /** As it should be. */
  | 'ok'
  /** Worth knowing, and nothing that is needed is missing. */
  | 'note'
  | 'problem';

export interface Line {
  readonly topic: string;
  readonly name: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What was looked at. */
  readonly how: string;
  /** What to do; null where nothing is to be done. */
  readonly next: string | null;
}

/** What a look finds, without its name and place. */
export type Finding = Pick<Line, 'verdict' | 'found'> & {
  readonly next?: string;
  /** Where it is not what the look names. */
  readonly how?: string;
  /** Where it is not that of the look. */
  readonly name?: string;
};

export interface Look {
  readonly topic: string;
  readonly name: string;
  /** What it looks at; said also when it hangs. */
  readonly how: string;
  readonly look: () => Promise<Finding | readonly Finding[]>;
}

export const ok = (found: string): Finding => ({ verdict: 'ok', found });
export const note = (found: string, next?: string): Finding => ({
  verdict: 'note',
  found,
  ...(next === undefined ? {} : { next }),
});
export const problem = (found: string, next: string): Finding => ({
  verdict: 'problem',
  found,
  next,
});

export interface Looked {
  readonly lines: readonly Line[];
  /** Whether something still hangs: the process cannot end in the ordinary way. */
  readonly hangs: boolean;
}

/** All looks at once, each with its deadline. */
export async function lookAll(looks: readonly Look[], deadlineMs: number): Promise<Looked> {
  let hangs = false;
  const lines = await Promise.all(
    looks.map(async ({ topic, name, how, look }) => {
      const found = await withinDeadline(look, deadlineMs).catch(failed);
      if (found === 'late') hangs = true;
      const findings = found === 'late' ? late(deadlineMs) : found;
      return [findings].flat().map((one) => ({ topic, name, how, next: null, ...one }));
    }),
  );
  return { lines: lines.flat(), hangs };
}

function withinDeadline<Value>(
  work: () => Promise<Value>,
  deadlineMs: number,
): Promise<Value | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve('late'), deadlineMs);
    work()
      .finally(() => clearTimeout(timer))
      .then(resolve, reject);
  });
}

const late = (deadlineMs: number): Finding =>
  problem(
    `no answer within ${deadlineMs} ms`,
    'what was looked at hangs: look at dmesg, and at the disk or service behind it',
  );

function failed(error: unknown): Finding {
  const { code, message } = error as NodeJS.ErrnoException;
  const isDenied = code === 'EACCES' || code === 'EPERM';
  return problem(message, isDenied ? 'run varve doctor as root' : 'look at what was looked at');
}
