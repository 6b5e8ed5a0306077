// From the overlay to the image, all or nothing. The closed overlay, under a name of its own, is a redo log: it holds every block
// that differs, of all file systems of the image. They are written over it, the root's superblock before all others and made durable: whoever
// finds that superblock in the image knows that the writing has begun, and writes all of it again, which does no harm. Whoever
// does not find it (not begun, or the image has been replaced since) throws the log away.
//
// The superblock tells it for sure: that of ext holds the time of our check or our changes and their counts, and no journal to replay, which a
// system that runs always has; those of XFS and btrfs hold the number of the last change.
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET_BYTES } from '../ext/mod.ts';
import type { RootFileSystem } from './candidates.ts';
import { identityFailed, runToEnd } from './tool.ts';
import type { ImageName } from './work-folder.ts';

const PIECE_BYTES = 1024 * 1024;
const MAP_BYTES_MAX = 64 * 1024 * 1024;

/** A run of bytes that differ from the image's. */
interface Extent {
  readonly start: number;
  readonly length: number;
  /** Where in the qcow2 file they are; null: zeros. */
  readonly offset: number | null;
}

export interface Redo {
  readonly file: string;
  /** Where the root file system begins: that one is changed whenever anything is. */
  readonly offsetBytes: number;
  readonly type: RootFileSystem['type'];
}

/** Where in a file system its superblock lies, in which something differs after each change. */
const SUPERBLOCKS: Readonly<Record<RootFileSystem['type'], { readonly at: number; readonly lengthBytes: number }>> = {
  ext: { at: SUPERBLOCK_OFFSET_BYTES, lengthBytes: SUPERBLOCK_BYTES },
  xfs: { at: 0, lengthBytes: 512 },
  btrfs: { at: 64 * 1024, lengthBytes: 4096 },
};

/** Told after each step of which a crash could leave the image half written. */
export type OnWritten = (step: string) => void;

/**
 * Makes a closed overlay the redo log of its image, durably.
 * @param isChecked a check has written the times of this second into the superblock of an ext file system; what only edits files may have
 * left it as it was
 * @throws IDENTITY_FAILED when nothing could tell that it was begun
 */
export async function keepAsRedo(
  overlayFile: string,
  folder: string,
  image: ImageName,
  { offsetBytes, type, isChecked }: Omit<Redo, 'file'> & { readonly isChecked: boolean },
): Promise<Redo> {
  // That of ext counts seconds, so one that was made in this very second may be the same; there is no older one to take it for.
  const mayBeSame = type === 'ext' && isChecked;
  if (!mayBeSame && (await markOf({ file: overlayFile, offsetBytes, type }, image)) !== 'new') {
    throw identityFailed(`the superblock of the root in ${image.path} is as before, although something was changed`);
  }
  const file = join(folder, `redo-${image.key}-${offsetBytes}-${type}.qcow2`);
  await withFile(overlayFile, 'r+', (handle) => handle.sync());
  await rename(overlayFile, file);
  await withFile(folder, 'r', (handle) => handle.sync());
  return { file, offsetBytes, type };
}

/** The redo log of an image whose writing has begun and may not have ended. Others are of no use, and are not returned. */
export async function findRedo(folder: string, image: ImageName): Promise<Redo | null> {
  for (const redo of await logsOf(folder, image)) {
    if (await isBegun(redo, image)) return redo;
  }
  return null;
}

async function isBegun(redo: Redo, image: ImageName): Promise<boolean> {
  return (await markOf(redo, image)) === 'same';
}

/** What the log's superblock is to the image's. */
async function markOf(redo: Redo, image: ImageName): Promise<'absent' | 'same' | 'new'> {
  const extents = await extentsOf(redo.file);
  const { at, lengthBytes } = superblockOf(redo);
  const wanted = await withFile(redo.file, 'r', (handle) => readExtents(handle, extents, at, lengthBytes));
  const there = await withFile(image.path, 'r', (handle) => readAt(handle, at, lengthBytes));
  if (wanted === null) return 'absent';
  return wanted.equals(there) ? 'same' : 'new';
}

