// What is asked of the kernel's files for one device: in helper processes, each with a deadline,
// since whoever writes there waits for a daemon, and one that is gone never answers.
import { performance } from 'node:perf_hooks';
import type { CrashPoint, EffectResult } from '../../engine/ports.ts';
import { failed } from '../block-devices/failed.ts';
import type { HelperPool } from '../helper-pool/pool.ts';
import type {
  AttributeOperation,
  HelperFailure,
  HelperResult,
  HelperValues,
} from '../helper-pool/requests.ts';

type WithoutSubject<Operation> = Operation extends unknown ? Omit<Operation, 'subject'> : never;

/** One thing that is done to the kernel's files, or asked of them. */
export type Order = WithoutSubject<AttributeOperation>;

/** Carries it out. */
export type Ask = <One extends Order>(
  order: One,
) => Promise<HelperResult<HelperValues[One['operation']]>>;

/** In helper processes, all of it within the deadline; with one stuck the subject is let be. */
export function askHelpers(
  pool: Pick<HelperPool, 'run'>,
  { subject, deadlineMs }: { readonly subject: string; readonly deadlineMs: number },
): Ask {
  const endMs = performance.now() + deadlineMs;
  return (order) => {
    const remainingMs = Math.max(1, Math.ceil(endMs - performance.now()));
    const request = { ...order, subject } as unknown as AttributeOperation;
    return pool.run(request, { deadlineMs: remainingMs }) as Promise<HelperResult<never>>;
  };
}

/** What changes something, in the order of an attach, then of a detach. */
export type TargetStep =
  | 'makeAdapter'
  | 'makeCore'
  | 'configure'
  | 'limitData'
  | 'enable'
  | 'setTimeOut'
  | 'makeFabric'
  | 'makePort'
  | 'makeGroup'
  | 'makeUnit'
  | 'makeNexus'
  | 'link'
  | 'setDiskTimeOut'
  | 'unlink'
  | 'removeUnit'
  | 'removeGroup'
  | 'removePort'
  | 'removeCore';

/** Carries out what changes something, between two crash points. */
export class Steps {
  readonly #ask: Ask;
  readonly #crashPoint: CrashPoint;

  constructor(ask: Ask, crashPoint: CrashPoint) {
    this.#ask = ask;
    this.#crashPoint = crashPoint;
  }

  async take<One extends Order>(
    step: TargetStep,
    order: One,
  ): Promise<HelperResult<HelperValues[One['operation']]>> {
    const crashPoint = this.#crashPoint;
    crashPoint(`target:${step}:before`);
    const result = await this.#ask(order);
    crashPoint(`target:${step}:after`);
    return result;
  }
}

/** The failure of an effect that a helper's failure is. */
export const failedOrder = (failure: HelperFailure): EffectResult<never> => failed(failure);

/** The value; undefined if what was asked of is not there. */
export function ifThere<Value>(result: HelperResult<Value>): HelperResult<Value | undefined> {
  if (result.ok) return result;
  return result.code === 'ENOENT' ? { ok: true, value: undefined } : result;
}
