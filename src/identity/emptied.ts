// Folders that are emptied: queues, of which a host may have more files than anybody wants to read about one by one.
import { createHash } from 'node:crypto';
import { UnderstudyError } from '../base/mod.ts';
import type { Entry, NodeTree } from './tree/mod.ts';

/** Of a queue that still works. */
const FILES_MAX = 1_000_000;
const FOLDERS_MAX = 100_000;
const DEPTH_MAX = 16;

/**
 * Files and links below a folder, in order. Folders stay, for programs want them; so do sockets and pipes, which hold
 * nothing.
 * @throws IMAGE_UNSUPPORTED when they are more than can be dealt with
 */
export async function* filesBelow(nodes: Pick<NodeTree, 'entry' | 'names'>, folder: string): AsyncGenerator<Entry> {
  const folders = [{ path: folder, depth: 0 }];
  const tooMany = (): UnderstudyError =>
    new UnderstudyError('IMAGE_UNSUPPORTED', `${folder} has too many files in it to be emptied`);
  let [count, seen] = [0, 0];
  for (let at = folders.pop(); at !== undefined; at = folders.pop()) {
    seen += 1;
    // A folder may contain itself in an image that somebody made so.
    if (seen > FOLDERS_MAX || at.depth > DEPTH_MAX) throw tooMany();
    const inner: typeof folders = [];
    for (const name of await nodes.names(at.path)) {
      const entry = await nodes.entry(at.path === '/' ? `/${name}` : `${at.path}/${name}`);
      if (entry?.kind === 'folder') inner.push({ path: entry.path, depth: at.depth + 1 });
      if (entry?.kind !== 'file' && entry?.kind !== 'link') continue;
      count += 1;
      if (count > FILES_MAX) throw tooMany();
      yield entry;
    }
    folders.push(...inner.reverse());
  }
}

/** How many there are, and a digest of their names and sizes. */
export async function contentOfFolder(
  nodes: NodeTree,
  folder: string,
): Promise<{ readonly count: number; readonly digest: string }> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const { path, kind, sizeBytes } of filesBelow(nodes, folder)) {
    count += 1;
    hash.update(`${JSON.stringify([path, kind, sizeBytes])}\n`);
  }
  return { count, digest: hash.digest('hex') };
}

export function countText(count: number): string {
  return `${count} ${count === 1 ? 'file' : 'files'}`;
}
