import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { quotedIn, withFigures } from '../../bench/quoted.ts';
import { formatDocument, type Section } from '../../bench/report.ts';
import { errorsPage } from '../../scripts/errors-page.ts';
import { errorRegistry } from '../../src/base/mod.ts';
import {
  claimsOf,
  dependencyRowsOf,
  linkedFilesOf,
  missingProofs,
  npmScriptsOf,
  numbersOf,
  testTitlesOf,
  unfoundedFigures,
} from './docs.ts';
import { filesBelow, projectSources, root, type SourceFile } from './source.ts';

/** Rows of the two documents, and the claims of the second. */
const ROWS = [...rowsOf('D', 23), ...rowsOf('P', 26)];
const CLAIMS_MAX = 59;

function rowsOf(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function measured(): Section[] {
  return JSON.parse(read('docs/benchmarks.json')) as Section[];
}

function pages(): SourceFile[] {
  const top = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'];
  const present = top.filter((path) => existsSync(join(root, path))).map((path) => ({ path, text: read(path) }));
  return [...present, ...filesBelow('docs', /\.md$/)];
}

describe('documents of the project', () => {
  it('docs - errors.md is what the registry says', () => {
    expect(read('docs/errors.md')).toBe(errorsPage());
  });

  it('docs - errors.md has every code of the registry and no other', () => {
    const codes = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1] ?? '');
    expect(codes.sort()).toEqual(Object.keys(errorRegistry).sort());
  });

  it('docs - claims.md has each row once', () => {
    expect(claimsOf(read('docs/claims.md')).map(({ row }) => row)).toEqual(ROWS);
  });

  it('docs - every row of claims.md names a proof or says what is missing, and never both', () => {
    const claims = claimsOf(read('docs/claims.md'));
    expect(claims.filter(({ proofs, open }) => proofs.length > 0 === (open !== null))).toEqual([]);
    expect(claims.filter(({ open }) => open !== null && !/^[^.]{20,}\.$/.test(open))).toEqual([]);
  });

  it('docs - every row of claims.md says where it comes from, and no claim of the documents is left out', () => {
    const claims = claimsOf(read('docs/claims.md'));
    const paragraphs = claims.filter(({ row }) => row.startsWith('D')).map(({ source }) => source);
    expect(paragraphs.filter((source) => !/^\[\d{4}\]([ -]\[\d{4}\])*$/.test(source))).toEqual([]);
    const numbers = claims.filter(({ row }) => row.startsWith('P')).flatMap(({ source }) => numbersOf(source));
    const all = Array.from({ length: CLAIMS_MAX }, (_, index) => index + 1);
    expect(all.filter((number) => !numbers.includes(number))).toEqual([]);
    expect(numbers.filter((number) => !all.includes(number))).toEqual([]);
  });

  it('docs - every test that claims.md names exists', () => {
    const tests = projectSources().filter(({ path }) => path.endsWith('.test.ts'));
    expect(missingProofs(claimsOf(read('docs/claims.md')), tests)).toEqual([]);
  });

  it('docs - a row of claims.md that names a long test says which proof makes it, and that CI does not', () => {
    const lines = read('docs/claims.md').split('\n');
    const long = lines.filter((line) => line.includes('`test/long/'));
    const row = (line: string): string => /^\| (\w+) /.exec(line)?.[1] ?? line;
    expect(long.map(row)).toEqual(expect.arrayContaining(['P8', 'P14', 'P19']));
    const said = /`npm run proof:long`[^|]*which CI does not make/;
    expect(long.filter((line) => !said.test(line)).map(row)).toEqual([]);
  });

  it('docs - every row of SECURITY.md names tests that attack the boundary, which exist, or says what is open', () => {
    const rows = claimsOf(read('SECURITY.md'));
    expect(rows.map(({ row }) => row)).toEqual(rowsOf('S', rows.length));
    expect(rows.length).toBeGreaterThan(15);
    expect(rows.filter(({ proofs, open }) => proofs.length > 0 === (open !== null))).toEqual([]);
    expect(rows.filter(({ open }) => open !== null && !/^[^.]{20,}\.$/.test(open))).toEqual([]);
    const tests = projectSources().filter(({ path }) => path.endsWith('.test.ts'));
    expect(missingProofs(rows, tests)).toEqual([]);
  });

  it('docs - benchmarks.md is what benchmarks.json says', () => {
    expect(read('docs/benchmarks.md')).toBe(formatDocument(measured()));
  });

  it('docs - every figure that a document quotes from the benchmarks is what was measured', () => {
    const quoting = pages().filter(({ text }) => quotedIn(text).length > 0);
    expect(quoting.map(({ path }) => path)).toContain('README.md');
    for (const { path, text } of quoting) expect([path, withFigures(text, measured())]).toEqual([path, text]);
  });

  it('docs - what names the benchmarks for its ratios and seconds quotes them, or says when they were measured', () => {
    const unfounded = pages()
      .filter(({ path }) => path === 'README.md' || path === 'CHANGELOG.md' || path.startsWith('docs/decisions/'))
      .flatMap(({ path, text }) => unfoundedFigures(text).map((figure) => `${path}: ${figure}`));
    expect(unfounded).toEqual([]);
  });

  it('docs - every link to a file leads somewhere', () => {
    const broken = pages().flatMap(({ path, text }) =>
      linkedFilesOf(text)
        .filter((target) => !existsSync(join(root, dirname(path), target)))
        .map((target) => `${path}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('docs - every npm script that is named exists', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const unknown = pages().flatMap(({ path, text }) =>
      npmScriptsOf(text)
        .filter((name) => !Object.hasOwn(scripts, name))
        .map((name) => `${path}: npm run ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  it('docs - dependencies.md has each npm package once, under what it is for, with an alternative, and no other', () => {
    const { dependencies, optionalDependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
      string,
      object
    >;
    const atRunTime = Object.keys({ ...dependencies, ...optionalDependencies });
    const rows = dependencyRowsOf(read('docs/dependencies.md'));
    const named = (title: string) => rows.filter((row) => row.section === title).map((row) => row.name);
    expect(named('At run time, from npm').sort()).toEqual(atRunTime.sort());
    expect(named('For development, from npm').sort()).toEqual(Object.keys(devDependencies ?? {}).sort());
    expect(rows.filter(({ columns }) => columns.length !== 3 || columns.includes('')).map(({ name }) => name)).toEqual(
      [],
    );
  });
});

describe('the check of documents', () => {
  const page = [
    '| row | source | what it must do | proved by |',
    '| --- | --- | --- | --- |',
    '| D1 | [0010] | One `producer`. | `a.test.ts › a - works`<br>`a.test.ts › group › a - each` |',
    '| D2 | [0011]-[0012] | Nothing yet. | open: nobody has built it. |',
  ].join('\n');
  const text = `it('a - works', () => {});\ndescribe('group', () => { it.each([1])('a - each', () => {}); });`;

  it('docs - reads rows and the tests that they name', () => {
    expect(claimsOf(page)).toEqual([
      { row: 'D1', source: '[0010]', open: null, proofs: ['a.test.ts › a - works', 'a.test.ts › group › a - each'] },
      { row: 'D2', source: '[0011]-[0012]', open: 'nobody has built it.', proofs: [] },
    ]);
    expect(numbersOf('1, 3-5, 7')).toEqual([1, 3, 4, 5, 7]);
  });

  it('docs - finds the titles of tests, not those in comments', () => {
    const titles = testTitlesOf({ path: 'a.test.ts', text: `${text}\n// it('b', () => {});` });
    expect([...titles]).toEqual(['a - works', 'a - each', 'group › a - each']);
  });

  it('docs - a named test that is missing is found', () => {
    const claims = claimsOf(page);
    expect(missingProofs(claims, [{ path: 'a.test.ts', text }])).toEqual([]);
    expect(missingProofs(claims, [{ path: 'b.test.ts', text }])).toEqual([
      'D1: a.test.ts does not exist',
      'D1: a.test.ts does not exist',
    ]);
    expect(missingProofs(claims, [{ path: 'a.test.ts', text: text.replace('a - each', 'a - other') }])).toEqual([
      'D1: a.test.ts has no test "group › a - each"',
    ]);
  });

  it('docs - reads rows of packages with their section', () => {
    const table =
      '# All\n## One\n| package | licence |\n| --- | --- |\n| `@a/b` | MIT | to c | |\n## Two\n| `d` | ISC | e | f |';
    expect(dependencyRowsOf(table)).toEqual([
      { section: 'One', name: '@a/b', columns: ['MIT', 'to c', ''] },
      { section: 'Two', name: 'd', columns: ['ISC', 'e', 'f'] },
    ]);
  });

  it('docs - a figure that is not what was measured is found, and one that names nothing', () => {
    const sections = JSON.parse(
      '[{"name":"q","tables":[{"heading":"On disk","columns":["K","s","s"],"rows":[{"cells":["1","2.04 (one)","-"]},{"cells":["4","3.5","7"]}]}]}]',
    ) as Section[];
    const quote = (text: string, query: string): string => `It takes ${text}<!-- figure: ${query} --> s.`;
    const now = (text: string, query: string): string =>
      quotedIn(withFigures(quote(text, query), sections))[0]?.text ?? '';
    expect(now('9.9', 'q | On disk | 1 | s')).toBe('2.0');
    expect(now('9', 'q | On* | 4 | s#2')).toBe('7');
    expect(now('9.99', 'max | q | * | * | s')).toBe('3.50');
    expect(() => now('9', 'q | * | * | s')).toThrow('names 2 figures');
    expect(() => now('9', 'q | On disk | 1 | s#2')).toThrow('names no figure');
    expect(() => now('9', 'q | On disk | 1 | seconds')).toThrow('names no figure');
  });

  it('docs - a figure without a place or a day is found', () => {
    const measuredBy = 'Measured with `npm run bench -- q`';
    expect(unfoundedFigures(`${measuredBy}: 1.17 for one, 0.5 times for four, 2.3 s.`)).toEqual(['1.17', '0.5', '2.3']);
    expect(unfoundedFigures(`${measuredBy} on 2026-11-23: 0.5 times.`)).toEqual([]);
    expect(unfoundedFigures(`${measuredBy}: 0.5<!-- figure: q | a | b | c --> times.`)).toEqual([]);
    expect(unfoundedFigures('Half of it, 0.5 times, is spent there.')).toEqual([]);
  });

  it('docs - finds links and commands', () => {
    const prose = 'See [a](docs/a.md#part), [b](https://example.org/) and [c](#here). Then `npm run docs:errors`.';
    expect(linkedFilesOf(prose)).toEqual(['docs/a.md']);
    expect(npmScriptsOf(prose)).toEqual(['docs:errors']);
  });
});
