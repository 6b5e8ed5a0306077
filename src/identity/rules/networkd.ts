// Addresses and routes in the files of systemd-networkd, and the hardware addresses by which it knows its interfaces:
// systemd.network(5), systemd.link(5).
import { type FileTree, join, readText, type TextFile } from '../tree/mod.ts';
import type { NetworkFormat, NetworkSource } from './network-rule.ts';
import { networkdFacts, rewriteNetworkd } from './networkd-file.ts';

/** A name in an earlier one hides the same name in a later one. */
const FOLDERS = ['/etc', '/usr/local/lib', '/usr/lib', '/lib'].map((root) => `${root}/systemd/network`);
const FILE = /\.(network|link|netdev)$/;
const FILES_MAX = 200;

export const networkd: NetworkFormat = {
  name: 'networkd',
  files: networkdFiles,
  facts: networkdFacts,
  rewrite: rewriteNetworkd,
};

/** Files, and what is added to them in folders "NAME.d" of any of the places: read as one. */
async function networkdFiles(tree: FileTree): Promise<readonly NetworkSource[]> {
  const found: NetworkSource[] = [];
  const [mains, folders] = [await firstOf(tree, FOLDERS, FILE), await firstOf(tree, FOLDERS, /\.d$/, true)];
  const names = new Set([...mains.keys(), ...[...folders.keys()].map((name) => name.replace(/\.d$/, ''))]);
  for (const name of [...names]
    .sort()
    .filter((one) => FILE.test(one))
    .slice(0, FILES_MAX)) {
    const main = mains.get(name);
    const places = FOLDERS.map((folder) => join(folder, `${name}.d`));
    const additions = folders.has(`${name}.d`) ? await firstOf(tree, places, /\.conf$/) : new Map<string, string>();
    const files: TextFile[] = [];
    for (const path of [main, ...[...additions.keys()].sort().map((each) => additions.get(each))]) {
      const file = path === undefined ? null : await readText(tree, path);
      if (file !== null && !files.some((known) => known.path === file.path)) files.push(file);
    }
    const match = files.map((file) => (file.status === 'text' ? file.text : '')).join('\n');
    found.push(...files.map((file) => ({ file, match })));
  }
  return found;
}

/** The path that counts for each name. */
async function firstOf(
  tree: FileTree,
  folders: readonly string[],
  names: RegExp,
  areFolders = false,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const folder of folders) {
    for (const name of (await tree.list(folder)).filter((one) => names.test(one)).slice(0, FILES_MAX)) {
      const path = join(folder, name);
      const isFolder = (await tree.stat(path))?.kind === 'folder';
      if (!found.has(name) && isFolder === areFolders) found.set(name, path);
    }
  }
  return found;
}
