// Files that hold secrets (passwords, tokens, keys): nobody but this user and root may be able to read or change them.
import { lstatSync } from 'node:fs';
import { errnoOf } from './errors.ts';
import { type Intrusion, intrusionOn, lookAlong } from './trust.ts';

export const SECRET_BYTES_MAX = 64 * 1024;
const ANYBODY = 0o077;

/**
 * What is wrong with a file that holds a secret, as the end of a sentence about it; null: nothing. What is in it is not
 * looked at.
 */
export function secretProblem(file: string): Intrusion | null {
  try {
    const way = lookAlong(file);
    const facts = lstatSync(way.path);
    if (!facts.isFile()) return { text: 'is not a regular file', hint: 'name a regular file' };
    if (facts.size > SECRET_BYTES_MAX)
      return { text: 'is too long for a secret', hint: `at most ${SECRET_BYTES_MAX} bytes` };
    const mode = facts.mode & 0o7777;
    if ((mode & ANYBODY) !== 0) {
      return { text: `can be read or changed by others (mode 0${mode.toString(8)})`, hint: `chmod 600 ${file}` };
    }
    return intrusionOn(way);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return { text: 'does not exist', hint: 'make it with mode 0600' };
    if (errno === 'EACCES') return { text: 'cannot be looked at by this user', hint: 'its folders need the right x' };
    if (errno === 'ELOOP') return { text: 'leads in a circle of symbolic links', hint: 'name a regular file' };
    throw error;
  }
}
