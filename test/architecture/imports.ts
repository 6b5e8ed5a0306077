// Who may import whom: the table of ARCHITECTURE.md as data, and the check of all imports against it.
import { dirname, join, normalize } from 'node:path';
import type { Node } from 'oxc-parser';
import { childrenOf, lineOf, parse, type SourceFile, walk } from './source.ts';

interface ModuleRule {
  /** Other modules whose door this one may use. */
  readonly modules: readonly string[];
  /** npm packages. Node.js' own are open to all. */
  readonly packages: readonly string[];
}

/** A module is a folder under src, or a top folder. */
export const importTable: Readonly<Record<string, ModuleRule>> = {
  'src/base': { modules: [], packages: [] },
  'src/linux': { modules: ['src/base'], packages: ['koffi'] },
  'src/pki': { modules: ['src/base'], packages: [] },
  'src/replication': { modules: ['src/base', 'src/linux', 'src/sandbox'], packages: ['undici', 'yauzl'] },
  'src/store': { modules: ['src/base'], packages: ['@photostructure/sqlite'] },
  'src/config': { modules: ['src/base', 'src/detection'], packages: ['yaml', 'zod'] },
  'src/sandbox': { modules: ['src/base', 'src/linux'], packages: [] },
  'src/identity': { modules: ['src/base', 'src/linux', 'src/sandbox'], packages: ['yaml', 'zod'] },
  'src/storage': {
    modules: ['src/base', 'src/linux', 'src/replication', 'src/identity', 'src/store'],
    packages: ['zod'],
  },
  'src/power': { modules: ['src/base', 'src/linux'], packages: ['zod'] },
  'src/director': { modules: ['src/base'], packages: ['zod'] },
  'src/network': { modules: ['src/base', 'src/linux'], packages: [] },
  'src/metrics': { modules: ['src/base'], packages: [] },
  'src/detection': { modules: ['src/base'], packages: [] },
  'src/policy': { modules: [], packages: [] },
  'src/replay': { modules: ['src/base', 'src/detection', 'src/policy'], packages: [] },
  'src/simulation': { modules: ['src/base', 'src/detection', 'src/policy', 'src/replay'], packages: [] },
  'src/agent': { modules: ['src/base', 'src/detection', 'src/pki'], packages: [] },
  'src/controller': {
    modules: [
      'src/agent',
      'src/base',
      'src/config',
      'src/detection',
      'src/director',
      'src/identity',
      'src/metrics',
      'src/network',
      'src/policy',
      'src/power',
      'src/storage',
      'src/store',
    ],
    packages: ['zod'],
  },
  'src/api': {
    modules: ['src/agent', 'src/base', 'src/config', 'src/controller', 'src/pki', 'src/power'],
    packages: ['fastify', '@fastify/swagger', 'fastify-type-provider-zod', 'undici', 'zod'],
  },
  'src/cli': {
    modules: [
      'src/agent',
      'src/base',
      'src/replication',
      'src/config',
      'src/identity',
      'src/api',
      'src/controller',
      'src/pki',
      'src/replay',
      'src/simulation',
    ],
    packages: ['commander', 'get-east-asian-width'],
  },
  bin: {
    modules: [
      'src/base',
      'src/linux',
      'src/replication',
      'src/store',
      'src/config',
      'src/sandbox',
      'src/identity',
      'src/storage',
      'src/power',
      'src/director',
      'src/metrics',
      'src/network',
      'src/detection',
      'src/pki',
      'src/agent',
      'src/controller',
      'src/api',
      'src/cli',
    ],
    packages: ['commander'],
  },
  guests: { modules: ['src/base', 'src/linux'], packages: [] },
  bench: {
    modules: [
      'src/base',
      'src/linux',
      'src/replication',
      'src/controller',
      'src/pki',
      'src/power',
      'src/storage',
      'src/detection',
      'src/replay',
      'src/simulation',
      'guests',
      'scripts',
    ],
    // Candidates for our own digest are called as it is called.
    packages: ['koffi'],
  },
  scripts: {
    modules: ['bin', 'src/api', 'src/base', 'src/config', 'src/linux', 'src/pki', 'src/replication', 'guests'],
    packages: [],
  },
};

/** Unit tests lie beside what they test; they may also use these. */
const TEST_PACKAGES = ['vitest', 'fast-check'];
const DOOR = 'mod.ts';

export interface Import {
  readonly line: number;
  /** What is written between the quotes; null where it is computed and so cannot be checked. */
  readonly specifier: string | null;
}

export function moduleOf(path: string): string {
  const parts = path.split('/');
  return parts[0] === 'src' && parts.length > 2 ? `src/${parts[1]}` : (parts[0] ?? '');
}

