import { describe, expect, it } from 'vitest';
import { doorProblems, forbiddenImports, importCycles, importsOf } from './imports.ts';
import { filesBelow, projectSources, type SourceFile } from './source.ts';

function sources(texts: Readonly<Record<string, string>>): SourceFile[] {
  return Object.entries(texts).map(([path, text]) => ({ path, text }));
}

const doors = {
  'src/base/mod.ts': '',
  'src/base/errors.ts': '',
  'src/linux/mod.ts': '',
  'src/replication/mod.ts': '',
  'src/replication/ring/mod.ts': '',
  'src/replication/ring/layout.ts': '',
};

function problemsOf(path: string, text: string): string[] {
  return forbiddenImports(sources({ ...doors, [path]: text }));
}

describe('imports of the project', () => {
  it('imports - every import is allowed by the table and goes through a door', () => {
    expect(forbiddenImports(projectSources().filter(({ path }) => path.endsWith('.ts')))).toEqual([]);
  });

  it('imports - no files import each other in a circle', () => {
    expect(importCycles(projectSources())).toEqual([]);
  });

  it('imports - every folder under src has a door that only re-exports', () => {
    expect(doorProblems(filesBelow('src', /\.ts$/))).toEqual([]);
  });
});

describe('the check of imports', () => {
  it.each([
    ['upwards', 'src/base/a.ts', `import { x } from '../linux/mod.ts';`, 'src/base may not import src/linux'],
    ['type only', 'src/base/a.ts', `import type { X } from '../linux/mod.ts';`, 'src/base may not import src/linux'],
    ['type in an expression', 'src/base/a.ts', `let x: import('../linux/mod.ts').X;`, 'may not import src/linux'],
    ['dynamic', 'src/base/a.ts', `await import('../linux/mod.ts');`, 'src/base may not import src/linux'],
    ['re-export', 'src/base/a.ts', `export * from '../linux/mod.ts';`, 'src/base may not import src/linux'],
    ['computed', 'src/base/a.ts', `await import(name);`, 'the name of an import is computed'],
    ['past the door', 'src/linux/a.ts', `import '../base/errors.ts';`, 'src/base is entered by its mod.ts only'],
    ['past an inner door', 'src/replication/a.ts', `import './ring/layout.ts';`, 'ring is entered by its mod.ts only'],
    ['through two doors', 'bin/a.ts', `import '../src/replication/ring/mod.ts';`, 'src/replication is entered by'],
    ['package', 'src/replication/a.ts', `import koffi from 'koffi';`, 'may not import the package koffi'],
    ['scoped package', 'src/base/a.ts', `import '@a/b/c';`, 'may not import the package @a/b'],
    ['test package in a source', 'src/base/a.ts', `import 'vitest';`, 'may not import the package vitest'],
    ['no extension', 'src/base/a.ts', `import './errors';`, 'does not name a .ts file'],
    ['missing file', 'src/base/a.ts', `import './gone.ts';`, '"./gone.ts" does not exist'],
    ['source uses a test tool', 'src/base/a.ts', `import '../../test/a.ts';`, 'does not exist'],
    ['unknown module', 'src/new/a.ts', `import '../base/mod.ts';`, 'src/new may not import src/base'],
  ])('imports - refuses: %s', (_, path, text, problem) => {
    const found = problemsOf(path, text);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(problem);
    expect(found[0]).toContain(`${path}:1`);
  });

  it.each([
    ['down through the door', 'src/linux/a.ts', `import { x } from '../base/mod.ts';`],
    ['inside a module', 'src/base/a.ts', `import { x } from './errors.ts';`],
    ['out of an inner folder', 'src/replication/ring/a.ts', `import '../mod.ts';`],
    ['koffi in linux', 'src/linux/a.ts', `import koffi from 'koffi';`],
    ['a Node.js module', 'src/base/a.ts', `import { open } from 'node:fs';`],
    ['vitest in a unit test', 'src/base/a.test.ts', `import { it } from 'vitest';`],
    ['an import in a comment', 'src/base/a.ts', `// import '../linux/mod.ts';`],
    ['an import in a string', 'src/base/a.ts', `export const x = "import '../linux/mod.ts'";`],
  ])('imports - allows: %s', (_, path, text) => {
    expect(problemsOf(path, text)).toEqual([]);
  });

  it('imports - a test tool may not be used by a source', () => {
    const files = sources({ 'src/base/a.ts': `import '../../test/tool.ts';`, 'test/tool.ts': '' });
    expect(forbiddenImports(files)).toEqual(['src/base/a.ts:1: src/base may not import test']);
  });

  it('imports - finds a circle also when a link of it is of types only', () => {
    const files = sources({
      'src/base/a.ts': `import { b } from './b.ts';`,
      'src/base/b.ts': `export * from './c.ts';`,
      'src/base/c.ts': `import type { A } from './a.ts';`,
      'src/base/d.ts': `import { a } from './a.ts';`,
    });
    expect(importCycles(files)).toEqual(['src/base/a.ts -> src/base/b.ts -> src/base/c.ts -> src/base/a.ts']);
    expect(importCycles(files.slice(1))).toEqual([]);
  });

  it('imports - a door only hands names on', () => {
    const files = sources({
      'src/a/mod.ts': `// Why.\nexport { x, type Y } from './x.ts';\nexport * as z from './z.ts';`,
      'src/b/mod.ts': 'export const x = 1;',
      'src/c/mod.ts': `import './side-effect.ts';`,
      'src/d/e.ts': '',
      'src/d/e/mod.ts': `const x = 1;\nexport { x };`,
    });
    expect(doorProblems(files)).toEqual([
      'src/d has no mod.ts',
      'src/b/mod.ts does more than re-export',
      'src/c/mod.ts does more than re-export',
      'src/d/e/mod.ts does more than re-export',
    ]);
  });

  it('imports - reports the line of each import', () => {
    const file = { path: 'a.ts', text: `import 'x';\n\nexport { y } from 'y';\nawait import(z);\n` };
    expect(importsOf(file)).toEqual([
      { line: 1, specifier: 'x' },
      { line: 3, specifier: 'y' },
      { line: 4, specifier: null },
    ]);
  });
});
