// Writes docs/machines/*.md from the machines themselves: one diagram for each region.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AnyStateMachine } from 'xstate';
import { deviceMachine } from '../src/machines/device/machine.ts';
import { snapshotMachines } from '../src/machines/snapshot/machine.ts';

type Region = AnyStateMachine['root'];

const titles: Readonly<Record<keyof typeof snapshotMachines, string>> = {
  imageLayer: 'Image layer',
  initLayer: 'Init layer',
  containerLayer: 'Container layer',
  view: 'View',
};

const nameOf = (reference: unknown): string =>
  typeof reference === 'string' ? reference : (reference as { readonly type: string }).type;

/** One region as a Mermaid state diagram. */
function diagram(region: Region): readonly string[] {
  const lines = ['```mermaid', 'stateDiagram-v2'];
  const first = region.initial.target[0];
  if (first !== undefined) lines.push(`  [*] --> ${first.key}`);
  for (const [name, state] of Object.entries(region.states)) {
    for (const transitions of state.transitions.values()) {
      for (const transition of transitions) {
        const target = transition.target?.[0]?.key ?? name;
        const guard = transition.guard === undefined ? '' : ` [${nameOf(transition.guard)}]`;
        lines.push(`  ${name} --> ${target}: ${transition.eventType}${guard}`);
      }
    }
    if (state.type === 'final') lines.push(`  ${name} --> [*]`);
    if (state.tags.includes('inFlight')) lines.push(`  class ${name} inFlight`);
  }
  return [...lines, '  classDef inFlight stroke-width:3px', '```'];
}

function documentOf(title: string, machine: AnyStateMachine, source: string): string {
  return [
    `# ${title}`,
    '',
    `Generated from \`src/machines/${source}/machine.ts\` by \`scripts/generate-machine-docs.ts\`;`,
    'do not edit. States with a thick border are in flight: they owe one effect, whose outcome is the',
    'event that leaves them. A guard `isCurrent…` lets only the outcome of the newest attempt pass.',
    ...Object.entries(machine.root.states).flatMap(([name, region]) => [
      '',
      `## Region \`${name}\``,
      '',
      ...diagram(region),
    ]),
    '',
  ].join('\n');
}

const fileNames: Readonly<Record<keyof typeof snapshotMachines, string>> = {
  imageLayer: 'image-layer',
  initLayer: 'init-layer',
  containerLayer: 'container-layer',
  view: 'view',
};

/** Path in the checkout and text of every document. */
export function machineDocuments(): ReadonlyMap<string, string> {
  const roles = Object.keys(snapshotMachines) as (keyof typeof snapshotMachines)[];
  return new Map([
    ...roles.map((role): [string, string] => [
      `docs/machines/${fileNames[role]}.md`,
      documentOf(titles[role], snapshotMachines[role], 'snapshot'),
    ]),
    ['docs/machines/device.md', documentOf('Device', deviceMachine, 'device')],
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const checkout = fileURLToPath(new URL('..', import.meta.url));
  mkdirSync(`${checkout}docs/machines`, { recursive: true });
  for (const [path, text] of machineDocuments()) writeFileSync(checkout + path, text);
}
