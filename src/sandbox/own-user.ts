// The user of what root starts to read images: nobody else's, and without any file but those that it is given.
import { lchownSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../base/mod.ts';

/**
 * A number that Debian reserves and gives to nobody (Debian Policy, 9.2.2: 65000 to 65533), also the number of its
 * group. It needs no line in passwd(5).
 */
export const OWN_USER = 65_333;

/**
 * A folder and what is in it belong to whoever reads: the own user where we are root, and root again for a reader that
 * keeps root's rights. Of a user who is not root everything stays the user's.
 */
export function giveTo(path: string, keepsRoot: boolean): void {
  if (process.geteuid?.() === 0) give(path, keepsRoot ? 0 : OWN_USER);
}

function give(path: string, user: number): void {
  try {
    const facts = lstatSync(path);
    if (facts.uid !== user || facts.gid !== user) lchownSync(path, user, user);
    if (facts.isDirectory()) for (const name of readdirSync(path)) give(join(path, name), user);
  } catch (error) {
    // Another operation has removed what was its own.
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
