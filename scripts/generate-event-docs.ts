// Writes docs/events.md from the declarations in src/machines: `generate-event-docs.ts` writes the
// file, with `--print` it goes to standard output. Every event must have a doc comment.
import { readFileSync, readdirSync, existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const checkout = fileURLToPath(new URL('..', import.meta.url));
const machines = `${checkout}src/machines/`;

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
    return `| \`${name}\` | \`${cell(typeText(member.type))}\` | ${cell(commentOf(member))} |`;
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
      .filter(({ name }) => ['Cause', 'EffectFailure'].includes(name.text))
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
      .filter(({ name }) => /(Role|Backing|Labels)$/.test(name.text))
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
    'An event is a recorded fact: it is never changed and never refused on replay. A changed shape gets',
    'a new schema version and an upcaster, a changed meaning a new type ([adr/0007](adr/0007-versions-and-upcasters.md)).',
    '`varve events` prints them, `varve why KEY` tells those of one snapshot in sentences.',
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
