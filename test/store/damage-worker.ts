// Checks cases in a process of its own: LevelDB may end the process that opens a damaged table.
import { readFileSync } from 'node:fs';
import { checkCase } from './damage-check.ts';
import type { Case, Fixture } from './fixture.ts';

const fixture = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Fixture;

process.on('message', ({ one, root }: { readonly one: Case; readonly root: string }) => {
  checkCase(fixture, one, root).then(
    (outcome) => process.send?.({ outcome }),
    (error: unknown) => process.send?.({ failure: String((error as Error).stack) }),
  );
});
process.on('disconnect', () => process.exit());
