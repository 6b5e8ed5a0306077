// Owner, group and permissions of a file target. One that replaces a file has that file's; a new one has the source's, less
// the umask. Until it is complete, only its owner may read it.
import { fchmodSync, fchownSync, fstatSync } from 'node:fs';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { attributesOf, removeAttribute, setAttribute } from '../../linux/mod.ts';
import type { FileSpec, ReplacedFile } from './spec.ts';

/** Access control list (acl(5)) as the kernel keeps it; the group's bits of st_mode are then its mask. */
const ACCESS_LIST = 'system.posix_acl_access';
const USER_PREFIX = 'user.';
const GROUP_BITS = 0o070;

/**
 * Tries whether the owner of the file that is replaced can be kept, and undoes it: the provisional file stays ours.
 * @throws TARGET_PERMISSION
 */
export function refuseLostOwner(fd: number, { uri, replaces, mayLoseOwner }: FileSpec): void {
  if (replaces === null || mayLoseOwner) return;
  const { uid, gid } = fstatSync(fd);
  if (changeOwner(fd, replaces.uid, replaces.gid)) {
    changeOwner(fd, uid, gid);
    return;
  }
  throw new UnderstudyError(
    'TARGET_PERMISSION',
    `${uri} belongs to user ${replaces.uid} and group ${replaces.gid}, which this user cannot give to the file that ` +
      'takes its place; with --yes it will be yours',
  );
}

/** Last change before the final name. Says in `notes` what could not be kept. */
export function givePermissions(fd: number, partial: string, spec: FileSpec, notes: string[]): void {
  const { replaces } = spec;
  fchmodSync(fd, replaces === null ? spec.mode : keep(fd, partial, spec.path, replaces, notes));
}

/** Owner, group, access control list and the user's own attributes; the permissions that remain. */
function keep(fd: number, partial: string, path: string, replaced: ReplacedFile, notes: string[]): number {
  const { uid, gid } = fstatSync(fd);
  const whole = changeOwner(fd, replaced.uid, replaced.gid);
  const group = whole || changeOwner(fd, uid, replaced.gid) || gid === replaced.gid;
  if (!whole) notes.push(`owner ${replaced.uid}:${replaced.gid} could not be kept`);
  const listed = keepAttributes(partial, path, notes);
  // To another group, or without the list whose mask they were, no more is allowed than to everybody.
  const { mode } = replaced;
  return group && listed ? mode : (mode & ~GROUP_BITS) | (mode & GROUP_BITS & ((mode & 0o007) << 3));
}

function changeOwner(fd: number, uid: number, gid: number): boolean {
  const now = fstatSync(fd);
  if (now.uid === uid && now.gid === gid) return true;
  try {
    fchownSync(fd, uid, gid);
    return true;
  } catch (cause) {
    // EINVAL: a user that this user namespace has no number for. EROFS and others: the file system keeps no owners.
    if (errnoOf(cause) === null) throw cause;
    return false;
  }
}

/** Whether the new file has the access control list of the old one, or neither has any. */
function keepAttributes(partial: string, path: string, notes: string[]): boolean {
  const own = Buffer.from(partial);
  try {
    const old = attributesOf(Buffer.from(path)).filter(
      ({ name }) => name === ACCESS_LIST || name.startsWith(USER_PREFIX),
    );
    const inherits = attributesOf(own).some(({ name }) => name === ACCESS_LIST);
    if (inherits && !old.some(({ name }) => name === ACCESS_LIST)) removeAttribute(own, ACCESS_LIST);
    for (const attribute of old) setAttribute(own, attribute);
    return true;
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    // ENOTSUP: no such thing here, on the old file neither. ENOENT: the file that was agreed upon has gone.
    if (errno === 'ENOTSUP' || errno === 'ENOENT') return true;
    notes.push(`access control list and extended attributes could not be kept (${errno})`);
    return false;
  }
}
