// Addresses and routes in the files of systemd-networkd, and the hardware addresses by which it knows its interfaces:
// systemd.network(5), systemd.link(5).
import { type FileTree, join, readText } from '../tree/mod.ts';
import type { NetworkFormat, NetworkSource } from './network-rule.ts';
import { networkdFacts, rewriteNetworkd } from './networkd-file.ts';

const FOLDER = '/etc/systemd/network';
const FILE = /\.(network|link|netdev)$/;
const FILES_MAX = 200;

export const networkd: NetworkFormat = {
  name: 'networkd',
  files: networkdFiles,
  facts: networkdFacts,
  rewrite: rewriteNetworkd,
};

/** Files, and what is added to them in folders "NAME.d". */
async function networkdFiles(tree: FileTree): Promise<readonly NetworkSource[]> {
  const found: NetworkSource[] = [];
  for (const name of (await tree.list(FOLDER)).slice(0, FILES_MAX)) {
    const path = join(FOLDER, name);
    if (FILE.test(name)) {
      const file = await readText(tree, path);
      found.push({ file, match: file.status === 'text' ? file.text : '' });
    } else if (FILE.test(name.replace(/\.d$/, ''))) {
      found.push(...(await additions(tree, path)));
    }
  }
  return found;
}

async function additions(tree: FileTree, folder: string): Promise<NetworkSource[]> {
  const main = await readText(tree, folder.replace(/\.d$/, ''));
  const names = (await tree.list(folder)).filter((name) => name.endsWith('.conf')).slice(0, FILES_MAX);
  const found: NetworkSource[] = [];
  for (const name of names) {
    found.push({ file: await readText(tree, join(folder, name)), match: main.status === 'text' ? main.text : '' });
  }
  return found;
}
