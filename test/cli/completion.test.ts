// The completion scripts, run by the shells that are there: what each offers after some words.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { completionScript, shells } from '../../src/cli/completion.ts';
import type { Shell } from '../../src/cli/completion.ts';
import { commandsOf, varveProgram } from '../../src/cli/program.ts';
import { scratch, varve } from './varve.ts';

/** Prints, one a line, what is offered for the last of `words`; FILES where files are. */
const questions: Readonly<Record<Shell, (words: readonly string[]) => string>> = {
  // bash completes files where the script answers nothing, unless it switches that off.
  bash: (words) => `
    files=FILES
    compopt() { files=; }
    COMP_WORDS=(${quoted(words)}); COMP_CWORD=${words.length - 1}
    _varve varve
    printf '%s\\n' "\${COMPREPLY[@]}" $files`,
  zsh: (words) => `
    words=(${quoted(words)}); CURRENT=${words.length}
    compadd() { shift; local word; for word; do [[ $word == $words[CURRENT]* ]] && print -- $word; done }
    _files() { print FILES }
    _varve`,
  fish: (words) => `complete -C ${quoted([words.join(' ')])} | string replace -r '\\t.*' ''`,
};

/** What must stand before the script where it is not the shell's own. */
const preludes: Readonly<Record<Shell, string>> = { bash: '', zsh: 'compdef() { : }', fish: '' };

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ');

function offered(shell: Shell, words: readonly string[]): readonly string[] {
  const script = completionScript(varveProgram(), shell);
  const input = `${preludes[shell]}\n${script}\n${questions[shell](words)}\n`;
  const args = { bash: ['--norc'], zsh: ['-f'], fish: ['--no-config'] }[shell];
  const { stdout, stderr } = spawnSync(shell, [...args, '-c', input], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return [...new Set(stdout.split('\n').filter((line) => line !== ''))];
}

const isThere = (shell: Shell): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

for (const shell of shells) {
  if (!isThere(shell)) {
    test(`the completion of ${shell}`, { skip: `${shell} is not here` });
    continue;
  }

  test(`${shell} completes commands, subcommands, options and arguments`, () => {
    const begins = (...words: readonly string[]): readonly string[] => {
      const last = words.at(-1) ?? '';
      return offered(shell, words).filter((word) => word !== '' && word.startsWith(last));
    };
    assert.deepEqual(begins('varve', 'ev'), ['events']);
    assert.deepEqual(begins('varve', 'hel'), ['help']);
    assert.deepEqual(begins('varve', 'help', 'ev'), ['events']);
    assert.deepEqual([...begins('varve', 'config', 'd')].sort(), ['default', 'dump']);
    assert.deepEqual(begins('varve', 'events', '--fo'), ['--follow']);
    assert.deepEqual(begins('varve', 'config', 'dump', '--co'), ['--config']);
    assert.deepEqual(begins('varve', 'completion', 'fi'), ['fish']);
    assert.ok(begins('varve', 'ls', '-').includes('-a'));
  });

  test(`${shell} passes over an option with its value`, () => {
    assert.deepEqual(offered(shell, ['varve', '--address', '/x', 'ev']), ['events']);
    const after = offered(shell, ['varve', '--address', '/x', 'ls', '--js']);
    assert.deepEqual(after, ['--json']);
    const value = offered(shell, ['varve', 'events', '--type', 'ls', '--fol']);
    assert.deepEqual(value, ['--follow']);
  });

  test(`${shell} offers files where a file is meant, and only there`, () => {
    const commands = ['events', 'serve', 'ls'];
    const isOfFiles = (...words: readonly string[]): boolean => {
      const words_ = offered(shell, words);
      assert.ok(!commands.some((command) => words_.includes(command)), words_.join(' '));
      return words_.includes('FILES') || words_.includes('README.md');
    };
    assert.equal(isOfFiles('varve', '--address', ''), true);
    assert.equal(isOfFiles('varve', 'ls', '--admin-address', ''), true);
    assert.equal(isOfFiles('varve', 'replay', '--file', ''), true);
    assert.equal(isOfFiles('varve', 'export', ''), true);
    assert.equal(isOfFiles('varve', 'events', '--from', ''), false);
    assert.equal(isOfFiles('varve', 'config', ''), false);
    assert.equal(isOfFiles('varve', 'show', ''), false);
  });
}

test('zsh finds the script in fpath, and completes at the first time', (t) => {
  if (!isThere('zsh')) return t.skip('zsh is not here');
  const place = scratch();
  t.after(() => place.remove());
  writeFileSync(`${place.path}/_varve`, completionScript(varveProgram(), 'zsh'));
  const load = `compdef() { : }; fpath=('${place.path}'); autoload -U _varve`;
  const input = `${load}\n${questions.zsh(['varve', 'ev'])}`;
  const { stdout } = spawnSync('zsh', ['-f', '-c', input], { encoding: 'utf8' });
  assert.equal(stdout, 'events\n');
});

test('bash takes the sign of --option=value for a word, and so does the script', () => {
  assert.deepEqual(offered('bash', ['varve', '--address', '=', '/x', 'ev']), ['events']);
  assert.deepEqual(offered('bash', ['varve', '--address', '=', '/x']), ['FILES']);
});

test('a shell that has no completion script is refused', async () => {
  const printed = await varve(['completion', 'bash']);
  assert.equal(printed.code, 0);
  execFileSync('bash', ['-n'], { input: printed.stdout });
  const { code, stderr } = await varve(['completion', 'tcsh']);
  assert.match(stderr, /^varve: there is no completion for "tcsh": name one of bash, zsh, fish\n$/);
  assert.equal(code, 2);
});

test('every command and option is in every completion script', () => {
  for (const shell of shells) {
    const script = completionScript(varveProgram(), shell);
    for (const command of commandsOf(varveProgram())) {
      assert.ok(script.includes(command.name()), `${shell}: ${command.name()}`);
      for (const { long } of command.options) {
        assert.ok(script.includes((long ?? '').replace('--', '')), `${shell}: ${String(long)}`);
      }
    }
  }
});