/** Writes all of it, flushes, and removes the log. May be done again and again. */
export async function writeRedo(redo: Redo, image: ImageName, onWritten: OnWritten = () => {}): Promise<void> {
  const extents = await extentsOf(redo.file);
  const superblock = superblockOf(redo);
  await withFile(redo.file, 'r', async (log) => {
    await withFile(image.path, 'r+', async (target) => {
      const first = await readExtents(log, extents, superblock.at, superblock.lengthBytes);
      if (first === null) throw identityFailed(`the changes to ${image.path} are incomplete`);
      await writeAll(target, first, superblock.at);
      await target.datasync();
      onWritten('superblock');
      for (const extent of extents) await writeExtent(log, target, extent, onWritten);
      await target.datasync();
      onWritten('flushed');
    });
  });
  await rm(redo.file, { force: true });
}

/** Removes logs of an image that are of no use. */
export async function removeRedo(folder: string, image: ImageName): Promise<void> {
  for (const { file } of await logsOf(folder, image)) await rm(file, { force: true });
}

function superblockOf({ offsetBytes, type }: Redo): { at: number; lengthBytes: number } {
  const { at, lengthBytes } = SUPERBLOCKS[type];
  return { at: offsetBytes + at, lengthBytes };
}

async function logsOf(folder: string, image: ImageName): Promise<Redo[]> {
  const pattern = new RegExp(`^redo-${image.key}-(\\d+)-(ext|xfs|btrfs)\\.qcow2$`);
  return (await readdir(folder)).flatMap((name) => {
    const match = pattern.exec(name);
    if (match === null) return [];
    return [{ file: join(folder, name), offsetBytes: Number(match[1]), type: match[2] as RootFileSystem['type'] }];
  });
}

async function extentsOf(file: string): Promise<readonly Extent[]> {
  const never = new AbortController().signal;
  const map = await runToEnd('qemu-img', ['map', '--output=json', '-f', 'qcow2', file], never, {
    outputBytesMax: MAP_BYTES_MAX,
  });
  if (map.status !== 0) throw identityFailed(`${file} cannot be read: ${map.stderr.trim()}`);
  const entries = JSON.parse(map.stdout) as {
    start: number;
    length: number;
    depth: number;
    zero: boolean;
    offset?: number;
  }[];
  return entries
    .filter(({ depth }) => depth === 0)
    .map(({ start, length, zero, offset }) => ({ start, length, offset: zero ? null : (offset ?? null) }));
}

async function writeExtent(log: FileHandle, target: FileHandle, extent: Extent, onWritten: OnWritten): Promise<void> {
  for (let done = 0; done < extent.length; done += PIECE_BYTES) {
    const lengthBytes = Math.min(PIECE_BYTES, extent.length - done);
    const piece =
      extent.offset === null ? Buffer.alloc(lengthBytes) : await readAt(log, extent.offset + done, lengthBytes);
    await writeAll(target, piece, extent.start + done);
    onWritten(`block ${extent.start + done}`);
  }
}

/** Bytes of the image as the log has them; null when it does not have all. */
async function readExtents(
  log: FileHandle,
  extents: readonly Extent[],
  at: number,
  lengthBytes: number,
): Promise<Buffer | null> {
  const extent = extents.find(({ start, length }) => start <= at && at + lengthBytes <= start + length);
  if (extent === undefined) return null;
  return extent.offset === null
    ? Buffer.alloc(lengthBytes)
    : readAt(log, extent.offset + at - extent.start, lengthBytes);
}

async function readAt(file: FileHandle, at: number, lengthBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(lengthBytes);
  for (let done = 0; done < lengthBytes; ) {
    const { bytesRead } = await file.read(buffer, done, lengthBytes - done, at + done);
    if (bytesRead === 0) throw identityFailed(`a file ends at byte ${at + done}, before its end`);
    done += bytesRead;
  }
  return buffer;
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
