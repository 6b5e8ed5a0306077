import type { Hash } from 'node:crypto';

/**
 * A SHA-256 to be fed (FIPS 180-4). The module behind it is loaded at the first call and not with ours: that is a good part of a
 * thread's start, and a copy to many targets starts many, of which most digest nothing this way.
 */
export function sha256(): Hash {
  return process.getBuiltinModule('node:crypto').createHash('sha256');
}

/** The first 128 bits of the digest of a text, as 32 hexadecimal digits: a file name for something that has a longer name. */
export function shortName(text: string): string {
  return sha256().update(text).digest('hex').slice(0, 32);
}
