// Block devices, their figures and their events, for people.
import type { BlockDaemonEvent } from '../../adapters/block-daemon/client.ts';
import { humanSize, printable } from '../../history/text.ts';
import type { BlockDevice, DeviceStats, OperationStats } from '../block-devices/documents.ts';
import type { Output } from '../output.ts';
import { tableLines } from '../table.ts';

/** The devices as a table, and below it why some are not served. */
export function deviceTable(devices: readonly BlockDevice[], output: Output): readonly string[] {
  if (devices.length === 0) return ['No devices.'];
  const columns = [
    { title: 'DEVICE', isFlexible: true },
    { title: 'PATH' },
    { title: 'TRANSPORT' },
    { title: 'STATE' },
    { title: 'MODE' },
    { title: 'SIZE', isRight: true },
    { title: 'DAMAGE', isRight: true },
    { title: 'CONFIG', isFlexible: true },
  ];
  const rows = devices.map((one) => [
    one.device,
    one.path ?? '-',
    one.transport,
    one.work === null || one.state === 'opening' ? one.state : `${one.state}, ${one.work}`,
    one.readOnly === undefined ? '-' : one.readOnly ? 'ro' : 'rw',
    one.sizeBytes === undefined ? '-' : humanSize(one.sizeBytes),
    String(one.damageCount ?? '-'),
    printable(one.config),
  ]);
  const problems = devices.flatMap(({ device, problem }) =>
    problem === undefined ? [] : [`${device} is not served again yet: ${printable(problem)}`],
  );
  return [...tableLines(columns, rows, output), ...problems];
}

/** The figures of devices: a line for each kind of request that there was. */
export function statsTable(devices: readonly DeviceStats[], output: Output): readonly string[] {
  if (devices.length === 0) return ['No devices.'];
  const columns = [
    { title: 'DEVICE', isFlexible: true },
    { title: 'OPERATION' },
    { title: 'REQUESTS', isRight: true },
    { title: 'ERRORS', isRight: true },
    { title: 'BYTES', isRight: true },
    { title: 'MEAN', isRight: true },
    { title: 'P50', isRight: true },
    { title: 'P99', isRight: true },
    { title: 'DAMAGE', isRight: true },
  ];
  const rows = devices.flatMap(({ device, damageCount, operations }) => {
    const used = Object.entries(operations).filter(([, { requestCount }]) => requestCount > 0);
    if (used.length === 0)
      return [[device, '-', '0', '0', '-', '-', '-', '-', String(damageCount)]];
    return used.map(([name, stats]) => [
      device,
      name,
      String(stats.requestCount),
      String(stats.errorCount),
      humanSize(stats.sizeBytes),
      duration(stats.durationNs / 1000 / stats.requestCount),
      quantile(stats, 0.5),
      quantile(stats, 0.99),
      String(damageCount),
    ]);
  });
  return tableLines(columns, rows, output);
}

/** A bound that this share of the requests kept. */
function quantile({ latency, requestCount }: OperationStats, share: number): string {
  let seen = 0;
  for (const { upToUs, requestCount: count } of latency) {
    seen += count;
    if (seen >= share * requestCount) return upToUs === null ? '> 17 s' : `≤ ${duration(upToUs)}`;
  }
  return '-';
}

function duration(microseconds: number): string {
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  if (microseconds < 1_000_000) return `${(microseconds / 1000).toFixed(1)} ms`;
  return `${(microseconds / 1_000_000).toFixed(1)} s`;
}

const eventStyles: Readonly<Record<string, 'red' | 'yellow'>> = {
  damage: 'red',
  error: 'red',
  gap: 'yellow',
};

/** One event as a line. */
export function blockEventLine(event: BlockDaemonEvent, output: Output): string {
  const { event: kind, time, device, ...rest } = event;
  const style = eventStyles[kind];
  const fields = Object.entries(rest).map(
    ([name, value]) =>
      `${name}=${typeof value === 'string' ? printable(value) : JSON.stringify(value)}`,
  );
  const shown = style === undefined ? kind : output.styled(style, kind);
  const name = typeof device === 'string' ? device : '';
  return [output.styled('dim', time), shown, name, ...fields]
    .filter((text) => text !== '')
    .join('  ');
}
