// What the documents say about tests, files and commands, in a form that can be compared with what is there.
import type { Node } from 'oxc-parser';
import { parse, type SourceFile, walk } from './source.ts';

export interface Claim {
  readonly row: string;
  /** Paragraphs or claims of the document that it comes from. */
  readonly source: string;
  /** Why nothing proves it yet; null for a row that is proved. */
  readonly open: string | null;
  /** Tests named in the row as `file › title` or `file › group › title`. */
  readonly proofs: readonly string[];
}

/** Rows of the table of docs/claims.md. */
export function claimsOf(page: string): Claim[] {
  return page.split('\n').flatMap((line) => {
    const match = /^\| ([A-Z][0-9]+) \| ([^|]*) \|(.*)\|\s*$/.exec(line);
    if (match === null) return [];
    const [, row = '', source = '', rest = ''] = match;
    const proofs = [...rest.matchAll(/`([^`]+ › [^`]+)`/g)].map((proof) => proof[1] ?? '');
    return [{ row, source, open: /\| open: (.+)$/.exec(rest.trim())?.[1] ?? null, proofs }];
  });
}

/** Numbers in a list as people write it: "1, 3-5" and "[0044]-[0048]". */
export function numbersOf(list: string): number[] {
  return list.split(/[,\s]\s*/).flatMap((part) => {
    const [first = 0, last = first] = (part.match(/\d+/g) ?? []).map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index).filter((number) => number > 0);
  });
}

/** A number with a fraction, as benchmarks give ratios and seconds, that no marker follows. */
const BARE_FIGURE = /(?<![\w.])\d+\.\d+(?![\w.]*<!--)(?![\w.])/g;

/**
 * Figures in parts of a page (a section, a paragraph with a heading of its own, an entry of a list) that name the
 * benchmarks as their place, where neither a marker of bench/quoted.ts stands behind them nor the day of the
 * measurement in the part. What is code is none.
 */
export function unfoundedFigures(page: string): string[] {
  return page.split(/^(?=#+ |\*\*)/m).flatMap((part) => {
    if (!/npm run bench|benchmarks\.md/.test(part) || /\b20\d\d-\d\d-\d\d\b/.test(part)) return [];
    return [...part.replaceAll(/`[^`]*`/g, '').matchAll(BARE_FIGURE)].map(([figure]) => figure);
  });
}

function literalTitle(call: Node): string | null {
  if (call.type !== 'CallExpression') return null;
  const first = call.arguments[0];
  if (first?.type === 'Literal' && typeof first.value === 'string') return first.value;
  if (first?.type === 'TemplateLiteral' && first.expressions.length === 0) return first.quasis[0]?.value.cooked ?? null;
  return null;
}

/** The function that a call ends up at: `it` for `it(...)`, `it.each(...)(...)` and `it.concurrent.each(...)(...)`. */
function calledName(call: Node): string | null {
  if (call.type !== 'CallExpression') return null;
  let base = call.callee.type === 'CallExpression' ? call.callee.callee : call.callee;
  while (base.type === 'MemberExpression') base = base.object;
  return base.type === 'Identifier' ? base.name : null;
}

/** Titles of the tests of a file, each alone and with its groups before it. */
export function testTitlesOf(file: SourceFile): Set<string> {
  const titles = new Set<string>();
  walk(parse(file), (node, ancestors) => {
    const title = literalTitle(node);
    if (title === null || !['it', 'test'].includes(calledName(node) ?? '')) return;
    const groups = ancestors.filter((ancestor) => calledName(ancestor) === 'describe').map(literalTitle);
    titles.add(title);
    titles.add([...groups, title].join(' › '));
  });
  return titles;
}

/** Proofs of claims that name a file or a test that is not there. */
export function missingProofs(claims: readonly Claim[], files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return claims.flatMap(({ row, proofs }) =>
    proofs.flatMap((proof) => {
      const [path = '', ...title] = proof.split(' › ');
      const file = byPath.get(path);
      if (file === undefined) return [`${row}: ${path} does not exist`];
      return testTitlesOf(file).has(title.join(' › ')) ? [] : [`${row}: ${path} has no test "${title.join(' › ')}"`];
    }),
  );
}

/** Targets of links to files of the project, without the part after #. */
export function linkedFilesOf(page: string): string[] {
  return [...page.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** Names of npm scripts that a page tells its reader to run. */
export function npmScriptsOf(page: string): string[] {
  return [...page.matchAll(/\bnpm run ([a-z][a-z0-9:-]*)/g)].map((match) => match[1] ?? '');
}

export interface DependencyRow {
  /** The heading above its table. */
  readonly section: string;
  readonly name: string;
  /** Licence, what for, considered instead. */
  readonly columns: readonly string[];
}

/** Rows of the tables of docs/dependencies.md. */
export function dependencyRowsOf(page: string): DependencyRow[] {
  return page.split(/^## /m).flatMap((part) => {
    const [section = '', ...lines] = part.split('\n');
    return lines.flatMap((line) => {
      const match = /^\| `([^`]+)` \|(.*)\|\s*$/.exec(line);
      if (match === null) return [];
      return [{ section, name: match[1] ?? '', columns: (match[2] ?? '').split('|').map((text) => text.trim()) }];
    });
  });
}
