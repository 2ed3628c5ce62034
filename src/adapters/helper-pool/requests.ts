// Requests and replies of varve-helper (native/helper/operations.cpp), in its own words.

/** What is done to directories, links and small files of the kernel. */
export type AttributeOperation = {
  /** What it is about, in place of its path: with one of them stuck, no other is tried. */
  readonly subject: string;
} & (
  | { readonly operation: 'make-directory'; readonly path: string }
  | { readonly operation: 'remove-directory'; readonly path: string }
  | { readonly operation: 'make-link'; readonly path: string; readonly target: string }
  | { readonly operation: 'remove-link'; readonly path: string }
  | { readonly operation: 'write-attribute'; readonly path: string; readonly text: string }
  | { readonly operation: 'read-attribute'; readonly path: string }
  | { readonly operation: 'list-directory'; readonly path: string }
  | { readonly operation: 'device-number'; readonly path: string }
  | { readonly operation: 'device-users'; readonly major: number; readonly minor: number }
  | { readonly operation: 'file-users'; readonly path: string }
);

/** One thing that can block. Paths are absolute. */
export type HelperOperation =
  | AttributeOperation
  | { readonly operation: 'disk-usage'; readonly path: string }
  | { readonly operation: 'remove-tree'; readonly path: string; readonly parent: string }
  | { readonly operation: 'sync-tree'; readonly path: string }
  | { readonly operation: 'syncfs'; readonly path: string }
  | {
      readonly operation: 'mount';
      readonly type: string;
      readonly source: string;
      readonly target: string;
      readonly options: readonly string[];
    }
  | {
      readonly operation: 'unmount';
      readonly target: string;
      readonly flags?: readonly ('detach' | 'force' | 'expire')[];
    }
  // Only answered by workers started for tests.
  | { readonly operation: 'sleep'; readonly milliseconds: number };

/** One request: an operation, or several that one worker carries out in order. */
export type HelperRequest =
  HelperOperation | { readonly operation: 'batch'; readonly requests: readonly HelperOperation[] };

/** The value of each operation's success. */
export interface HelperValues {
  readonly 'disk-usage': { readonly sizeBytes: number; readonly inodeCount: number };
  readonly 'remove-tree': { readonly removedCount: number };
  readonly 'sync-tree': { readonly syncedCount: number };
  readonly syncfs: Readonly<Record<string, never>>;
  readonly mount: Readonly<Record<string, never>>;
  /** False if nothing was mounted there. */
  readonly unmount: { readonly unmounted: boolean };
  /** False if there was one. */
  readonly 'make-directory': { readonly made: boolean };
  readonly 'make-link': { readonly made: boolean };
  /** False if there was none. */
  readonly 'remove-directory': { readonly removed: boolean };
  readonly 'remove-link': { readonly removed: boolean };
  readonly 'write-attribute': Readonly<Record<string, never>>;
  /** Bytes that are not UTF-8 are written as \xNN. */
  readonly 'read-attribute': { readonly text: string };
  /** By name; `target` of a link, else null. */
  readonly 'list-directory': {
    readonly entries: readonly { readonly name: string; readonly target: string | null }[];
  };
  readonly 'device-number': { readonly major: number; readonly minor: number };
  /** Each as a part of a sentence. */
  readonly 'device-users': { readonly users: readonly string[] };
  readonly 'file-users': { readonly users: readonly string[] };
  readonly sleep: Readonly<Record<string, never>>;
  /** One reply for each request, in order; a request that failed does not stop the next. */
  readonly batch: { readonly replies: readonly HelperResult<unknown>[] };
}

/** Why a request was not carried out. */
export interface HelperFailure {
  readonly ok: false;
  readonly errno: number;
  /**
   * The errno's name; ETIMEDOUT for a passed deadline, EAGAIN for no free worker, EBUSY also for a
   * subject with which a worker is still stuck.
   */
  readonly code: string;
  /** The system call that failed, or `deadline`, `queue`, `spawn`, `worker`, `abort`, `close`. */
  readonly step: string;
  /** Complete: what failed, on what, why. */
  readonly message: string;
  /** Bytes that are not UTF-8 are written as \xNN. */
  readonly path?: string;
  /** True if the worker could not be killed: the effect may still happen later. */
  readonly abandoned?: boolean;
}

/** The answer to a request. */
export type HelperResult<Value> = { readonly ok: true; readonly value: Value } | HelperFailure;

/** What a request is about: a path for each operation that is about one. */
export const subjectsOf = (request: HelperRequest): readonly string[] => {
  if (request.operation === 'batch') return request.requests.flatMap(subjectsOf);
  if ('subject' in request) return [request.subject];
  if ('path' in request) return [request.path];
  return 'target' in request ? [request.target] : [];
};

/** The same for messages and reports. */
export const subjectOf = (request: HelperRequest): string => subjectsOf(request).join(', ');
