// Addresses and routes in /etc/network/interfaces and what it includes, interfaces(5).
import { type FileTree, join, readText, type TextFile } from '../tree/mod.ts';
import { ifupdownFacts, rewriteIfupdown } from './ifupdown-file.ts';
import type { NetworkFormat } from './network-rule.ts';

const MAIN = '/etc/network/interfaces';
const FOLDER = '/etc/network/interfaces.d';
const FILES_MAX = 200;

export const ifupdown: NetworkFormat = {
  name: 'ifupdown',
  async files(tree) {
    return (await ifupdownFiles(tree)).map((file) => ({ file, match: '' }));
  },
  facts: ifupdownFacts,
  rewrite: (text, _match, pairs) => rewriteIfupdown(text, pairs),
};

/** Everything that the main file may include. */
async function ifupdownFiles(tree: FileTree): Promise<readonly TextFile[]> {
  const main = await readText(tree, MAIN);
  const names = (await tree.list(FOLDER)).slice(0, FILES_MAX).map((name) => join(FOLDER, name));
  const sourced = main.status === 'text' ? sourcesOf(main.text) : [];
  const files = [main];
  for (const path of new Set([...names, ...sourced])) {
    const file = await readText(tree, path);
    if (!files.some(({ path: known }) => known === file.path)) files.push(file);
  }
  return files;
}

/** Single files named by "source"; patterns other than that of the usual folder are left to the search for mentions. */
function sourcesOf(text: string): string[] {
  const sources = text.split('\n').flatMap((line) => /^\s*source\s+(\S+)/.exec(line)?.[1] ?? []);
  const paths = sources.filter((path) => !/[*?[$]/.test(path)).slice(0, FILES_MAX);
  return paths.map((path) => (path.startsWith('/') ? path : join('/etc/network', path)));
}
