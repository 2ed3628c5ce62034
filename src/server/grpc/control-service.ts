// varve.v1.Control: operations on the node that no containerd asks for.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { accepted, rejected, type Result } from '../../machines/kernel/rejection.ts';
import type { NodeAccess } from '../node-access.ts';
import { fromSeq } from './convert.ts';
import type { varve } from './messages.ts';
import type { Rpc, RpcRunner } from './rpc.ts';

type CheckpointResponse = varve.v1.CheckpointResponse.$Properties;
type CompactRequest = varve.v1.CompactRequest.$Properties;
type CompactResponse = varve.v1.CompactResponse.$Properties;

/** The handlers of the service. */
export function controlService(runner: RpcRunner, node: NodeAccess): UntypedServiceImplementation {
  return {
    checkpoint: runner.unary('Checkpoint', () => checkpoint(node)),
    compact: runner.unary('Compact', (request: CompactRequest, rpc) => compact(node, request, rpc)),
  };
}

async function checkpoint(node: NodeAccess): Promise<Result<CheckpointResponse>> {
  const engine = node.adminEngine();
  if (!engine.ok) return engine;
  return accepted({ globalSeq: await engine.value.storeCheckpoint() });
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
  const cause = { ...rpc.cause, kind: 'operator' as const };
  return engine.value.compact(throughSeq.value, cause);
}
