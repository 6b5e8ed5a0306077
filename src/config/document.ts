// YAML text as plain values, with the line and column of every entry. The file may come from anybody: its length, its depth
// and what its aliases unfold to are bounded before they can cost time or memory.
import { CST, isAlias, isMap, isScalar, isSeq, Lexer, type Node, parseDocument } from 'yaml';
import type { Path, Place, Position, Problem } from './problem.ts';

/** Room for some thousand hosts. */
export const FILE_BYTES_MAX = 1024 * 1024;
const LEXEMES_MAX = 200_000;
const VALUES_MAX = 100_000;
/** Brackets and braces inside each other, columns of indentation, and "- - -" on one line: together they bound the depth. */
const FLOW_DEPTH_MAX = 16;
const INDENT_MAX = 100;
const INDICATORS_MAX = 16;
const DEPTH_MAX = 200;

export interface ConfigDocument {
  /** Objects, arrays, strings, numbers, booleans and null; undefined when the text is no YAML at all. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Of the entry, or of the nearest one around it that exists. */
  positionOf(path: Path, place: Place): Position;
}

const EXPLANATIONS: Readonly<Record<string, readonly [string, string]>> = {
  TAB_AS_INDENT: ['a tab cannot indent', 'use spaces'],
  MULTIPLE_DOCS: ['another document begins here', 'remove the line "---"'],
};

/** Never throws, whatever the text. */
export function readDocument(file: string, text: string): ConfigDocument {
  const problems: Problem[] = [];
  const lineStarts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const positionAt = (offset: number): Position => {
    let line = 0;
    for (let above = lineStarts.length; above - line > 1; ) {
      const middle = (line + above) >> 1;
      if ((lineStarts[middle] ?? 0) <= offset) line = middle;
      else above = middle;
    }
    return { line: line + 1, column: offset - (lineStarts[line] ?? 0) + 1 };
  };
  const report = (offset: number, message: string, hint: string | null = null): void => {
    problems.push({ file, ...positionAt(offset), text: message, hint });
  };
  const excess = findExcess(text);
  if (excess !== null) {
    report(excess.offset, excess.what);
    return { value: undefined, problems, positionOf: () => ({ line: 1, column: 1 }) };
  }
  const document = parseDocument(text, {
    // Errors of the parser are taken from the document; it prints nothing itself. Keys are compared by the walk below,
    // which does it in one pass.
    logLevel: 'error',
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
    version: '1.2',
  });
  // One mistake makes more behind it: of each line the first is told.
  const seen = new Set<number>();
  for (const error of [...document.errors, ...document.warnings]) {
    const { line } = positionAt(error.pos[0]);
    if (seen.has(line)) continue;
    seen.add(line);
    const [text, hint] = EXPLANATIONS[error.code] ?? [error.message.split('\n')[0] ?? error.message, null];
    report(error.pos[0], text, hint);
  }
  const root = document.contents;
  if (problems.length > 0) return { value: undefined, problems, positionOf: () => ({ line: 1, column: 1 }) };
  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  const unfolding = new Unfolding(resolve, report);
  const plain = unfolding.plain(root, 0);
  // What an alias should have brought would be missed everywhere.
  const value = unfolding.failed ? undefined : plain;
  return { value, problems, positionOf: (path, place) => positionAt(offsetOf(root, path, place, resolve)) };
}

interface Excess {
  readonly offset: number;
  readonly what: string;
}

