// rename(2) that replaces nothing, which Node.js has no call for.
import { linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { lastErrno, libc, SystemError } from './libc.ts';

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;
const { EEXIST, EINVAL, ENOSYS, EOPNOTSUPP } = constants.errno;

/**
 * Renames within a file system unless the new name exists; false when it does. By renameat2(2); where the file system does not
 * know that, by link(2) and unlink(2); where it has no links either, the name is looked for immediately before rename(2), and
 * one that appears in between is replaced. @throws SystemError and errors of Node.js
 */
export function renameNoReplace(from: string, to: string): boolean {
  if (libc.renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) === 0) return true;
  const errno = lastErrno();
  if (errno === EEXIST) return false;
  if (errno !== EINVAL && errno !== ENOSYS && errno !== EOPNOTSUPP) throw new SystemError('renameat2', errno);
  return linkNoReplace(from, to);
}

function linkNoReplace(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    unlinkSync(from);
    return true;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS' && code !== 'EMLINK') throw cause;
  }
  if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) return false;
  renameSync(from, to);
  return true;
}
