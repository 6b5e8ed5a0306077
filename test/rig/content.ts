// Contents of test images: bytes that look random, are equal for equal seeds, and hold no block of zeros by accident.
import { createCipheriv } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

export function randomBytesOf(seed: number, sizeBytes: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed >>> 0);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

/** Random content with ranges of zeros, in units of `unitBytes`: `pattern` has a character each, '.' for zeros. */
export function patchwork(seed: number, unitBytes: number, pattern: string): Buffer {
  const content = randomBytesOf(seed, unitBytes * pattern.length);
  for (const [index, character] of [...pattern].entries()) {
    if (character === '.') content.fill(0, index * unitBytes, (index + 1) * unitBytes);
  }
  return content;
}

/** Writes a file whose zero units are holes. */
export function writeSparse(path: string, content: Buffer, unitBytes: number): void {
  const fd = openSync(path, 'w');
  const zeros = Buffer.alloc(unitBytes);
  try {
    for (let at = 0; at < content.length; at += unitBytes) {
      const unit = content.subarray(at, at + unitBytes);
      if (!unit.equals(zeros.subarray(0, unit.length))) writeSync(fd, unit, 0, unit.length, at);
    }
    ftruncateSync(fd, content.length);
  } finally {
    closeSync(fd);
  }
}

/** First offset where a file or device differs from a content, or null when the first `content.length` bytes are equal. */
export function firstDifference(path: string, content: Buffer): number | null {
  const fd = openSync(path, 'r');
  const piece = Buffer.alloc(1 << 20);
  try {
    for (let at = 0; at < content.length; ) {
      const got = readSync(fd, piece, 0, Math.min(piece.length, content.length - at), at);
      if (got === 0) return at;
      if (Buffer.compare(piece.subarray(0, got), content.subarray(at, at + got)) !== 0) {
        for (let index = 0; index < got; index++) if (piece[index] !== content[at + index]) return at + index;
      }
      at += got;
    }
    return null;
  } finally {
    closeSync(fd);
  }
}
