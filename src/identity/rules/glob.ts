// Files of an image by patterns of their paths: "*" for any part of a name, "{a,b}" for either, "**" for a few folders
// or none.
import { type Entry, type FileTree, isWithin, join, printable } from '../tree/mod.ts';

const FILES_MAX = 10_000;
/** That "**" is looked for in. A folder may contain itself in an image that somebody made so. */
const FOLDERS_MAX = 20_000;
/** Folders that "**" stands for at most. */
const DEPTH_MAX = 4;
const BRACES = /\{([^{}]*)\}/;
const SPANS_FOLDERS = /\{[^{}]*\/[^{}]*\}/;

export interface Found {
  /** Regular files, each once, links to them followed; in the order of the folders. */
  readonly files: readonly Entry[];
  /** There are more than can be dealt with. */
  readonly cut: boolean;
}

/**
 * The same names as they are: where one is a symbolic link to a regular file, the link and not what it leads to. For
 * folders in which a name counts, as those of run-parts(8).
 */
export async function namesAt(
  tree: FileTree,
  patterns: readonly string[],
): Promise<{ readonly names: readonly Entry[]; readonly cut: boolean }> {
  const names = new Map<string, Entry>();
  const budget = { folders: FOLDERS_MAX };
  for (const pattern of patterns.flatMap(alternatives)) {
    for await (const path of pathsOf(tree, '/', pattern.split('/').slice(1), budget)) {
      const name = (await tree.stat(path))?.kind === 'file' ? await tree.lstat(path) : null;
      if (name === null) continue;
      names.set(name.path, name);
      if (names.size > FILES_MAX) return { names: [...names.values()].slice(0, FILES_MAX), cut: true };
    }
  }
  return { names: [...names.values()], cut: budget.folders <= 0 };
}

export async function filesAt(tree: FileTree, patterns: readonly string[]): Promise<Found> {
  const files = new Map<string, Entry>();
  const budget = { folders: FOLDERS_MAX };
  for (const pattern of patterns.flatMap(alternatives)) {
    for await (const path of pathsOf(tree, '/', pattern.split('/').slice(1), budget)) {
      const entry = await tree.stat(path);
      if (entry?.kind !== 'file') continue;
      files.set(entry.path, entry);
      if (files.size > FILES_MAX) return { files: [...files.values()].slice(0, FILES_MAX), cut: true };
    }
  }
  return { files: [...files.values()], cut: budget.folders <= 0 };
}

/** Canonical paths of folders, each once, links to them followed; none within another. */
export async function foldersAt(
  tree: FileTree,
  patterns: readonly string[],
): Promise<{ readonly folders: readonly string[]; readonly cut: boolean }> {
  const folders = new Set<string>();
  const budget = { folders: FOLDERS_MAX };
  for (const pattern of patterns.flatMap(alternatives)) {
    for await (const path of pathsOf(tree, '/', pattern.split('/').slice(1), budget)) {
      const entry = await tree.stat(path);
      if (entry?.kind === 'folder' && folders.size < FILES_MAX) folders.add(entry.path);
    }
  }
  const outer = [...folders].filter((one) => ![...folders].some((other) => other !== one && isWithin(one, other)));
  return { folders: outer, cut: budget.folders <= 0 || folders.size >= FILES_MAX };
}

async function* pathsOf(
  tree: FileTree,
  folder: string,
  parts: readonly string[],
  budget: { folders: number },
  depth = 0,
): AsyncGenerator<string> {
  const [part, ...rest] = parts;
  if (part === undefined) return;
  if (part === '**') {
    yield* pathsOf(tree, folder, rest, budget);
    budget.folders -= 1;
    if (depth >= DEPTH_MAX || budget.folders <= 0) return;
    // Real folders only: links could lead round in circles.
    for (const name of await tree.list(folder)) {
      const path = join(folder, name);
      if ((await tree.lstat(path))?.kind === 'folder') yield* pathsOf(tree, path, parts, budget, depth + 1);
    }
    return;
  }
  const matcher = /[*{]/.test(part) ? nameMatcher(part) : null;
  const matching = matcher === null ? [part] : (await tree.list(folder)).filter((name) => matcher.test(name));
  for (const name of matching) {
    const path = join(folder, name);
    if (rest.length === 0) yield path;
    else yield* pathsOf(tree, path, rest, budget);
  }
}

/**
 * One pattern for each way through the braces; but behind "**", where every folder is walked and listed, once for all
 * that a name may be.
 */
function alternatives(pattern: string): string[] {
  const match = BRACES.exec(pattern);
  const walk = pattern.indexOf('/**/');
  if (match === null || (walk >= 0 && walk < match.index && !SPANS_FOLDERS.test(pattern))) return [pattern];
  const [whole, list = ''] = match;
  const [before, behind] = [pattern.slice(0, match.index), pattern.slice(match.index + whole.length)];
  return list.split(',').flatMap((one) => alternatives(before + one + behind));
}

function nameMatcher(pattern: string): RegExp {
  const parts = pattern.split(BRACES);
  // What split() captured, the inside of braces, comes second in each pair.
  const sources = parts.map((part, index) =>
    index % 2 === 0 ? sourceOf(part) : `(?:${part.split(',').map(sourceOf).join('|')})`,
  );
  return new RegExp(`^${sources.join('')}$`, 'su');
}

function sourceOf(part: string): string {
  return part.replace(/[.+?^$()|[\]{}\\]/g, '\\$&').replaceAll('*', '.*');
}

/** Whether a file can be named to the programs that change it. */
export function isNameable(path: string): boolean {
  return path.length <= 1024 && path === printable(path);
}
