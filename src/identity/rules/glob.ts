// Files of an image by patterns of their paths: "*" for any part of a name, "{a,b}" for either, "**" for a few folders or none.
import { type Entry, type FileTree, join, printable } from '../tree/mod.ts';

const FILES_MAX = 10_000;
/** That "**" is looked for in. A folder may contain itself in an image that somebody made so. */
const FOLDERS_MAX = 20_000;
/** Folders that "**" stands for at most. */
const DEPTH_MAX = 4;

export interface Found {
  /** Regular files, each once, links to them followed; in the order of the folders. */
  readonly files: readonly Entry[];
  /** There are more than can be dealt with. */
  readonly cut: boolean;
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
  const matching = part.includes('*')
    ? (await tree.list(folder)).filter((name) => nameMatcher(part).test(name))
    : [part];
  for (const name of matching) {
    const path = join(folder, name);
    if (rest.length === 0) yield path;
    else yield* pathsOf(tree, path, rest, budget);
  }
}

/** One pattern for each way through the braces. */
function alternatives(pattern: string): string[] {
  const match = /^(.*?)\{([^}]*)\}(.*)$/.exec(pattern);
  if (match === null) return [pattern];
  const [, before = '', list = '', after = ''] = match;
  return list.split(',').flatMap((one) => alternatives(before + one + after));
}

function nameMatcher(pattern: string): RegExp {
  return new RegExp(`^${pattern.replace(/[.+?^$()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`, 'su');
}

/** Whether a file can be named to the programs that change it. */
export function isNameable(path: string): boolean {
  return path.length <= 1024 && path === printable(path);
}
