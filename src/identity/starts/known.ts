// What starts and belongs to the system itself: as a package brought it that every system has, or of which it is
// known what it keeps.
import type { FileTree } from '../tree/mod.ts';
import type { Start } from './contract.ts';
import { isKnownPackage } from './packages/known-packages.ts';
import { ownerOf, packagesOf } from './packages/mod.ts';

const PROGRAMS_MAX = 50;

/** The package by which it is known; null: nobody knows what it keeps. */
export async function knownPackageOf(tree: FileTree, { file, programs }: Start): Promise<string | null> {
  const own = file === null ? null : await knownOwner(tree, file);
  if (own === null) return null;
  for (const program of programs.filter((one) => one.startsWith('/')).slice(0, PROGRAMS_MAX)) {
    const entry = await tree.stat(program);
    // What is not there cannot be run.
    if (entry?.kind === 'file' && (await knownOwner(tree, entry.path)) === null) return null;
  }
  return own;
}

async function knownOwner(tree: FileTree, path: string): Promise<string | null> {
  const owner = await ownerOf(tree, path);
  if (owner === null) return null;
  const isOfSystem = (await packagesOf(tree))?.isOfSystem(owner) === true;
  return isOfSystem || isKnownPackage(owner) ? owner : null;
}
