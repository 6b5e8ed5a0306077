// Reads the file that an image is stored in once more, for a digest of it, while the image is copied.
import { createReadStream } from 'node:fs';
import { limits, sha256 } from '../../base/mod.ts';
import { createStoredDigest, publishStoredDigest } from '../consumer/mod.ts';
import type { IdentifiedSource } from '../source/mod.ts';
import type { CopyConfig } from './options.ts';

/**
 * Starts when a digest is expected and the image is stored in a file in another form. What a server or a pipe gives
 * only the process that reads it sees, which says so in the ring.
 */
export function startStoredDigest(
  source: IdentifiedSource,
  config: CopyConfig,
  signal: AbortSignal,
): SharedArrayBuffer | null {
  const { path, kind, format, fromBytes = 0 } = source;
  if (config.expect === null || kind !== 'file' || format === 'raw' || path === undefined) return null;
  const memory = createStoredDigest();
  void digestOfFile(path, fromBytes, signal).then((hex) => publishStoredDigest(memory, hex));
  return memory;
}

/** Hexadecimal; null when the file cannot be read to its end, which the copy itself then tells. */
async function digestOfFile(path: string, start: number, signal: AbortSignal): Promise<string | null> {
  const hash = sha256();
  try {
    for await (const piece of createReadStream(path, { start, highWaterMark: limits.MIB, signal }))
      hash.update(piece as Buffer);
    return hash.digest('hex');
  } catch {
    return null;
  }
}
