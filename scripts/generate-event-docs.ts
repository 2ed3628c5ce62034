// Writes docs/events.md from the declarations in src/machines: `generate-event-docs.ts` writes the
// file, with `--print` it goes to standard output. Every event must have a doc comment.
import { readFileSync, readdirSync, existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { firstPreviousHash } from '../src/history/event-hash.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url));
const machines = `${checkout}src/machines/`;

/** What fields of these names mean wherever they occur without a comment of their own. */
const commonMeanings: Readonly<Record<string, string>> = {
  type: 'The event type: one of those below.',
  data: "The event's own data, as below.",
  globalSeq: 'Position in the whole log, from 1, without gaps.',
  revision: 'Position in its stream, from 1, without gaps.',
  schemaVersion: 'Version of the shape of `data`.',
  timeUs: 'Microseconds since the Unix epoch, UTC. For readers; nothing is decided by it.',
  cause: 'Why it was recorded.',
  previousHash: `The hash of the event before it in its stream; ${firstPreviousHash} for the first.`,
  hash: 'The first 128 bits of SHA-256 over `previousHash` and the event, in hexadecimal.',
  version: 'The version of varve.',
  pid: 'The process of the server.',
  reason: 'Why the server ended: a signal or an error.',
  fromId: 'The lowest id that this reserves.',
  upTo: 'The highest id that may have been handed out.',
  snapshotIds: 'The ids whose directories were deleted.',
  horizonSeq: 'The last position of the dropped history.',
  removedEventCount: 'How many events were dropped.',
  lost: 'Positions that could not be saved.',
  snapshotId: 'The id in the names of the stream and of the directory; never used twice.',
  deviceId: "The id of the snapshot whose device it is, in the stream's name.",
  purpose: 'What the snapshot needs it for.',
  plan: 'How it is attached, and what is done with it.',
  access: 'Whether it can be written.',
  untilUs: 'Microseconds since the Unix epoch, UTC.',
  role: 'What the snapshot is for.',
  key: "The caller's key.",
  name: 'The name that the snapshot takes.',
  parent: "Name of the parent, '' if none.",
  parentId: 'Id of the parent, null if none.',
  labels: 'All labels.',
  backing: 'What holds the data.',
  failure: 'The step that failed and why.',
  operationId: 'The attempt that this is the outcome of: the revision of the event that began it.',
  sizeBytes: 'Disk space used: 512-byte blocks of each distinct inode.',
  inodeCount: 'Number of distinct inodes, directories included.',
  kind: 'Who or what led to it.',
  requestId: 'The id of the request in the log lines of the service.',
  message: 'The failure in a sentence.',
  path: 'The file or directory concerned.',
};

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
}

/** The doc comment of a node as one line of text. */
function commentOf(node: ts.Node): string {
  return ts
    .getJSDocCommentsAndTags(node)
    .map((doc) => (typeof doc.comment === 'string' ? doc.comment : ''))
    .join(' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Text for a cell of a table. */
const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\s+/g, ' ');

/** The type as a reader wants it: no `readonly`, no line breaks. */
function typeText(node: ts.TypeNode | undefined): string {
  if (node === undefined) return '';
  if (node.getText().startsWith('Readonly<Record<never')) return 'none';
  return node
    .getText()
    .replace(/\breadonly\s+/g, '')
    .replace(/\s+/g, ' ')
    .replace(/; }/g, ' }');
}

function fieldRows(members: readonly ts.TypeElement[]): string[] {
  const rows = members.filter(ts.isPropertySignature).map((member) => {
    const name = member.name.getText() + (member.questionToken ? '?' : '');
    const meaning = commentOf(member) || (commonMeanings[member.name.getText()] ?? '');
    return `| \`${name}\` | \`${cell(typeText(member.type))}\` | ${cell(meaning)} |`;
  });
  return rows.length === 0 ? [] : ['| field | type | meaning |', '|---|---|---|', ...rows];
}

function interfaces(file: ts.SourceFile): readonly ts.InterfaceDeclaration[] {
  return file.statements.filter(ts.isInterfaceDeclaration);
}