/** The parser calls itself for each level, so the depth is bounded by a look at the single signs, which does not. */
function findExcess(text: string): Excess | null {
  let offset = 0;
  let lexemes = 0;
  let flowDepth = 0;
  let indicators = 0;
  let lineIsEmpty = true;
  for (const lexeme of new Lexer().lex(text)) {
    lexemes += 1;
    const type = CST.tokenType(lexeme);
    if (type === 'newline') {
      lineIsEmpty = true;
      indicators = 0;
    } else if (type === 'flow-seq-start' || type === 'flow-map-start') flowDepth += 1;
    else if (type === 'flow-seq-end' || type === 'flow-map-end') flowDepth -= 1;
    else if (type === 'seq-item-ind' || type === 'explicit-key-ind' || type === 'map-value-ind') indicators += 1;
    else if (type === 'directive-line') return { offset, what: 'directives ("%...") are not used here' };
    const indented = lineIsEmpty && type === 'space' && lexeme.length > INDENT_MAX;
    if (type !== 'newline' && type !== 'space') lineIsEmpty = false;
    if (indented || flowDepth > FLOW_DEPTH_MAX || indicators > INDICATORS_MAX) {
      return { offset, what: 'entries lie too deep inside each other' };
    }
    if (lexemes > LEXEMES_MAX) return { offset, what: 'there are too many entries' };
    // Marks that the lexer puts between lexemes are no part of the text.
    if (type !== 'doc-mode' && type !== 'flow-error-end' && type !== 'scalar') offset += lexeme.length;
  }
  return null;
}

/** Makes plain values of nodes, following aliases, within a budget for the whole file. */
class Unfolding {
  readonly #resolve: (node: unknown) => unknown;
  readonly #report: (offset: number, message: string, hint?: string | null) => void;
  #values = 0;
  failed = false;

  constructor(
    resolve: (node: unknown) => unknown,
    report: (offset: number, message: string, hint?: string | null) => void,
  ) {
    this.#resolve = resolve;
    this.#report = report;
  }

  plain(node: unknown, depth: number): unknown {
    this.#values += 1;
    if (this.failed) return undefined;
    if (this.#values > VALUES_MAX || depth > DEPTH_MAX) {
      this.failed = true;
      this.#report(
        startOf(node),
        'aliases unfold to too much',
        'an alias inside of what it names, or many that multiply',
      );
      return undefined;
    }
    if (isAlias(node)) {
      const target = this.#resolve(node);
      if (target !== undefined) return this.plain(target, depth + 1);
      this.failed = true;
      this.#report(startOf(node), `nothing before this is named "&${node.source}"`);
      return undefined;
    }
    if (isScalar(node)) return node.value;
    if (isSeq(node)) return node.items.map((item) => this.plain(item, depth + 1));
    if (isMap(node)) return this.#record(node.items, depth);
    return null;
  }

  #record(
    pairs: readonly { readonly key: unknown; readonly value: unknown }[],
    depth: number,
  ): Record<string, unknown> {
    const record: Record<string, unknown> = {};
    const seen = new Set<string>();
    for (const pair of pairs) {
      const key = keyOf(pair.key);
      if (seen.has(key)) this.#report(startOf(pair.key), `"${key}" is here a second time`, 'remove one of the two');
      else if (key === '__proto__') this.#report(startOf(pair.key), '"__proto__" is no name');
      else record[key] = this.plain(pair.value, depth + 1);
      seen.add(key);
    }
    return record;
  }
}

function keyOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : '';
}

function startOf(node: unknown): number {
  return (node as Node | null)?.range?.[0] ?? 0;
}

function offsetOf(root: unknown, path: Path, place: Place, resolve: (node: unknown) => unknown): number {
  let offset = startOf(root);
  let node = resolve(root);
  for (const [index, part] of path.entries()) {
    if (isSeq(node) && typeof part === 'number' && part < node.items.length) {
      const item = node.items[part];
      offset = startOf(item);
      node = resolve(item);
      continue;
    }
    const pair = isMap(node) ? node.items.find(({ key }) => keyOf(key) === part) : undefined;
    if (pair === undefined) return offset;
    // Of a group or a list the key says more than its first line.
    const single = isAlias(pair.value) || (isScalar(pair.value) && pair.value.source !== '');
    offset = startOf(place === 'value' && index === path.length - 1 && single ? pair.value : pair.key);
    node = resolve(pair.value);
  }
  return offset;
}
