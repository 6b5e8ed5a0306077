// House rules that a program can check: sizes of files and functions, and words with a better alternative.
import type { Node } from 'oxc-parser';
import { lineOf, parse, type SourceFile, walk } from './source.ts';

export const FILE_LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 70;

interface BannedWord {
  readonly pattern: RegExp;
  readonly instead: string;
}

/** Written in pieces, so that this file passes its own check. */
function word(...pieces: string[]): string {
  return pieces.join('');
}

export const bannedWords: readonly BannedWord[] = [
  { pattern: new RegExp(word('\\b(TO', 'DO|FIX', 'ME|XX', 'X|HA', 'CK)\\b')), instead: 'finish it, or open an issue' },
  { pattern: new RegExp(word('biome-', 'ignore')), instead: 'satisfy the rule' },
  { pattern: new RegExp(word('@ts-(ig', 'nore|expect-', 'error|no', 'check)')), instead: 'give it the right type' },
  {
    pattern: new RegExp(word('\\b(it|test|describe)\\.(sk', 'ip|on', 'ly|to', 'do)\\b')),
    instead: 'make the test run, or remove it',
  },
  // Under another name, or on a condition, a test that is left out is not counted as left out.
  {
    pattern: new RegExp(word('\\b(it|test|describe)\\.(skip', 'If|run', 'If)\\b|[=?:]\\s*(it|test|describe)\\s*[;:]')),
    instead: 'make the test run always, or remove it',
  },
  {
    pattern: new RegExp(word('\\bp', 'kill\\b|\\bkill', 'all\\b')),
    instead: 'keep the process id of what was started',
  },
  { pattern: new RegExp(word('catch \\{', '\\s*\\}')), instead: 'say what is expected and rethrow the rest' },
];

function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

export function longFiles(files: readonly SourceFile[]): string[] {
  return files
    .map((file) => ({ path: file.path, lines: lineCount(file.text) }))
    .filter(({ lines }) => lines > FILE_LINES_MAX)
    .map(({ path, lines }) => `${path}: ${lines} lines; at most ${FILE_LINES_MAX}`);
}

const FUNCTIONS = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'];

/** The body of `describe(...)` is a list of tests, not a function that anybody reads from top to bottom. */
function isTestGroup(parent: Node | undefined): boolean {
  if (parent?.type !== 'CallExpression') return false;
  const callee = parent.callee.type === 'CallExpression' ? parent.callee.callee : parent.callee;
  const name = callee.type === 'MemberExpression' ? callee.object : callee;
  return name.type === 'Identifier' && name.name === 'describe';
}

/** The name under which a reader knows a function, as far as the code around it gives one. */
function nameOf(node: Node, parent: Node | undefined): string {
  if ('id' in node && node.id !== null && node.id.type === 'Identifier') return node.id.name;
  if (parent?.type === 'VariableDeclarator' && parent.id.type === 'Identifier') return parent.id.name;
  if (parent !== undefined && 'key' in parent && parent.key.type === 'Identifier') return parent.key.name;
  return 'a function';
}

export function longFunctions(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const found: string[] = [];
    walk(parse(file), (node, ancestors) => {
      const parent = ancestors.at(-1);
      if (!FUNCTIONS.includes(node.type) || isTestGroup(parent)) return;
      const firstLine = lineOf(file.text, node.start);
      const lines = lineOf(file.text, node.end) - firstLine + 1;
      if (lines <= FUNCTION_LINES_MAX) return;
      found.push(
        `${file.path}:${firstLine}: ${nameOf(node, parent)} has ${lines} lines; at most ${FUNCTION_LINES_MAX}`,
      );
    });
    return found;
  });
}

export function bannedWordsIn(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    bannedWords.flatMap(({ pattern, instead }) => {
      const match = pattern.exec(text);
      return match === null ? [] : [`${path}:${lineOf(text, match.index)}: "${match[0]}": ${instead}`];
    }),
  );
}