/** The numbers of the `…EventVersions` constant, by event type. */
function versionsOf(file: ts.SourceFile): ReadonlyMap<string, string> {
  const versions = new Map<string, string>();
  const visit = (node: ts.Node): void => {
    if (
      ts.isVariableDeclaration(node) &&
      node.name.getText().endsWith('EventVersions') &&
      node.initializer !== undefined &&
      ts.isObjectLiteralExpression(node.initializer)
    ) {
      for (const property of node.initializer.properties) {
        if (!ts.isPropertyAssignment(property)) continue;
        versions.set(property.name.getText(), property.initializer.getText());
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return versions;
}

function eventSections(file: ts.SourceFile): string[] {
  const versions = versionsOf(file);
  const declaration = interfaces(file).find(({ name }) => name.text.endsWith('EventData'));
  if (declaration === undefined) throw new Error(`${file.fileName}: no interface …EventData`);
  return declaration.members.filter(ts.isPropertySignature).flatMap((member) => {
    const type = member.name.getText();
    const meaning = commentOf(member);
    const version = versions.get(type);
    if (meaning === '') throw new Error(`${file.fileName}: ${type} has no doc comment`);
    if (version === undefined) throw new Error(`${file.fileName}: ${type} has no version`);
    const rows =
      member.type !== undefined && ts.isTypeLiteralNode(member.type)
        ? fieldRows([...member.type.members])
        : [];
    const data = rows.length === 0 ? ['No data of its own.'] : rows;
    return [`### ${type}`, '', `${meaning} Schema version ${version}.`, '', ...data, ''];
  });
}

/** Interfaces and unions that fields refer to. */
function sharedTypes(files: readonly ts.SourceFile[]): string[] {
  const shown = files.flatMap((file) => [
    ...interfaces(file)
      .filter(({ name }) =>
        ['Cause', 'EffectFailure', 'DevicePlan', 'BlockContent'].includes(name.text),
      )
      .flatMap((one) => [
        `### ${one.name.text}`,
        '',
        commentOf(one),
        '',
        ...fieldRows([...one.members]),
        '',
      ]),
    ...file.statements
      .filter(ts.isTypeAliasDeclaration)
      .filter(({ name }) => /(Role|Backing|Labels|Purpose)$/.test(name.text))
      .flatMap((one) => [
        `### ${one.name.text}`,
        '',
        `${commentOf(one)} \`${typeText(one.type)}\``.trim(),
        '',
      ]),
  ]);
  return shown;
}

/** The fields that every event carries, as it stands in the log. */
function envelope(file: ts.SourceFile): string[] {
  const wanted = ['RecordedEvent', 'StoredEvent', 'NewEvent'];
  const members = interfaces(file)
    .filter(({ name }) => wanted.includes(name.text))
    .flatMap(({ members: own }) => [...own]);
  return fieldRows(members);
}

function render(): string {
  const aggregates = readdirSync(machines)
    .filter((name) => existsSync(`${machines}${name}/events.ts`))
    .sort();
  const files = aggregates.map((name) => parse(`${machines}${name}/events.ts`));
  const kernel = parse(`${machines}kernel/envelope.ts`);
  return [
    '# Events',
    '',
    'Generated from `src/machines/*/events.ts` by `make docs`; do not edit.',
    '',
    'An event is a recorded fact: it is never changed and never refused on replay. A changed shape',
    'gets a new schema version and an upcaster, a changed meaning a new type',
    '([adr/0007](adr/0007-versions-and-upcasters.md)).',
    '`varve events` prints them, `varve why KEY` tells those of one snapshot in sentences.',
    '[following.md](following.md) says how to follow them. `varve events --json` gives each also a',
    '`time`: `timeUs` as text.',
    '',
    '## Every event',
    '',
    ...envelope(kernel),
    '',
    ...aggregates.flatMap((name, index) => [
      `## Stream \`${name === 'node' ? 'node' : `${name}-<id>`}\``,
      '',
      ...eventSections(files[index]!),
    ]),
    '## Types',
    '',
    ...sharedTypes([kernel, ...files]),
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

const text = render();
if (process.argv.includes('--print')) process.stdout.write(text);
else writeFileSync(`${checkout}docs/events.md`, text);
