// What people mistake for an image, and formats that are known but not read: by name, so that nobody finds the bytes of
// an
// archive, a check sum or a web page on a disk.
import { hasAt, viewOf } from './magic.ts';
import { diskSignature } from './signature.ts';

export interface Unread {
  /** With its article: "a 7-Zip archive". */
  readonly name: string;
  readonly advice: string;
}

const UNPACK = 'unpack it first';
const CONVERT = 'convert it to raw or qcow2 first';
const NOT_IMAGE = 'name the image itself';

type Magic = readonly [string | readonly number[], string, string];

/** Long enough not to be met by chance. */
const STRONG: readonly Magic[] = [
  [[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], 'a 7-Zip archive', UNPACK],
  ['Rar!\x1a\x07', 'a RAR archive', UNPACK],
  ['!<arch>\n', 'an ar archive or a Debian package', UNPACK],
  ['070701', 'a cpio archive', UNPACK],
  ['070702', 'a cpio archive', UNPACK],
  ['070707', 'a cpio archive', UNPACK],
  ['WithoutFreeSpace', 'a Parallels image', CONVERT],
  ['WithouFreSpacExt', 'a Parallels image', CONVERT],
  ['Bochs Virtual HD Image', 'a Bochs image', CONVERT],
  ['EVF\t\r\n\xff\0', 'an EnCase (EWF) image', CONVERT],
  ['partclone-image', 'an image of partclone', 'restore it with partclone'],
  ['PaRtImAgE-VoLuMe', 'an image of partimage', 'restore it with partimage'],
  ['\0ntfsclone-image', 'an image of ntfsclone', 'restore it with ntfsclone'],
  ['MSWIM\0\0\0', 'a Windows image (WIM)', 'apply it with wimlib'],
  ['SQLite format 3\0', 'an SQLite database', NOT_IMAGE],
  ['ANDROID!', 'an Android boot image', NOT_IMAGE],
  ['\x89PNG\r\n\x1a\n', 'a PNG picture', NOT_IMAGE],
  ['version https://git-lfs.github.com/spec', 'a Git LFS pointer', 'fetch the file that it stands for (git lfs pull)'],
  ['-----BEGIN PGP SIGNATURE', 'a PGP signature', NOT_IMAGE],
  ['-----BEGIN PGP SIGNED MESSAGE', 'a signed list of checksums or another signed text', NOT_IMAGE],
  ['-----BEGIN PGP MESSAGE', 'a PGP message', 'decrypt it first'],
  ['-----BEGIN ', 'a key or a certificate', NOT_IMAGE],
  ['untrusted comment: ', 'a signature of minisign or signify', NOT_IMAGE],
  ['d8:announce', 'a BitTorrent file', NOT_IMAGE],
  ['%PDF-', 'a PDF document', NOT_IMAGE],
];

/** Short: believed only of what does not end its first sector like a boot sector does. */
const WEAK: readonly Magic[] = [
  ['QED\0', 'a QED image', CONVERT],
  ['LZIP', 'an lzip file', UNPACK],
  [[0x89, 0x4c, 0x5a, 0x4f], 'an lzop file', UNPACK],
  [[0x1f, 0x9d], 'a compress (.Z) file', UNPACK],
  ['MSCF', 'a cabinet archive', UNPACK],
  ['xar!', 'a xar archive', UNPACK],
  [[0xed, 0xab, 0xee, 0xdb], 'an RPM package', UNPACK],
  ['PK\x07\x08', 'a part of a split ZIP archive', 'join and unpack it first'],
  ['\x7fELF', 'an ELF program', NOT_IMAGE],
  [[0xff, 0xd8, 0xff], 'a JPEG picture', NOT_IMAGE],
  ['GIF8', 'a GIF picture', NOT_IMAGE],
];

