import { describe, expect, it } from 'vitest';
import { filesBelow, projectSources } from './source.ts';
import { bannedWordsIn, FILE_LINES_MAX, FUNCTION_LINES_MAX, longFiles, longFunctions } from './tidy.ts';

function lines(count: number): string {
  return 'f();\n'.repeat(count);
}

describe('tidiness of the project', () => {
  it(`tidy - no file has more than ${FILE_LINES_MAX} lines`, () => {
    expect(longFiles(projectSources())).toEqual([]);
  });

  it(`tidy - no function has more than ${FUNCTION_LINES_MAX} lines`, () => {
    expect(longFunctions(projectSources())).toEqual([]);
  });

  it('tidy - no banned words', () => {
    // The tests of the check itself have to contain what it looks for.
    const own = 'test/architecture/tidy.test.ts';
    const texts = [...projectSources().filter(({ path }) => path !== own), ...filesBelow('docs', /\.md$/)];
    expect(bannedWordsIn(texts)).toEqual([]);
  });
});

describe('the check of tidiness', () => {
  it('tidy - counts the lines of a file', () => {
    expect(longFiles([{ path: 'a.ts', text: lines(FILE_LINES_MAX) }])).toEqual([]);
    expect(longFiles([{ path: 'a.ts', text: lines(FILE_LINES_MAX + 1) }])).toEqual(['a.ts: 401 lines; at most 400']);
  });

  it.each([
    ['declared', `function f() {\n${lines(FUNCTION_LINES_MAX)}}`, 'a.ts:1: f has 72 lines'],
    ['arrow', `\nconst g = () => {\n${lines(FUNCTION_LINES_MAX)}};`, 'a.ts:2: g has 72 lines'],
    ['method', `class A {\n  m() {\n${lines(FUNCTION_LINES_MAX)}}}`, 'a.ts:2: m has 72 lines'],
    ['callback', `it('x', () => {\n${lines(FUNCTION_LINES_MAX)}});`, 'a.ts:1: a function has 72 lines'],
    ['with braces in texts', `function f() {\n'}';\n\`}\${'}'}\`;\n${lines(68)}}`, 'a.ts:1: f has 72 lines'],
  ])('tidy - measures a function: %s', (_, text, problem) => {
    const found = longFunctions([{ path: 'a.ts', text }]);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(problem);
    const shorter = text.replace('f();\nf();\n', '');
    expect(longFunctions([{ path: 'a.ts', text: shorter }])).toEqual([]);
  });

  it('tidy - a group of tests may be long, a test in it may not', () => {
    const group = `describe('x', () => {\n${lines(FUNCTION_LINES_MAX)}});`;
    const each = `describe.each([1])('x', () => {\n${lines(FUNCTION_LINES_MAX)}});`;
    expect(longFunctions([{ path: 'a.test.ts', text: group + each }])).toEqual([]);
    const inner = `describe('x', () => { it('y', () => {\n${lines(FUNCTION_LINES_MAX)}}); });`;
    expect(longFunctions([{ path: 'a.test.ts', text: inner }])).toHaveLength(1);
  });

  it.each([
    '// TODO later',
    '// FIXME',
    '// biome-ignore lint: no',
    '// @ts-expect-error no',
    `it.skip('x', () => {});`,
    `describe.only('x', () => {});`,
    `run('killall nbdkit');`,
    'const inLongRuns = given === undefined ? () => {} : it;',
    'const usually = slow\n  ? describe\n  : other;',
    'const maybe = test;',
    `it.runIf(fast)('x', () => {});`,
    'try { f(); } catch {\n}',
  ])('tidy - finds %s', (text) => {
    expect(bannedWordsIn([{ path: 'a.ts', text }])).toHaveLength(1);
  });

  it('tidy - leaves ordinary words alone', () => {
    const text = `// many skipped, anything, skip, only\nconst company: string = 'hackle';\ncatch (error) {}`;
    expect(bannedWordsIn([{ path: 'a.ts', text }])).toEqual([]);
  });
});
