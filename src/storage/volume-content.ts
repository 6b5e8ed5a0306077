// The bytes of a volume or backup as the storage node itself reads them: how much is data, what digest they have, and zeros
// behind the end of a smaller image. The volume is not open anywhere else meanwhile.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { assert, limits, messageOf, UnderstudyError } from '../base/mod.ts';
import {
  adviseDontNeed,
  allocatePages,
  blockDeviceBytes,
  Digester,
  seekData,
  seekHole,
  zeroRange,
} from '../linux/mod.ts';

/** What is read, hashed or zeroed at a time; between pieces others get their turn. */
const PIECE_BYTES = 4 * limits.MIB;

async function withFile<T>(path: string, flags: number, work: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | null = null;
  try {
    file = await open(path, flags);
    return await work(file);
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    throw new UnderstudyError('STORAGE_FAILED', `${path}: ${messageOf(cause)}`, { cause });
  } finally {
    await file?.close();
  }
}

/** Of a file or block device. @throws STORAGE_FAILED */
export function sizeOfVolume(path: string): Promise<number> {
  return withFile(path, constants.O_RDONLY, sizeOf);
}

async function sizeOf(file: FileHandle): Promise<number> {
  const stats = await file.stat();
  return stats.isBlockDevice() ? blockDeviceBytes(file.fd) : stats.size;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** The parts of a file that are no holes; all of a block device, which has none to show (lseek(2)). */
function* dataRanges(fd: number, isBlock: boolean, sizeBytes: number): Generator<Range> {
  if (isBlock) {
    yield { from: 0, to: sizeBytes };
    return;
  }
  for (let from = seekData(fd, 0); from !== null && from < sizeBytes; ) {
    const to = Math.min(seekHole(fd, from), sizeBytes);
    yield { from, to };
    from = to < sizeBytes ? seekData(fd, to) : null;
  }
}

/** Bytes that a copy in blocks of `blockBytes` writes: of each block that holds any data, all. @throws STORAGE_FAILED */
export function bytesToCopy(path: string, blockBytes: number): Promise<number> {
  return withFile(path, constants.O_RDONLY, async (file) => {
    const sizeBytes = await sizeOf(file);
    let bytes = 0;
    let counted = 0;
    for (const { from, to } of dataRanges(file.fd, (await file.stat()).isBlockDevice(), sizeBytes)) {
      const start = Math.max(counted, Math.floor(from / blockBytes) * blockBytes);
      counted = Math.min(Math.ceil(to / blockBytes) * blockBytes, sizeBytes);
      bytes += Math.max(0, counted - start);
    }
    return bytes;
  });
}

export interface DigestRequest {
  readonly path: string;
  /** Drop what is cached first, so that the bytes come from the disk. */
  readonly fromDisk: boolean;
  readonly signal: AbortSignal;
}

/** XXH3-128 of the whole, hexadecimal. Holes are not read. @throws STORAGE_FAILED, INTERRUPTED */
export function digestOfVolume({ path, fromDisk, signal }: DigestRequest): Promise<string> {
  return withFile(path, constants.O_RDONLY, async (file) => {
    const sizeBytes = await sizeOf(file);
    if (fromDisk) {
      await file.sync();
      adviseDontNeed(file.fd, 0, sizeBytes);
    }
    const digester = new Digester();
    const pages = allocatePages(2 * PIECE_BYTES);
    const piece = new Uint8Array(pages.buffer, 0, PIECE_BYTES);
    const zeros = new Uint8Array(pages.buffer, PIECE_BYTES, PIECE_BYTES);
    try {
      let at = 0;
      for (const { from, to } of dataRanges(file.fd, (await file.stat()).isBlockDevice(), sizeBytes)) {
        await addZeros(digester, zeros, from - at, signal);
        for (at = from; at < to; ) {
          stopIfAborted(signal);
          const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, to - at), at);
          if (bytesRead === 0)
            throw new UnderstudyError('STORAGE_FAILED', `${path} ended at byte ${at} of ${sizeBytes}`);
          digester.add(piece.subarray(0, bytesRead));
          at += bytesRead;
        }
      }
      await addZeros(digester, zeros, sizeBytes - at, signal);
      return digester.hex();
    } finally {
      digester.close();
      pages.unmap();
    }
  });
}

async function addZeros(digester: Digester, zeros: Uint8Array, bytes: number, signal: AbortSignal): Promise<void> {
  for (let left = bytes; left > 0; left -= zeros.length) {
    stopIfAborted(signal);
    digester.add(zeros.subarray(0, Math.min(zeros.length, left)));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Makes everything from `from` on read as zeros, durably. @throws STORAGE_FAILED, INTERRUPTED */
export function zeroTail(path: string, from: number, signal: AbortSignal): Promise<void> {
  return withFile(path, constants.O_RDWR, async (file) => {
    const sizeBytes = await sizeOf(file);
    if (from === sizeBytes) return;
    assert(from < sizeBytes, 'the tail begins within the volume');
    const zeros = new Uint8Array(PIECE_BYTES);
    for (let at = from; at < sizeBytes; at += PIECE_BYTES) {
      stopIfAborted(signal);
      const bytes = Math.min(PIECE_BYTES, sizeBytes - at);
      if (!zeroRange(file.fd, at, bytes)) await writeAll(file, zeros.subarray(0, bytes), at);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await file.sync();
  });
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
  }
}

function stopIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new UnderstudyError('INTERRUPTED', 'the storage node was told to stop');
}
