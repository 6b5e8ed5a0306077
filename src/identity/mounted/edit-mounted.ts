// Changes to the files of a mounted file system.
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, lchown, mkdir, rename, rmdir, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { SystemError, setAttribute } from '../../linux/mod.ts';
import { bytesOfName, type FileEdit, type Owned, parentOf } from '../tree/mod.ts';
import type { MountedTree } from './mounted-tree.ts';

/**
 * In this order.
 * @throws IDENTITY_FAILED at the first that the system refuses
 */
export async function editMounted(tree: MountedTree, edits: readonly FileEdit[]): Promise<void> {
  for (const edit of edits) {
    // What is above it may have become a link since somebody looked: the kernel would follow that, out of the image.
    if ((await tree.entry(parentOf(edit.path)))?.kind !== 'folder') throw failed(edit.path, 'its folder is none');
    try {
      if (edit.state.kind === 'renamed') await rename(tree.place(edit.state.from), tree.place(edit.path));
      else await editOne(tree.place(edit.path), edit);
    } catch (error) {
      const code = error instanceof SystemError ? error.message : errnoOf(error);
      throw code === null ? error : failed(edit.path, code);
    } finally {
      tree.forget();
    }
  }
}

async function editOne(place: Buffer, { replaces, state }: FileEdit): Promise<void> {
  if (replaces) await unlink(place);
  if (state.kind === 'folder-gone') await rmdir(place);
  if (state.kind === 'link') await symlink(bytesOfName(state.target), place);
  if (state.kind === 'folder') {
    if (state.make) await mkdir(place, { mode: 0o700 });
    await own(place, state);
  }
  if (state.kind === 'file') {
    if (typeof state.bytes === 'string') {
      const made = createWriteStream(place, { flags: 'wx', mode: 0o600 });
      await pipeline(createReadStream(state.bytes), made);
    } else {
      await writeFile(place, state.bytes, { flag: 'wx', mode: 0o600 });
    }
    await own(place, state);
  }
}

/** Owners first: a change of owner takes away what the bits and capabilities say. */
async function own(place: Buffer, { uid, gid, mode, attributes, modified }: Owned): Promise<void> {
  await lchown(place, uid, gid);
  await chmod(place, mode);
  for (const attribute of attributes) setAttribute(place, attribute);
  if (modified !== undefined) await utimes(place, modified, modified);
}

function failed(path: string, why: string): UnderstudyError {
  return new UnderstudyError('IDENTITY_FAILED', `${path} could not be changed: ${why}`);
}
