// What rpm knows, by its databases of SQLite: Fedora 33, RHEL 9 and later. RHEL 8 and earlier have Berkeley DB, SUSE
// has a format of rpm's own; those are not read.
import type { FileTree } from '../../tree/mod.ts';
import { type Digest, type PackageDatabase, plainPath } from './contract.ts';
import { isPassive } from './passive.ts';
import { rpmPackageIn } from './rpm-header.ts';
import { blobsOf } from './sqlite-rows.ts';

const FOLDERS = ['/usr/lib/sysimage/rpm', '/var/lib/rpm'];
/** Twice that of a server with 3000 packages. */
const DATABASE_BYTES_MAX = 256 * 1024 * 1024;
const TABLE = 'Packages';

/** Null when the system has no such database. */
export async function rpmDatabase(tree: FileTree): Promise<PackageDatabase | null> {
  for (const folder of FOLDERS) {
    const sqlite = await wholeFile(tree, `${folder}/rpmdb.sqlite`);
    if (sqlite !== null) return databaseOf(blobsOf(sqlite, TABLE));
  }
  return null;
}

async function wholeFile(tree: FileTree, path: string): Promise<Buffer | null> {
  const entry = await tree.stat(path);
  return entry?.kind === 'file' && entry.sizeBytes <= DATABASE_BYTES_MAX ? tree.read(path, DATABASE_BYTES_MAX) : null;
}

function databaseOf(headers: Iterable<Buffer>): PackageDatabase {
  const [owners, digests] = [new Map<string, string>(), new Map<string, Digest>()];
  for (const header of headers) {
    const one = rpmPackageIn(header);
    for (const { path, digest } of one?.files ?? []) {
      if (one === null || isPassive(path)) continue;
      owners.set(plainPath(path), one.name);
      if (digest !== null) digests.set(path, digest);
    }
  }
  return {
    ownerOf: (path) => owners.get(plainPath(path)) ?? null,
    // It does not say.
    isOfSystem: () => false,
    digestOf: (path) => digests.get(path) ?? null,
  };
}
