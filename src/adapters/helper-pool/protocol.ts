// Requests and replies of varve-helper (native/helper/operations.cpp). Paths are absolute.

export type HelperRequest =
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
  | { readonly operation: 'unmount'; readonly target: string; readonly flags: readonly string[] }
  /** Only with `--test`. */
  | { readonly operation: 'sleep'; readonly milliseconds: number };

/** A failure says at which step, with which errno name, and on what. */
export type HelperReply =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | {
      readonly ok: false;
      readonly code: string;
      readonly step: string;
      readonly message: string;
      readonly path?: string;
    };
