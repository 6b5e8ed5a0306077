// Source images and the page cache.
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { limits, runTool } from '../../src/base/mod.ts';

const CHUNK_BYTES = 4 * limits.MIB;

/** A file of random bytes (nothing in it can be skipped or compressed), durable. */
export function writeRandomImage(path: string, sizeBytes: number): void {
  const fd = openSync(path, 'w');
  try {
    writeRandom(fd, 0, sizeBytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A file of which only one part in `every` holds data, in pieces of 4 MiB; the rest are holes. */
export function writeSparseImage(path: string, sizeBytes: number, every: number): void {
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, sizeBytes);
    for (let at = 0; at < sizeBytes; at += CHUNK_BYTES * every)
      writeRandom(fd, at, Math.min(CHUNK_BYTES, sizeBytes - at));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function writeRandom(fd: number, offsetBytes: number, lengthBytes: number): void {
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, lengthBytes));
  let done = 0;
  while (done < lengthBytes) {
    const part = chunk.subarray(0, Math.min(chunk.length, lengthBytes - done));
    randomFillSync(part);
    done += writeSync(fd, part, 0, part.length, offsetBytes + done);
  }
}

/** Writes back what is dirty and forgets what is clean, so that every run starts with a cold page cache. Needs root. */
export async function dropCaches(): Promise<void> {
  const synced = await runTool('sync', [], { timeoutMs: 300_000 });
  if (synced.status !== 0) throw new Error(`sync ended with status ${synced.status}`);
  if (canDropCaches()) writeFileSync('/proc/sys/vm/drop_caches', '3');
}

export function canDropCaches(): boolean {
  return process.getuid?.() === 0;
}
