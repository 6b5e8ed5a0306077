// What dpkg knows: /var/lib/dpkg/status and info/*.list (dpkg(1), deb(5)).
import { type FileTree, join, textOf } from '../../tree/mod.ts';
import { type Digest, type PackageDatabase, plainPath } from './contract.ts';
import { isPassive } from './passive.ts';

const FOLDER = '/var/lib/dpkg';
const STATUS_BYTES_MAX = 64 * 1024 * 1024;
const LIST_BYTES_MAX = 16 * 1024 * 1024;
const LISTS_MAX = 20_000;
/** Below this priority it is no part of every system: Debian Policy 2.5. */
const OF_THE_SYSTEM = /^(required|important|standard)$/;

/** Null when the system has no such database. */
export async function dpkgDatabase(tree: FileTree): Promise<PackageDatabase | null> {
  const bytes = await tree.read(join(FOLDER, 'status'), STATUS_BYTES_MAX);
  if (bytes === null) return null;
  const [system, conffiles] = [new Set<string>(), new Map<string, Digest>()];
  for (const block of (textOf(bytes) ?? bytes.toString('latin1')).split(/\n{2,}/)) {
    const name = /^Package: (\S+)/m.exec(block)?.[1];
    if (name === undefined || !/^Status: \S+ \S+ installed/m.test(block)) continue;
    const priority = /^Priority: (\S+)/m.exec(block)?.[1] ?? '';
    if (OF_THE_SYSTEM.test(priority) || /^Essential: yes/m.test(block)) system.add(name);
    for (const [, path = '', md5 = ''] of block.matchAll(/^ (\/\S+) ([0-9a-f]{32})$/gm))
      conffiles.set(path, { algorithm: 'md5', hex: md5 });
  }
  const owners = new Map<string, string>();
  for (const list of (await tree.list(join(FOLDER, 'info')))
    .filter((name) => name.endsWith('.list'))
    .slice(0, LISTS_MAX)) {
    const text = await tree.read(join(join(FOLDER, 'info'), list), LIST_BYTES_MAX);
    const owner = list.replace(/(:[\w-]+)?\.list$/, '');
    for (const path of text?.toString('utf8').split('\n') ?? []) {
      if (path !== '' && !isPassive(path)) owners.set(plainPath(path), owner);
    }
  }
  return {
    ownerOf: (path) => owners.get(plainPath(path)) ?? null,
    isOfSystem: (owner) => system.has(owner),
    digestOf: (path) => conffiles.get(path) ?? null,
  };
}