const TEXT_BYTES = 512;
/** SHA256SUMS, MD5SUMS, image.sha256: a digest in hexadecimal, then the name or nothing; or as BSD writes them. */
const CHECKSUMS =
  /^(?:#[^\n]*\n)*(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})(?:\s|$)/i;
const CHECKSUMS_BSD = /^(?:MD5|SHA1|SHA(?:2-)?(?:256|384|512)|BLAKE2b|RMD160) ?\(.{1,255}\) ?= ?[0-9a-f]{32}/i;

/**
 * What starts (and, where known, ends) with these bytes, when that is known and not read; null otherwise. `last` are
 * the last
 * 512 bytes of a source that can be read at any offset.
 */
export function unreadFormat(first: Uint8Array, last: Uint8Array | null = null): Unread | null {
  const strong = STRONG.find(([magic]) => hasAt(first, magic));
  if (strong !== undefined) return { name: strong[1], advice: strong[2] };
  if (last !== null && last.byteLength === 512 && hasAt(last, 'koly')) {
    return { name: 'an Apple disk image (dmg)', advice: CONVERT };
  }
  if (first[510] === 0x55 && first[511] === 0xaa) return null;
  if (last !== null && diskSignature(first) === null && endsAsZip(last)) return ZIP_BEHIND;
  if (isWindowsProgram(first)) return { name: 'a Windows program or a self-extracting archive', advice: NOT_IMAGE };
  const weak = WEAK.find(([magic]) => hasAt(first, magic));
  if (weak !== undefined) return { name: weak[1], advice: weak[2] };
  if (isLzma(first)) return { name: 'an LZMA file', advice: UNPACK };
  if (isBinarySignature(first)) return { name: 'a PGP signature', advice: NOT_IMAGE };
  return textFormat(first);
}

const ZIP_BEHIND: Unread = {
  name: 'a zip archive behind other bytes, as a self-extracting archive is',
  advice: UNPACK,
};
const ZIP_END = 'PK\x05\x06';
const ZIP_END_BYTES = 22;

/** The end of the directory, with a comment that reaches to the last byte (APPNOTE.TXT, 4.3.16). */
function endsAsZip(last: Uint8Array): boolean {
  for (let at = last.byteLength - ZIP_END_BYTES; at >= 0; at -= 1) {
    if (!hasAt(last, ZIP_END, at)) continue;
    if (at + ZIP_END_BYTES + viewOf(last).getUint16(at + 20, true) === last.byteLength) return true;
  }
  return false;
}

/** The old header names the place of the new one (PE Format, "MS-DOS Stub"). */
function isWindowsProgram(bytes: Uint8Array): boolean {
  if (!hasAt(bytes, 'MZ') || bytes.byteLength < 64) return false;
  return hasAt(bytes, 'PE\0\0', viewOf(bytes).getUint32(60, true));
}

/** The old format of xz(1): properties, size of the dictionary, size of the content (lzma-file-format.txt). */
function isLzma(bytes: Uint8Array): boolean {
  if (bytes.byteLength < 18 || bytes[0] !== 0x5d || !hasAt(bytes, [0, 0], 1) || bytes[13] !== 0) return false;
  const size = bytes.subarray(5, 13);
  return size.every((byte) => byte === 0xff) || hasAt(size, [0, 0], 6);
}

/** RFC 4880, 4.2 and 5.2.3: a signature packet of version 3 or 4 that is all there is. */
function isBinarySignature(bytes: Uint8Array): boolean {
  const [tag = 0, high = 0, low = 0] = bytes;
  if (bytes.byteLength < 16 || bytes.byteLength > 4096) return false;
  if (tag === 0x88) return bytes.byteLength >= high + 2 && (low === 3 || low === 4);
  if (tag === 0x89) return bytes.byteLength >= (high << 8) + low + 3 && (bytes[3] === 3 || bytes[3] === 4);
  return tag === 0xc2 && high > 0 && (low === 3 || low === 4);
}

function textFormat(bytes: Uint8Array): Unread | null {
  const head = bytes.subarray(0, TEXT_BYTES);
  // What follows the first line may be anything: scripts carry archives.
  if (/^#! ?\/[\x20-\x7e]+\r?\n/.test(Buffer.from(head).toString('latin1'))) {
    return { name: 'a script', advice: NOT_IMAGE };
  }
  if (head.includes(0)) return null;
  const text = Buffer.from(head)
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  if (/^(?:<!--[\s\S]*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b/i.test(text)) {
    return { name: 'a web page (HTML)', advice: 'the server may have answered with an error page; look at it' };
  }
  if (/^<\?xml\b/i.test(text)) return { name: 'an XML document', advice: 'look at it; it may be an error message' };
  if (/^(?:\{\s*(?:"|\}|$)|\[\s*(?:[{["\]]|$))/.test(text) && isPlainText(head)) {
    return { name: 'a JSON document', advice: 'look at it; it may be an error message' };
  }
  if (CHECKSUMS.test(text) || CHECKSUMS_BSD.test(text)) {
    return { name: 'a list of checksums', advice: 'name the image itself' };
  }
  return null;
}

function isPlainText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09);
}
