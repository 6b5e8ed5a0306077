// What of the lead's files goes to a host that keeps a system of its own: read once, into files of ours.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { UnderstudyError } from '../../base/mod.ts';
import { type Entry, type ExtendedAttribute, fileTree, type ImageTree, join, parentOf } from '../tree/mod.ts';

const ITEMS_MAX = 200_000;

export interface Item {
  /** Canonical, on both hosts. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: number;
  readonly attributes: readonly ExtendedAttribute[];
  /** Of a link. */
  readonly target: string;
  /** Of a file: where its bytes are now, how many, and their SHA-256. */
  readonly source: string;
  readonly sizeBytes: number;
  readonly digest: string;
  /** It only has to be there: a folder above what was asked for. */
  readonly isAbove: boolean;
}

export interface Portion {
  /** Folders before what is in them. */
  readonly items: readonly Item[];
  /** Canonical; what was asked for. */
  readonly roots: readonly string[];
  /** Devices, sockets and pipes: they belong to a host. */
  readonly skipped: readonly string[];
}

/**
 * @param folder private and empty; files will be in it
 * @throws IMAGE_UNSUPPORTED: a path that is not there, is everything, or has too much in it
 */
export async function takePortion(tree: ImageTree, paths: readonly string[], folder: string): Promise<Portion> {
  const items = new Map<string, Item>();
  const skipped: string[] = [];
  const roots: string[] = [];
  let files = 0;
  const take = async (entry: Entry, isAbove: boolean): Promise<void> => {
    if (items.has(entry.path)) return;
    if (items.size >= ITEMS_MAX) throw unsupported(`more than ${ITEMS_MAX} files`);
    if (entry.kind === 'other') return void skipped.push(entry.path);
    const source = joinPath(folder, String(files++));
    const isFile = entry.kind === 'file';
    const digest = isFile ? await copyOut(tree, entry.path, source) : '';
    items.set(entry.path, {
      ...{ path: entry.path, kind: entry.kind, mode: entry.mode, uid: entry.uid, gid: entry.gid, isAbove },
      ...{ modified: await tree.modified(entry.path), attributes: await tree.attributes(entry.path) },
      ...{ target: entry.target ?? '', source, sizeBytes: isFile ? entry.sizeBytes : 0, digest },
    });
    if (entry.kind !== 'folder' || isAbove) return;
    for (const name of await tree.names(entry.path)) {
      const inside = await tree.entry(join(entry.path, name));
      if (inside !== null) await take(inside, false);
    }
  };
  for (const path of paths) {
    const entry = await fileTree(tree).stat(path);
    if (entry === null) throw unsupported(`no ${path}`);
    if (entry.path === '/') throw unsupported(`${path}, which is everything: that is a whole clone`);
    for (const above of foldersAbove(entry.path)) {
      const parent = await tree.entry(above);
      if (parent !== null) await take(parent, true);
    }
    await take(entry, false);
    roots.push(entry.path);
  }
  return { items: [...items.values()], roots, skipped };
}

function foldersAbove(path: string): string[] {
  const parent = parentOf(path);
  return parent === '/' ? [] : [...foldersAbove(parent), parent];
}

async function copyOut(tree: ImageTree, path: string, to: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(to, 'wx', 0o600);
  try {
    for await (const piece of tree.pieces(path)) {
      hash.update(piece);
      await file.writeFile(piece);
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

function unsupported(what: string): UnderstudyError {
  return new UnderstudyError('IMAGE_UNSUPPORTED', `the portion has ${what}`);
}
