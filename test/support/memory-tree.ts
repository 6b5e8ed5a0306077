// An image's files in memory, for what only reads and plans.
import type { DiskUse, Entry, NodeTree } from '../../src/identity/tree/mod.ts';

/**
 * Text or bytes of a file, one that may be run, one with permissions of its own, a link, an empty folder, or neither.
 */
export type MemoryNode =
  | string
  | Buffer
  | { readonly program: string }
  | { readonly text: string; readonly mode: number }
  | { readonly link: string }
  | 'folder:'
  | 'device:';

/** By canonical path; folders above are there by themselves. */
export function memoryTree(nodes: Readonly<Record<string, MemoryNode>>, disk?: DiskUse): NodeTree {
  const entries = new Map<string, MemoryNode>([['/', 'folder:']]);
  for (const [path, node] of Object.entries(nodes)) {
    const components = path.split('/').slice(1);
    for (let depth = 1; depth < components.length; depth += 1) {
      const above = `/${components.slice(0, depth).join('/')}`;
      if (!entries.has(above)) entries.set(above, 'folder:');
    }
    entries.set(path, node);
  }
  return {
    ...(disk === undefined ? {} : { disk }),
    async entry(path) {
      const node = entries.get(path);
      return node === undefined ? null : entryOf(path, node);
    },
    async names(path) {
      const start = path === '/' ? '/' : `${path}/`;
      const below = [...entries.keys()].filter((one) => one !== '/' && one.startsWith(start));
      return below
        .map((one) => one.slice(start.length))
        .filter((name) => !name.includes('/'))
        .sort();
    },
    async bytes(path, bytesMax) {
      return bytesOf(entries.get(path)).subarray(0, bytesMax);
    },
  };
}

function bytesOf(node: MemoryNode | undefined): Buffer {
  if (typeof node === 'object' && 'program' in node) return Buffer.from(node.program);
  if (typeof node === 'object' && 'text' in node) return Buffer.from(node.text);
  return typeof node === 'string' || Buffer.isBuffer(node) ? Buffer.from(node) : Buffer.alloc(0);
}

function entryOf(path: string, node: MemoryNode): Entry {
  const owner = { uid: 0, gid: 0, links: 1 };
  if (node === 'folder:') return { path, kind: 'folder', mode: 0o755, ...owner, sizeBytes: 0, target: null };
  if (node === 'device:') return { path, kind: 'other', mode: 0o600, ...owner, sizeBytes: 0, target: null };
  if (typeof node === 'object' && 'link' in node) {
    return { path, kind: 'link', mode: 0o777, ...owner, sizeBytes: node.link.length, target: node.link };
  }
  const own = typeof node === 'object' && 'mode' in node ? node.mode : 0o644;
  const mode = typeof node === 'object' && 'program' in node ? 0o755 : own;
  return { path, kind: 'file', mode, ...owner, sizeBytes: bytesOf(node).length, target: null };
}
