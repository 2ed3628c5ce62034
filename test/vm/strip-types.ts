// Prints the sources without their types, as JSON: their paths in the checkout, and their texts.
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';

const folders = ['bench', 'scripts', 'src', 'test'];
const paths = globSync(folders.map((folder) => `${folder}/**/*.ts`));
const stripped = paths.map((path) => [path, stripTypeScriptTypes(readFileSync(path, 'utf8'))]);
process.stdout.write(JSON.stringify(Object.fromEntries(stripped)));
