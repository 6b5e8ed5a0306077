// Owner, group and permissions of a file target. One that replaces a file has that file's; a new one has the source's,
// less the umask. Until it is complete, only its owner may read it.
import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync } from 'node:fs';
import { errnoOf, isTrusted, UnderstudyError } from '../../base/mod.ts';
import { attributesOf, removeAttribute, setAttribute } from '../../linux/mod.ts';
import type { FileSpec, ReplacedFile } from './spec.ts';
import type { TargetFolder } from './target-folder.ts';

/** Access control list (acl(5)) as the kernel keeps it; the group's bits of st_mode are then its mask. */
const ACCESS_LIST = 'system.posix_acl_access';
const USER_PREFIX = 'user.';
const GROUP_BITS = 0o070;
const PRIVATE_MODE = 0o600;
/** open(2), the same on all architectures that we know; Node.js has no name for it. */
const O_PATH = 0o10000000;

/**
 * Tries whether the owner of the file that is replaced can be kept, and undoes it: the provisional file stays ours. In
 * a folder that others can write, a file of somebody else may have been put there so that the copy becomes theirs.
 * @throws TARGET_PERMISSION
 */
export function refuseLostOwner(fd: number, { uri, replaces, mayLoseOwner }: FileSpec, folder: TargetFolder): void {
  if (replaces === null) return;
  const { uid, gid } = fstatSync(fd);
  if (folder.isOpenToOthers && !isTrusted(replaces.uid) && replaces.uid !== folder.uid) {
    if (uid !== 0) return;
    throw new UnderstudyError(
      'TARGET_PERMISSION',
      `${uri} belongs to user ${replaces.uid}, who would get the copy, and lies in a folder that other users can write; ` +
        'remove it, or copy under another name',
    );
  }
  if (mayLoseOwner) return;
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
export function givePermissions(fd: number, folder: TargetFolder, spec: FileSpec, notes: string[]): void {
  const { replaces } = spec;
  fchmodSync(fd, replaces === null ? modeOfNew(fd, spec) : keep(fd, folder, spec.path, replaces, notes));
}

/** After a failure it is again what it was while it was written. */
export function takeBack(fd: number, uid: number, gid: number): void {
  fchmodSync(fd, PRIVATE_MODE);
  changeOwner(fd, uid, gid);
}

/** At most what the source allows: a list that the folder gives to new files, or another group, may be more. */
function modeOfNew(fd: number, { mode, group }: FileSpec): number {
  const own = descriptorPath(fd);
  try {
    if (attributesOf(own, 'follow').some(({ name }) => name === ACCESS_LIST)) {
      removeAttribute(own, ACCESS_LIST, 'follow');
    }
  } catch (cause) {
    // ENOTSUP: no such thing here.
    if (errnoOf(cause) === null) throw cause;
  }
  return group === null || group === fstatSync(fd).gid ? mode : asOthers(mode);
}

/** The group gets no more than everybody. */
function asOthers(mode: number): number {
  return (mode & ~GROUP_BITS) | (mode & GROUP_BITS & ((mode & 0o007) << 3));
}

function descriptorPath(fd: number): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}`);
}

/** Owner, group, access control list and the user's own attributes; the permissions that remain. */
function keep(fd: number, folder: TargetFolder, path: string, replaced: ReplacedFile, notes: string[]): number {
  const { uid, gid } = fstatSync(fd);
  const whole = changeOwner(fd, replaced.uid, replaced.gid);
  const group = whole || changeOwner(fd, uid, replaced.gid) || gid === replaced.gid;
  if (!whole) notes.push(`owner ${replaced.uid}:${replaced.gid} could not be kept`);
  const listed = keepAttributes(fd, folder.at(path), replaced, notes);
  // To another group, or without the list whose mask they were, no more is allowed than to everybody.
  return group && listed ? replaced.mode : asOthers(replaced.mode);
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
function keepAttributes(fd: number, path: string, replaced: ReplacedFile, notes: string[]): boolean {
  const own = descriptorPath(fd);
  let oldFd: number | null = null;
  try {
    oldFd = openSync(path, O_PATH | constants.O_NOFOLLOW);
    const now = fstatSync(oldFd);
    // The file that was agreed upon has gone; what has its name is not asked.
    if (now.ino !== replaced.ino || now.dev !== replaced.dev) return true;
    const old = attributesOf(descriptorPath(oldFd), 'follow').filter(
      ({ name }) => name === ACCESS_LIST || name.startsWith(USER_PREFIX),
    );
    const inherits = attributesOf(own, 'follow').some(({ name }) => name === ACCESS_LIST);
    if (inherits && !old.some(({ name }) => name === ACCESS_LIST)) removeAttribute(own, ACCESS_LIST, 'follow');
    for (const attribute of old) setAttribute(own, attribute, 'follow');
    return true;
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    // ENOTSUP: no such thing here, on the old file neither. ENOENT: the file that was agreed upon has gone.
    if (errno === 'ENOTSUP' || errno === 'ENOENT') return true;
    notes.push(`access control list and extended attributes could not be kept (${errno})`);
    return false;
  } finally {
    if (oldFd !== null) closeSync(oldFd);
  }
}
