// What is still to be done for another system to have a portion of the lead's files, and nothing else where they lie.
import { createHash } from 'node:crypto';
import { UnderstudyError } from '../../base/mod.ts';
import { type Entry, type FileEdit, fileTree, type ImageTree, join } from '../tree/mod.ts';
import type { Item, Portion } from './take.ts';

/** In the order in which they can be done: away with what is in the way, then folders before what is in them. */
export async function remainingOf(portion: Portion, tree: ImageTree): Promise<readonly FileEdit[]> {
  const wanted = new Map(portion.items.map((item) => [item.path, item]));
  const gone: FileEdit[] = [];
  const made: FileEdit[] = [];
  for (const root of portion.roots) await away(root, wanted, tree, gone);
  for (const item of portion.items) {
    const entry = await tree.entry(item.path);
    if (item.isAbove && entry?.kind !== 'folder' && entry !== null) throw elsewhere(item.path);
    if (!(await isSo(item, entry, tree))) made.push(editOf(item, entry));
  }
  return [...gone, ...made];
}

/** Entries that the lead has not, or has as something else; those in a folder before the folder. */
async function away(
  path: string,
  wanted: ReadonlyMap<string, Item>,
  tree: ImageTree,
  edits: FileEdit[],
): Promise<void> {
  const entry = await tree.entry(path);
  if (entry === null) return;
  if ((await fileTree(tree).lstat(path))?.path !== path) throw elsewhere(path);
  const kind = wanted.get(path)?.kind;
  if (entry.kind === 'folder') {
    for (const name of await tree.names(path)) await away(join(path, name), wanted, tree, edits);
    if (kind !== 'folder') edits.push({ path, replaces: false, state: { kind: 'folder-gone' } });
  } else if (kind === undefined || kind === 'folder') {
    edits.push({ path, replaces: true, state: { kind: 'gone' } });
  }
}

async function isSo(item: Item, entry: Entry | null, tree: ImageTree): Promise<boolean> {
  if (entry?.kind !== item.kind) return false;
  if (item.isAbove) return true;
  if (item.kind === 'link') return entry.target === item.target;
  const isOwned = entry.mode === item.mode && entry.uid === item.uid && entry.gid === item.gid;
  if (!isOwned || !(await hasAttributes(item, tree))) return false;
  if (item.kind === 'folder') return true;
  return entry.sizeBytes === item.sizeBytes && (await digestIn(tree, item.path)) === item.digest;
}

async function hasAttributes({ path, attributes }: Item, tree: ImageTree): Promise<boolean> {
  const own = await tree.attributes(path);
  return attributes.every(({ name, value }) => own.some((one) => one.name === name && one.value.equals(value)));
}

async function digestIn(tree: ImageTree, path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of tree.pieces(path)) hash.update(piece);
  return hash.digest('hex');
}

function editOf(item: Item, entry: Entry | null): FileEdit {
  const { path, kind, mode, uid, gid, attributes, modified, target, source } = item;
  // Of another kind: it has been taken away before.
  const replaces = entry !== null && entry.kind !== 'folder' && kind !== 'folder';
  if (kind === 'link') return { path, replaces, state: { kind, target } };
  const owned = { mode, uid, gid, attributes, modified };
  if (kind === 'folder') return { path, replaces: false, state: { kind, make: entry?.kind !== 'folder', ...owned } };
  return { path, replaces, state: { kind, bytes: source, ...owned } };
}

function elsewhere(path: string): UnderstudyError {
  return new UnderstudyError('IMAGE_UNSUPPORTED', `${path} leads elsewhere on the other host, so nothing is put there`);
}
