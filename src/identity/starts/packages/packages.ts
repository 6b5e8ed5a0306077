// Whose a file is, for any system whose database can be read.
import { createHash } from 'node:crypto';
import type { FileTree } from '../../tree/mod.ts';
import type { PackageDatabase } from './contract.ts';
import { dpkgDatabase } from './dpkg.ts';
import { rpmDatabase } from './rpm.ts';

const CONFIGURATION_BYTES_MAX = 1024 * 1024;
const databases = new WeakMap<FileTree, Promise<PackageDatabase | null>>();

/** Read once for a tree; null when there is no database that is understood. */
export function packagesOf(tree: FileTree): Promise<PackageDatabase | null> {
  const known = databases.get(tree);
  if (known !== undefined) return known;
  const database = dpkgDatabase(tree).then((one) => one ?? rpmDatabase(tree));
  databases.set(tree, database);
  return database;
}

/** Whether a file is as a package brought it: of configuration, whose content is known, also what is in it. */
export async function isPackaged(tree: FileTree, path: string): Promise<boolean> {
  return (await ownerOf(tree, path)) !== null;
}

/** The package of a file that is as that brought it. */
export async function ownerOf(tree: FileTree, path: string): Promise<string | null> {
  const database = await packagesOf(tree);
  const owner = database?.ownerOf(path) ?? null;
  const digest = database?.digestOf(path) ?? null;
  if (owner === null || digest === null) return owner;
  const bytes = await tree.read(path, CONFIGURATION_BYTES_MAX);
  return bytes !== null && createHash(digest.algorithm).update(bytes).digest('hex') === digest.hex ? owner : null;
}
