// Source images and the page cache.
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
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

/**
 * What an installation image looks like to a decompressor: a GPT with one partition, full of the files of this
 * machine's /usr (from the start again where they are too few). Durable.
 */
export async function writeSystemImage(path: string, sizeBytes: number): Promise<void> {
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  const made = await runTool('sfdisk', ['--quiet', path], { input: 'label: gpt\ntype=L\n' });
  if (made.status !== 0) throw new Error(`sfdisk: ${made.stderr}`);
  // The table and its backup take less than a MiB each.
  const room = sizeBytes - 2 * limits.MIB;
  const script =
    'while tar -cf - /usr 2>/dev/null; do :; done | head -c "$1" | dd of="$2" bs=1M seek=1 conv=notrunc,fsync iflag=fullblock';
  const filled = await runTool('sh', ['-c', script, 'sh', String(room), path], { timeoutMs: 3_600_000 });
  if (filled.status !== 0) throw new Error(`the image could not be filled: ${filled.stderr}`);
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
