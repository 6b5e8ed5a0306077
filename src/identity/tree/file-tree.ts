// Paths of an image, followed component by component inside it: the rules of path_resolution(7) with the image's root
// as the root. Nothing here ever asks the machine's own file system, so no link can lead out of the image.
import type { Entry, FileTree, NodeTree, Place } from './contract.ts';
import { bytesOfName } from './name-bytes.ts';

/** As the kernel: more links than this in one path are a loop (MAXSYMLINKS). */
const LINKS_MAX = 40;
const NAME_BYTES_MAX = 255;
/** PATH_MAX of Linux; also bounds what a chain of links can grow to. */
const COMPONENTS_MAX = 4096;

export function fileTree(nodes: NodeTree): FileTree {
  return {
    nodes,
    uuid: nodes.uuid ?? null,
    disk: nodes.disk ?? { attached: [], swaps: [], unread: [] },
    stat: async (path) => (await resolve(nodes, path, true))?.entry ?? null,
    lstat: async (path) => (await resolve(nodes, path, false))?.entry ?? null,
    place: (path) => resolve(nodes, path, true),
    list: async (path) => {
      const found = await resolve(nodes, path, true);
      return found?.entry?.kind === 'folder' ? nodes.names(found.path) : [];
    },
    read: async (path, bytesMax) => {
      const found = await resolve(nodes, path, true);
      return found?.entry?.kind === 'file' ? nodes.bytes(found.path, bytesMax) : null;
    },
  };
}

/** Null when a component before the last is missing or no folder, or when links lead in a circle. */
async function resolve(nodes: NodeTree, path: string, followLast: boolean): Promise<Place | null> {
  const pending = componentsOf(path).reverse();
  let at = '/';
  let entry: Entry | null = await nodes.entry(at);
  let links = 0;
  while (pending.length > 0) {
    if (entry?.kind !== 'folder' || pending.length > COMPONENTS_MAX) return null;
    const name = pending.pop() ?? '';
    if (name === '..') {
      at = parentOf(at);
      entry = await nodes.entry(at);
      continue;
    }
    if (bytesOfName(name).length > NAME_BYTES_MAX) return null;
    const next = join(at, name);
    const found = await nodes.entry(next);
    if (found?.kind === 'link' && (followLast || pending.length > 0)) {
      links += 1;
      const target = found.target ?? '';
      if (links > LINKS_MAX || target === '') return null;
      if (target.startsWith('/')) at = '/';
      pending.push(...componentsOf(target).reverse());
      entry = await nodes.entry(at);
      continue;
    }
    at = next;
    entry = found;
  }
  return { path: at, entry };
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((component) => component !== '' && component !== '.');
}

export function join(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

/** Whether a canonical path is that of a folder, or leads into it. */
export function isWithin(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