function specifierNode(node: Node): Node | null {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return node.source;
    case 'TSExternalModuleReference':
      return node.expression;
    default:
      return null;
  }
}

/** Every import of a file: static, dynamic, of types only, re-exported. */
export function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  walk(parse(file), (node) => {
    const source = specifierNode(node);
    if (source === null) return;
    const literal = source.type === 'Literal' && typeof source.value === 'string' ? source.value : null;
    found.push({ line: lineOf(file.text, node.start), specifier: literal });
  });
  return found;
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');
const resolvePath = (from: string, specifier: string): string => normalize(join(dirname(from), specifier));

/** Folders with a door that hold `to` but not `from`, the outermost first: it is the door of that one that counts. */
function foldersEntered(from: string, to: string, paths: ReadonlySet<string>): string[] {
  const parts = to.split('/').slice(0, -1);
  return parts
    .map((_, index) => parts.slice(0, index + 1).join('/'))
    .filter((folder) => paths.has(`${folder}/${DOOR}`) && !from.startsWith(`${folder}/`));
}

function relativeProblem(from: string, specifier: string, paths: ReadonlySet<string>): string | null {
  const source = moduleOf(from);
  // Tests of the whole are in test/. They may look anywhere, and unit tests may use their tools.
  if (source === 'test') return null;
  if (!specifier.endsWith('.ts')) return `"${specifier}" does not name a .ts file`;
  const to = resolvePath(from, specifier);
  if (!paths.has(to)) return `"${specifier}" does not exist`;
  const target = moduleOf(to);
  if (isTest(from) && target === 'test') return null;
  if (source !== target && !(importTable[source]?.modules ?? []).includes(target)) {
    return `${source} may not import ${target}`;
  }
  const entered = foldersEntered(from, to, paths)[0];
  if (entered !== undefined && to !== `${entered}/${DOOR}`) return `${entered} is entered by its ${DOOR} only`;
  return null;
}

function importProblem(from: string, specifier: string | null, paths: ReadonlySet<string>): string | null {
  if (specifier === null) return 'the name of an import is computed';
  if (specifier.startsWith('.')) return relativeProblem(from, specifier, paths);
  if (specifier.startsWith('node:') || moduleOf(from) === 'test') return null;
  const rule = importTable[moduleOf(from)];
  if (rule === undefined) return `${moduleOf(from)} is not in the import table`;
  const allowed = isTest(from) ? [...rule.packages, ...TEST_PACKAGES] : rule.packages;
  const name = packageOf(specifier);
  return allowed.includes(name) ? null : `${moduleOf(from)} may not import the package ${name}`;
}

/** Imports that the table does not allow, one line each. */
export function forbiddenImports(files: readonly SourceFile[]): string[] {
  const paths = new Set(files.map((file) => file.path));
  return files.flatMap((file) =>
    importsOf(file).flatMap(({ line, specifier }) => {
      const problem = importProblem(file.path, specifier, paths);
      return problem === null ? [] : [`${file.path}:${line}: ${problem}`];
    }),
  );
}

/** Modules without a door, and statements of doors that do more than hand on names. */
export function doorProblems(files: readonly SourceFile[]): string[] {
  const paths = new Set(files.map((file) => file.path));
  const modules = [...new Set(files.map((file) => moduleOf(file.path)))].filter((name) => name.startsWith('src/'));
  const missing = modules.filter((name) => !paths.has(`${name}/${DOOR}`)).map((name) => `${name} has no ${DOOR}`);
  const impure = files.filter(({ path }) => path.endsWith(`/${DOOR}`)).filter((file) => !onlyReExports(file));
  return [...missing, ...impure.map(({ path }) => `${path} does more than re-export`)];
}

function onlyReExports(file: SourceFile): boolean {
  return childrenOf(parse(file)).every(
    (node) =>
      node.type === 'ExportAllDeclaration' || (node.type === 'ExportNamedDeclaration' && specifierNode(node) !== null),
  );
}

/**
 * Rings of files that import each other, also by types; each once, from its first file in the order of the alphabet.
 */
export function importCycles(files: readonly SourceFile[]): string[] {
  const targets = new Map(
    files.map((file) => [
      file.path,
      importsOf(file)
        .flatMap(({ specifier }) => (specifier?.startsWith('.') ? [resolvePath(file.path, specifier)] : []))
        .sort(),
    ]),
  );
  const cycles: string[] = [];
  const finished = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' -> '));
    if (at >= 0 || finished.has(path)) return;
    trail.push(path);
    for (const next of targets.get(path) ?? []) visit(next);
    trail.pop();
    finished.add(path);
  };
  for (const path of [...targets.keys()].sort()) visit(path);
  return cycles;
}
