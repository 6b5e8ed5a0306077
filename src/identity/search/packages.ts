// Files that are as their package brought them (Debian: /var/lib/dpkg, dpkg(1)): the same on every host, so what they
// say is nothing that was said of this one.
import { createHash } from 'node:crypto';
import { fileTree, type NodeTree } from '../tree/mod.ts';

const STATUS = '/var/lib/dpkg/status';
const LISTS = '/var/lib/dpkg/info';
const STATUS_BYTES_MAX = 64 * 1024 * 1024;
const LIST_BYTES_MAX = 16 * 1024 * 1024;
const FILE_BYTES_MAX = 16 * 1024 * 1024;
/** " /etc/default/ssh 1234...": configuration files are in the state of their package, with what it brought last. */
const CONFIGURATION = /^ (\/\S+) ([0-9a-f]{32})(?: obsolete)?$/gm;
const OTHER = /^([0-9a-f]{32}) {2}(.+)$/gm;
/** Folders that are one with those in /usr today. */
const MERGED = /^\/(?=(?:bin|sbin|lib|lib32|lib64|libx32)\/)/;

const known = new WeakMap<NodeTree, Promise<ReadonlyMap<string, string>>>();

/** Whether a file is what its package brought. False where there is no package, or nobody knows. */
export async function isAsPackaged(nodes: NodeTree, path: string): Promise<boolean> {
  const digests = known.get(nodes) ?? digestsIn(nodes);
  known.set(nodes, digests);
  const digest = (await digests).get(path.replace(MERGED, '/usr/'));
  if (digest === undefined) return false;
  const bytes = await nodes.bytes(path, FILE_BYTES_MAX);
  return createHash('md5').update(bytes).digest('hex') === digest;
}

async function digestsIn(nodes: NodeTree): Promise<ReadonlyMap<string, string>> {
  const tree = fileTree(nodes);
  const digests = new Map<string, string>();
  for (const name of await tree.list(LISTS)) {
    if (!name.endsWith('.md5sums')) continue;
    const text = (await tree.read(`${LISTS}/${name}`, LIST_BYTES_MAX))?.toString('utf8') ?? '';
    for (const [, digest = '', path = ''] of text.matchAll(OTHER))
      digests.set(`/${path}`.replace(MERGED, '/usr/'), digest);
  }
  const status = (await tree.read(STATUS, STATUS_BYTES_MAX))?.toString('utf8') ?? '';
  for (const [, path = '', digest = ''] of status.matchAll(CONFIGURATION))
    digests.set(path.replace(MERGED, '/usr/'), digest);
  return digests;
}
