// Addresses and routes in /etc/network/interfaces and what it includes, interfaces(5).
import { type FileTree, join, parentOf, readText, type TextFile } from '../tree/mod.ts';
import { ifupdownFacts, rewriteIfupdown, SOURCES_MAX, sourcesIn } from './ifupdown-file.ts';
import type { NetworkFormat } from './network-rule.ts';
import { matchesShellPattern } from './shell-pattern.ts';

const MAIN = '/etc/network/interfaces';
const FOLDER = '/etc/network/interfaces.d';
const FILES_MAX = 200;
const PATTERN = /[*?[]/;
/** Of the names in a folder that is included as such, interfaces(5). */
const NAME_IN_FOLDER = /^[a-zA-Z0-9_-]+$/;

export const ifupdown: NetworkFormat = {
  name: 'ifupdown',
  async files(tree) {
    const files = await ifupdownFiles(tree);
    // ifup(8) reads them all as one: a route in one file is the route of an interface in another.
    const match = files.map((file) => (file.status === 'text' ? file.text : '')).join('\n');
    return files.map((file) => ({ file, match }));
  },
  facts: ifupdownFacts,
  rewrite: rewriteIfupdown,
};

/** The main file, the usual folder, and whatever either includes. */
async function ifupdownFiles(tree: FileTree): Promise<readonly TextFile[]> {
  const files: TextFile[] = [];
  const waiting = [MAIN, ...(await filesOf(tree, FOLDER, () => true))];
  const seen = new Set<string>();
  let sources = SOURCES_MAX;
  for (let path = waiting.shift(); path !== undefined && files.length < FILES_MAX; path = waiting.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const file = await readText(tree, path);
    if (files.some(({ path: known }) => known === file.path)) continue;
    files.push(file);
    if (file.status !== 'text') continue;
    const named = sourcesIn(file.text).slice(0, sources);
    sources -= named.length;
    for (const source of named) waiting.push(...(await included(tree, source, path)));
  }
  return files;
}

/** A relative path begins at the folder of the file that has it. */
async function included(
  tree: FileTree,
  { pattern, isFolder }: { readonly pattern: string; readonly isFolder: boolean },
  from: string,
): Promise<readonly string[]> {
  const absolute = pattern.startsWith('/') ? pattern : join(parentOf(from), pattern);
  const found: string[] = [];
  for (const path of await pathsMatching(tree, absolute)) {
    const kind = (await tree.stat(path))?.kind;
    if (kind === 'folder') found.push(...(await filesOf(tree, path, (name) => NAME_IN_FOLDER.test(name))));
    else if (kind === 'file' && !isFolder) found.push(path);
  }
  return found;
}

async function filesOf(tree: FileTree, folder: string, fits: (name: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await tree.list(folder)).filter(fits).slice(0, FILES_MAX)) {
    const path = join(folder, name);
    if ((await tree.stat(path))?.kind !== 'folder') found.push(path);
  }
  return found;
}

/** As a shell finds them: names that begin with a dot only where the pattern says so. */
async function pathsMatching(tree: FileTree, pattern: string): Promise<readonly string[]> {
  let folders = [''];
  for (const part of pattern.split('/').filter((one) => one !== '')) {
    const next: string[] = [];
    for (const folder of folders) {
      const isPattern = PATTERN.test(part);
      const all = isPattern ? await tree.list(folder === '' ? '/' : folder) : [part];
      const fits = (name: string): boolean =>
        !isPattern || (matchesShellPattern(part, name) && (!name.startsWith('.') || part.startsWith('.')));
      next.push(...all.filter(fits).map((name) => `${folder}/${name}`));
    }
    folders = next.slice(0, FILES_MAX);
  }
  return folders;
}
