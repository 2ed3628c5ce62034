// The block devices of snapshots, for people: a line for each, and below it what it shows, who uses
// it and what went wrong.
import type {
  DeviceDocument,
  DevicesDocument,
  DeviceTrouble,
  NamedSnapshot,
} from '../../history/devices-document.ts';
import { failureReason } from '../../history/failure-text.ts';
import { counted, humanSize, printable } from '../../history/text.ts';
import type { Output, Style } from '../output.ts';
import { shortTime } from './state.ts';

const labelWidth = 12;

/** The devices; where figures are missing it says why. */
export function deviceLines(document: DevicesDocument, output: Output): readonly string[] {
  if (document.devices.length === 0) return ['No devices.'];
  const { figuresMissing } = document;
  const missing =
    figuresMissing === null
      ? []
      : [output.styled('yellow', `No figures: ${printable(figuresMissing)}.`)];
  return [...document.devices.flatMap((device) => linesOf(device, output)), ...missing];
}

const stateStyles: Readonly<Record<string, Style>> = {
  ready: 'green',
  lingering: 'green',
  kept: 'green',
  failed: 'red',
  lost: 'red',
};

function linesOf(device: DeviceDocument, output: Output): readonly string[] {
  const fact = (name: string, text: string): string =>
    `  ${output.styled('bold', name.padEnd(labelWidth))} ${text}`;
  const style = stateStyles[device.state];
  const state = style === undefined ? device.state : output.styled(style, device.state);
  const head = [
    output.styled('bold', `#${device.id}`),
    state,
    device.path === null ? null : printable(device.path),
    device.sizeBytes === null ? null : humanSize(device.sizeBytes),
    device.fileSystem === null ? null : printable(device.fileSystem),
    accessWords[device.access ?? ''] ?? null,
    device.transport,
  ];
  return [
    head.filter((text) => text !== null).join('  '),
    fact('layer', device.key === null ? 'removed' : printable(device.key)),
    ...listed(device.chain.map(named)).map((text, index) => fact(index === 0 ? 'on' : '', text)),
    ...(device.mountPoint === null ? [] : [fact('mounted at', printable(device.mountPoint))]),
    ...leaseTexts(device).map((text, index) => fact(index === 0 ? 'leased for' : '', text)),
    ...figureTexts(device).map((text) => fact('has done', text)),
    ...operationTexts(device).map((text) => fact('going on', text)),
    ...troubleTexts(device).map((text) => fact('last trouble', output.styled('red', text))),
  ];
}

const accessWords: Readonly<Record<string, string>> = { readOnly: 'ro', writable: 'rw' };

const named = ({ id, key }: NamedSnapshot): string =>
  key === null ? `#${id}` : `${printable(key)} (#${id})`;

/** So many names of a list are shown; `--json` has them all. */
const shownCountMax = 12;

function listed(texts: readonly string[]): readonly string[] {
  const shown = texts.slice(0, shownCountMax);
  const rest = texts.length - shown.length;
  return rest === 0 ? shown : [...shown, `and ${rest} more`];
}

function leaseTexts({ leases, lingersUntil, state }: DeviceDocument): readonly string[] {
  if (leases.length > 0) return listed(leases.map((one) => `${one.purpose} ${named(one)}`));
  if (lingersUntil !== null) return [`nobody, and goes at ${shortTime(lingersUntil)}`];
  return [state === 'kept' ? 'nobody, and stays until its layer is removed' : 'nobody'];
}

function figureTexts({ figures }: DeviceDocument): readonly string[] {
  if (figures === null) return [];
  const { readCount, readBytes, writeCount, writtenBytes, errorCount, damageCount } = figures;
  return [
    [
      `${counted(readCount, 'read')}, ${humanSize(readBytes)}`,
      ...(writeCount === 0 ? [] : [`${counted(writeCount, 'write')}, ${humanSize(writtenBytes)}`]),
      ...(errorCount === 0 ? [] : [counted(errorCount, 'error')]),
      ...(damageCount === 0 ? [] : [`damage met ${counted(damageCount, 'time')}`]),
    ].join('; '),
  ];
}

function operationTexts({ operation, state }: DeviceDocument): readonly string[] {
  if (operation === null || state === 'lingering') return [];
  const what = state === 'failed' ? 'waits for another try' : state;
  return [`${what}, attempt ${operation.attemptCount}`];
}

function troubleTexts({ lastTrouble, lastFailure }: DeviceDocument): readonly string[] {
  if (lastTrouble !== null) return [troubleText(lastTrouble)];
  return lastFailure === null ? [] : [failureReason(lastFailure)];
}

function troubleText({ globalSeq, time, type, reason, failure }: DeviceTrouble): string {
  const what =
    failure === null
      ? `it was lost: ${printable(reason)}`
      : `${type === 'DeviceAttachFailed' ? 'attaching' : 'detaching'} failed, ` +
        `${printable(failure.step)} with ${printable(failure.code)}: ${failureReason(failure)}`;
  return `${shortTime(time)}, event ${globalSeq}: ${what}`;
}
