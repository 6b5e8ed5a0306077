// Files of a folder that only its owner may see. They are judged by the open file and not by name, so that nothing
// can be swapped in between; a symbolic link is refused, because it would lend the folder's protection to a file
// elsewhere.
import { constants, type Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { errnoOf, reasonOf, UnderstudyError } from '../base/mod.ts';

/** Some thousand certificates in one list fit in this; a PEM file of one certificate or key has about 1 KiB. */
export const FILE_BYTES_MAX = 1024 * 1024;

export interface ReadOptions {
  /** Nobody but the owner may read it. @default false: nobody but the owner may change it */
  readonly secret?: boolean;
}

/** The text of a file; null when it does not exist. @throws CERTIFICATE_INVALID */
export async function readOwn(path: string, { secret = false }: ReadOptions = {}): Promise<string | null> {
  try {
    // A pipe must not hold up anybody: without O_NONBLOCK opening one waits for its writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile()) throw unusable(`${path} is not a regular file`);
      if (facts.size > FILE_BYTES_MAX) throw unusable(`${path} is longer than ${FILE_BYTES_MAX} bytes`);
      // systemd shows a credential to its unit alone, by an access control list that looks like a group's right
      // (systemd.exec(5)).
      const credentials = process.env.CREDENTIALS_DIRECTORY;
      if (credentials !== undefined && path.startsWith(`${credentials}/`)) return await file.readFile('utf8');
      checkOwner(path, facts, secret ? 0o077 : 0o022, secret ? '600' : '644');
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === 'ENOENT') return null;
    if (errno === 'ELOOP') throw unusable(`${path} is a symbolic link; put the file itself there`);
    if (errno === null) throw cause;
    throw unusable(`${path} cannot be read: ${reasonOf(errno)}`, cause);
  }
}

/** @throws CERTIFICATE_INVALID unless it is a folder into which only its owner can look */
export async function checkFolder(folder: string): Promise<void> {
  try {
    const facts = await stat(folder);
    if (!facts.isDirectory()) throw unusable(`${folder} is not a folder`);
    checkOwner(folder, facts, 0o077, '700');
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    if (errno === 'ENOENT') {
      throw unusable(`${folder} does not exist: "understudy pki init" makes an authority in it`, cause);
    }
    throw unusable(`${folder} cannot be looked at: ${reasonOf(errno)}`, cause);
  }
}

function checkOwner(path: string, facts: Stats, forbidden: number, wanted: string): void {
  const mode = facts.mode & 0o777;
  if ((mode & forbidden) !== 0) {
    const what = wanted === '644' ? 'changed' : 'read or changed';
    throw unusable(`${path} can be ${what} by others (mode 0${mode.toString(8)}): chmod ${wanted} ${path}`);
  }
  const own = process.getuid?.() ?? 0;
  if (facts.uid !== own && facts.uid !== 0) {
    throw unusable(`${path} belongs to user ${facts.uid}: chown ${own} ${path}`);
  }
}

export function unusable(message: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('CERTIFICATE_INVALID', message, cause === undefined ? {} : { cause });
}
