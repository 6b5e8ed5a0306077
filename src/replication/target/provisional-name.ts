import { basename, dirname, join } from 'node:path';
import { shortName } from '../../base/mod.ts';

/** Longest name of a file in bytes (limits.h, NAME_MAX). */
const NAME_BYTES_MAX = 255;
const PARTIAL = '.partial';
/** The longest name that is ever made of a provisional one. */
const LONGEST = `${PARTIAL}.resume.new`;
/** Shortened names keep so much of the final one. */
const KEPT_BYTES = 120;

/** NAME.partial; where the names made of it would be too long for a file system, a shortened NAME, a tilde and a digest. */
export function partialPath(path: string): string {
  const name = basename(path);
  if (Buffer.byteLength(name) + LONGEST.length <= NAME_BYTES_MAX) return `${path}${PARTIAL}`;
  // A character that is cut in two becomes U+FFFD, which goes too.
  const kept = Buffer.from(name)
    .toString('utf8', 0, KEPT_BYTES)
    .replace(/\uFFFD$/, '');
  return join(dirname(path), `${kept}~${shortName(name)}${PARTIAL}`);
}

/** The resume record of a file target. */
export function recordPathForFile(path: string): string {
  return `${partialPath(path)}.resume`;
}
