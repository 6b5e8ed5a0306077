// The project's own sources as data: paths, texts and syntax trees, for the checks in this folder.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Node, parseSync, visitorKeys } from 'oxc-parser';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Folders that hold sources of ours. */
export const SOURCE_FOLDERS = ['src', 'bin', 'guests', 'bench', 'scripts', 'test'] as const;

export interface SourceFile {
  /** Relative to the root of the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

/** The children of a syntax node, in the order of the text. */
export function childrenOf(node: Node): Node[] {
  const fields = new Map<string, unknown>(Object.entries(node));
  return (visitorKeys[node.type] ?? []).flatMap((key) => {
    const value = fields.get(key);
    return (Array.isArray(value) ? value : [value]).filter(isNode);
  });
}

/** Every node below and including this one; `visit` is told the nodes above, the nearest last. */
export function walk(node: Node, visit: (node: Node, ancestors: readonly Node[]) => void): void {
  const ancestors: Node[] = [];
  const descend = (current: Node): void => {
    visit(current, ancestors);
    ancestors.push(current);
    for (const child of childrenOf(current)) descend(child);
    ancestors.pop();
  };
  descend(node);
}

/** @throws Error when the text has a syntax error: a check of something that was not understood proves nothing. */
export function parse(file: SourceFile): Node {
  const { program, errors } = parseSync(file.path, file.text, { sourceType: 'module' });
  const first = errors[0];
  if (first !== undefined) throw new Error(`${file.path}: ${first.message}`);
  return program;
}

export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Files below a folder of the project whose names match, sorted by path. A folder that does not exist holds none. */
export function filesBelow(folder: string, pattern: RegExp): SourceFile[] {
  const top = readdirSync(root).includes(folder.split('/')[0] ?? '') ? join(root, folder) : null;
  if (top === null) return [];
  return readdirSync(top, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }));
}

/** All TypeScript and JavaScript of ours. */
export function projectSources(): SourceFile[] {
  return SOURCE_FOLDERS.flatMap((folder) => filesBelow(folder, /\.(ts|mjs)$/));
}
