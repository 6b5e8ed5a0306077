// Where a zip archive ends, in front of data that are none (PKWARE, APPNOTE 6.3.10, 4.3.16): unzip(1) ignores them too.

const MARK = Buffer.from('PK\x05\x06', 'latin1');
/** The record of the end without its comment. */
const END_BYTES = 22;
/** The end is looked for in the last so many bytes: the longest comment, and much behind it. */
export const ZIP_TAIL_BYTES = 1024 * 1024;

/**
 * Offset in `tail`, the last bytes of a file, behind the last whole record of an end in it; null when there is none.
 */
export function zipEnd(tail: Buffer): number | null {
  for (let at = tail.lastIndexOf(MARK); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(MARK, at - 1)) {
    if (at + END_BYTES > tail.byteLength) continue;
    const end = at + END_BYTES + tail.readUInt16LE(at + 20);
    if (end <= tail.byteLength) return end;
  }
  return null;
}

export function zipIgnored(bytes: number): string {
  return `ignored ${bytes} bytes behind the end of the zip archive`;
}
