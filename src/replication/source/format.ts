// The formats of images, and how their content gives them away.
import { UnderstudyError } from '../../base/mod.ts';
import { hasAt, viewOf } from './magic.ts';
import { isTarHeader } from './tar-header.ts';

const IMAGE_FORMATS = ['qcow2', 'vmdk', 'vhdx', 'vdi', 'vpc'] as const;
const COMPRESSED_FORMATS = ['gzip', 'xz', 'zstd', 'bzip2', 'lz4'] as const;
const PACKED_FORMATS = ['zip', 'tar', 'android-sparse'] as const;
const SOURCE_FORMATS = ['raw', ...IMAGE_FORMATS, ...COMPRESSED_FORMATS, ...PACKED_FORMATS] as const;

export type SourceFormat = (typeof SOURCE_FORMATS)[number];

/** Other names that people know the formats by. */
const ALIASES: Readonly<Record<string, SourceFormat>> = { simg: 'android-sparse', vhd: 'vpc', gz: 'gzip', zst: 'zstd' };

/** A raw image, or one of the other formats, in the output of a program: read in order. */
export type CompressedFormat = (typeof COMPRESSED_FORMATS)[number];

/** Holds other things, or the image in pieces; read in order by this process. */
export type PackedFormat = (typeof PACKED_FORMATS)[number];

/** Needs QEMU to be read, at any offset. */
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** Bytes from the start that `detectFormat` looks at. */
export const DETECTION_BYTES = 512;

export function isCompressed(format: string): format is CompressedFormat {
  return (COMPRESSED_FORMATS as readonly string[]).includes(format);
}

export function isPacked(format: string): format is PackedFormat {
  return (PACKED_FORMATS as readonly string[]).includes(format);
}

export function isImage(format: string): format is ImageFormat {
  return (IMAGE_FORMATS as readonly string[]).includes(format);
}

/** @throws FORMAT_UNKNOWN */
export function parseFormat(text: string): SourceFormat {
  const format =
    SOURCE_FORMATS.find((known) => known === text) ?? (Object.hasOwn(ALIASES, text) ? ALIASES[text] : null);
  if (format !== null && format !== undefined) return format;
  throw new UnderstudyError('FORMAT_UNKNOWN', `format "${text}" is not one of ${SOURCE_FORMATS.join(', ')}`);
}

/** Block header and end-of-stream mark of bzip2: a disk that begins with the text "BZh1" alone is none. */
const BZIP2_MARKS = [
  [0x31, 0x41, 0x59, 0x26, 0x53, 0x59],
  [0x17, 0x72, 0x45, 0x38, 0x50, 0x90],
];

const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** Frames, and what Linux kernels are compressed with (lz4_Frame_format.md, "Legacy frame"). */
const LZ4 = [
  [0x04, 0x22, 0x4d, 0x18],
  [0x02, 0x21, 0x4c, 0x18],
];
/** Skippable frames in a row that are looked behind. */
const SKIPPABLE_MAX = 16;

/**
 * zstd and lz4, which share the 16 magic numbers of skippable frames (RFC 8878, 3.1.2): the first frame of data tells.
 */
function frameFormat(bytes: Uint8Array): 'zstd' | 'lz4' | null {
  let at = 0;
  for (let skipped = 0; skipped <= SKIPPABLE_MAX; skipped += 1) {
    if (hasAt(bytes, ZSTD, at)) return 'zstd';
    if (LZ4.some((magic) => hasAt(bytes, magic, at))) return 'lz4';
    const skippable = hasAt(bytes, [0x2a, 0x4d, 0x18], at + 1) && ((bytes[at] ?? 0) & 0xf0) === 0x50;
    if (!skippable) return at === 0 ? null : 'zstd';
    if (at + 8 > bytes.byteLength) return 'zstd';
    at += 8 + viewOf(bytes).getUint32(at + 4, true);
    if (at + 4 > bytes.byteLength) return 'zstd';
  }
  return 'zstd';
}

/**
 * The format of what starts with these bytes (DETECTION_BYTES of them, fewer where it is shorter); raw when nothing is
 * recognised. Only for images that lie in files: whoever owns a raw disk writes its first bytes, and could make it a
 * qcow2 that names a file of ours (CVE-2008-2004). For such disks the format is said, never looked for.
 */
export function detectFormat(bytes: Uint8Array): SourceFormat {
  if (hasAt(bytes, 'QFI\xfb')) return 'qcow2';
  if (hasAt(bytes, 'KDMV') || hasAt(bytes, 'COWD') || hasAt(bytes, '# Disk DescriptorFile')) return 'vmdk';
  if (hasAt(bytes, 'vhdxfile')) return 'vhdx';
  if (hasAt(bytes, [0x7f, 0x10, 0xda, 0xbe], 0x40)) return 'vdi';
  if (isVhdFooter(bytes)) return 'vpc';
  if (hasAt(bytes, [0x1f, 0x8b, 0x08])) return 'gzip';
  if (hasAt(bytes, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])) return 'xz';
  if (hasAt(bytes, 'BZh') && BZIP2_MARKS.some((mark) => hasAt(bytes, mark, 4))) return 'bzip2';
  if (hasAt(bytes, 'PK\x03\x04') || hasAt(bytes, 'PK\x05\x06') || hasAt(bytes, 'PK00PK\x03\x04')) return 'zip';
  if (hasAt(bytes, [0x3a, 0xff, 0x26, 0xed])) return 'android-sparse';
  return frameFormat(bytes) ?? (isTarHeader(bytes) ? 'tar' : 'raw');
}

/** A VHD begins with a copy of its footer, unless it is of the fixed kind, which has nothing but the footer. */
export function isVhdFooter(bytes: Uint8Array): boolean {
  return hasAt(bytes, 'conectix');
}
