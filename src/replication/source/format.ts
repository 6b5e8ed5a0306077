// The formats of images, and how their content gives them away.
import { UnderstudyError } from '../../base/mod.ts';

const SOURCE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi', 'gzip', 'xz', 'zstd', 'bzip2'] as const;

export type SourceFormat = (typeof SOURCE_FORMATS)[number];

/** A raw image in the output of a decompressor: read in order. */
export type CompressedFormat = 'gzip' | 'xz' | 'zstd' | 'bzip2';

/** Needs QEMU to be read, at any offset. */
export type ImageFormat = Exclude<SourceFormat, CompressedFormat>;

/** Bytes from the start that `detectFormat` looks at. */
export const DETECTION_BYTES = 512;

export function isCompressed(format: string): format is CompressedFormat {
  return format === 'gzip' || format === 'xz' || format === 'zstd' || format === 'bzip2';
}

/** @throws FORMAT_UNKNOWN */
export function parseFormat(text: string): SourceFormat {
  const format = SOURCE_FORMATS.find((known) => known === text);
  if (format !== undefined) return format;
  throw new UnderstudyError('FORMAT_UNKNOWN', `format "${text}" is not one of ${SOURCE_FORMATS.join(', ')}`);
}

function startsWith(bytes: Uint8Array, magic: string | readonly number[], at = 0): boolean {
  const wanted = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : magic;
  return wanted.every((byte, index) => bytes[at + index] === byte);
}

/** Block header and end-of-stream mark of bzip2: a disk that begins with the text "BZh1" alone is none. */
const BZIP2_MARKS = [
  [0x31, 0x41, 0x59, 0x26, 0x53, 0x59],
  [0x17, 0x72, 0x45, 0x38, 0x50, 0x90],
];

/** zstd frames start with their magic number, or with one of the 16 of skippable frames (RFC 8878, 3.1). */
function isZstd(bytes: Uint8Array): boolean {
  if (startsWith(bytes, [0x28, 0xb5, 0x2f, 0xfd])) return true;
  return startsWith(bytes, [0x2a, 0x4d, 0x18], 1) && ((bytes[0] ?? 0) & 0xf0) === 0x50;
}

/**
 * The format of what starts with these bytes (DETECTION_BYTES of them, fewer where it is shorter); raw when nothing is
 * recognised. Only for images that lie in files: whoever owns a raw disk writes its first bytes, and could make it a
 * qcow2 that names a file of ours (CVE-2008-2004). For such disks the format is said, never looked for.
 */
export function detectFormat(bytes: Uint8Array): SourceFormat {
  if (startsWith(bytes, 'QFI\xfb')) return 'qcow2';
  if (startsWith(bytes, 'KDMV') || startsWith(bytes, '# Disk DescriptorFile')) return 'vmdk';
  if (startsWith(bytes, 'vhdxfile')) return 'vhdx';
  if (startsWith(bytes, [0x7f, 0x10, 0xda, 0xbe], 0x40)) return 'vdi';
  if (startsWith(bytes, [0x1f, 0x8b, 0x08])) return 'gzip';
  if (startsWith(bytes, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])) return 'xz';
  if (isZstd(bytes)) return 'zstd';
  if (startsWith(bytes, 'BZh') && BZIP2_MARKS.some((mark) => startsWith(bytes, mark, 4))) return 'bzip2';
  return 'raw';
}
