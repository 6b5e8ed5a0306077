// Patterns of files against the plainest reading of them: all paths of a tree, each held against one regular expression.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { filesAt } from '../../src/identity/rules/glob.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { memoryTree } from '../support/memory-tree.ts';

const NAMES = ['a', 'b', 'ab', 'a.b', 'x{', 'é'];
const PARTS = [...NAMES, '*', '**', 'a*', '*.b', '{a,b}', '{a,x}.{b,c}', '{a*,b}', '*{b,}', 'a{/b,}', '{a/b,b}'];
/** Folders that "**" stands for at most. */
const DEPTH = 4;

const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 6 }).map((names) => `/${names.join('/')}`);
const pattern = fc
  .array(fc.constantFrom(...PARTS), { minLength: 1, maxLength: 4 })
  .map((parts) => `/${parts.join('/')}`);

/** Files only where nothing lies below. */
function leaves(paths: readonly string[]): string[] {
  return [...new Set(paths)].filter((one) => !paths.some((other) => other.startsWith(`${one}/`))).sort();
}

function expanded(text: string): string[] {
  const match = /\{([^{}]*)\}/.exec(text);
  if (match === null) return [text];
  const [whole, list = ''] = match;
  return list.split(',').flatMap((one) => expanded(text.replace(whole, () => one)));
}

/** A pattern that ends with "**" is for folders, and so for no file. */
function isMatch(file: string, text: string): boolean {
  const parts = text.split('/').slice(1);
  const source = parts.map((part) =>
    part === '**' ? `(?:/[^/]+){0,${DEPTH}}` : `/${part.replace(/[.{}]/g, '\\$&').replaceAll('*', '[^/]*')}`,
  );
  return parts.at(-1) !== '**' && new RegExp(`^${source.join('')}$`, 'u').test(file);
}

describe('files by pattern', () => {
  it('finds those, all of them and no other, that a reader of the pattern would', async () => {
    let found = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(path, { maxLength: 12 }), pattern, async (paths, text) => {
        const files = leaves(paths);
        const tree = fileTree(memoryTree(Object.fromEntries(files.map((file) => [file, 'text']))));
        const answer = await filesAt(tree, [text]);
        const wanted = files.filter((file) => expanded(text).some((one) => isMatch(file, one)));
        expect(answer.cut).toBe(false);
        expect(answer.files.map((entry) => entry.path).sort()).toEqual(wanted);
        found += wanted.length;
      }),
      { numRuns: 2000 },
    );
    expect(found).toBeGreaterThan(100);
  });
});
