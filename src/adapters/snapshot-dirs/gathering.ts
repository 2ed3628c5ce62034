// Many requests in one call, where the call costs more than the work: what comes in while enough
// calls are in flight waits, and shares the next one. Nobody waits for company.

export interface GatheringLimits {
  /** Calls in flight at a time. */
  readonly callsMax: number;
  /** Requests in one call. */
  readonly requestsMax: number;
}

interface Waiting<Request, Answer> {
  readonly request: Request;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Turns `callAll` (one answer for each request, in order) into a call for one request. */
export function gathered<Request, Answer>(
  callAll: (requests: readonly Request[]) => Promise<readonly Answer[]>,
  { callsMax, requestsMax }: GatheringLimits,
): (request: Request) => Promise<Answer> {
  const waiting: Waiting<Request, Answer>[] = [];
  let callCount = 0;

  function callWhileAllowed(): void {
    while (callCount < callsMax && waiting.length > 0) call(waiting.splice(0, requestsMax));
  }

  function call(group: readonly Waiting<Request, Answer>[]): void {
    callCount += 1;
    callAll(group.map(({ request }) => request))
      .then(
        (answers) => {
          for (const [index, one] of group.entries()) one.resolve(answers[index] as Answer);
        },
        (error: unknown) => {
          for (const { reject } of group) reject(error);
        },
      )
      .finally(() => {
        callCount -= 1;
        callWhileAllowed();
      });
  }

  return (request) =>
    new Promise((resolve, reject) => {
      waiting.push({ request, resolve, reject });
      // Those that come in the same turn of the event loop share the call: calls to a server come
      // many at once, each in a task of its own.
      if (waiting.length === 1) setImmediate(callWhileAllowed);
    });
}
