// varve.v1.Control: operations on the node that no containerd asks for.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Call } from '../../engine/api.ts';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import type { NodeAccess } from '../node-access.ts';
import { fromSeq } from './convert.ts';
import type { varve } from './messages.ts';
import type { Rpc, RpcRunner } from './rpc.ts';

type CheckpointResponse = varve.v1.CheckpointResponse.$Properties;
type AttachRequest = varve.v1.AttachRequest.$Properties;
type AttachResponse = varve.v1.AttachResponse.$Properties;
type DetachResponse = varve.v1.DetachResponse.$Properties;
type CompactRequest = varve.v1.CompactRequest.$Properties;
type CompactResponse = varve.v1.CompactResponse.$Properties;

/** The handlers of the service. */
export function controlService(runner: RpcRunner, node: NodeAccess): UntypedServiceImplementation {
  return {
    checkpoint: runner.unary('Checkpoint', () => checkpoint(node)),
    compact: runner.unary('Compact', (request: CompactRequest, rpc) => compact(node, request, rpc)),
    attach: runner.unary('Attach', (request: AttachRequest, rpc) => attach(node, request, rpc)),
    detach: runner.unary('Detach', (request: AttachRequest, rpc) => detach(node, request, rpc)),
  };
}

async function checkpoint(node: NodeAccess): Promise<Result<CheckpointResponse>> {
  const engine = node.adminEngine();
  if (!engine.ok) return engine;
  return accepted({ globalSeq: await engine.value.storeCheckpoint() });
}

/** The call as an operator's: what it leads to is recorded so. */
const byOperator = (rpc: Rpc): Call => ({
  deadlineMs: rpc.deadlineMs,
  cause: { ...rpc.cause, kind: 'operator' },
});

async function attach(
  node: NodeAccess,
  { snapshot }: AttachRequest,
  rpc: Rpc,
): Promise<Result<AttachResponse>> {
  const engine = node.adminEngine();
  return engine.ok ? engine.value.attach(snapshot ?? '', byOperator(rpc)) : engine;
}

async function detach(
  node: NodeAccess,
  { snapshot }: AttachRequest,
  rpc: Rpc,
): Promise<Result<DetachResponse>> {
  const engine = node.adminEngine();
  if (!engine.ok) return engine;
  const detached = await engine.value.detach(snapshot ?? '', byOperator(rpc));
  return detached.ok
    ? accepted({ ...detached.value, leases: [...detached.value.leases] })
    : detached;
}

async function compact(
  node: NodeAccess,
  request: CompactRequest,
  rpc: Rpc,
): Promise<Result<CompactResponse>> {
  const throughSeq = fromSeq(request.throughSeq, 'through_seq');
  if (!throughSeq.ok) return throughSeq;
  const engine = node.adminEngine();
  if (!engine.ok) return engine;
  const { lastSeq } = engine.value.store;
  if (throughSeq.value > lastSeq) {
    return rejected('out_of_range', `the log ends at ${lastSeq}, before ${throughSeq.value}`);
  }
  return engine.value.compact(throughSeq.value, byOperator(rpc).cause);
}
