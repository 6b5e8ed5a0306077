// Byte ranges: half open, described by offset and length.

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The same bytes as few ascending ranges: overlapping and touching ones become one. */
export function mergeRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const sorted = ranges.filter((range) => range.lengthBytes > 0).sort((a, b) => a.offsetBytes - b.offsetBytes);
  const merged: { offsetBytes: number; lengthBytes: number }[] = [];
  for (const { offsetBytes, lengthBytes } of sorted) {
    const last = merged.at(-1);
    if (last && offsetBytes <= last.offsetBytes + last.lengthBytes) {
      last.lengthBytes = Math.max(last.lengthBytes, offsetBytes + lengthBytes - last.offsetBytes);
    } else {
      merged.push({ offsetBytes, lengthBytes });
    }
  }
  return merged;
}

export function rangesOverlap(a: ByteRange, b: ByteRange): boolean {
  return a.offsetBytes < b.offsetBytes + b.lengthBytes && b.offsetBytes < a.offsetBytes + a.lengthBytes;
}

export function totalBytes(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, range) => sum + range.lengthBytes, 0);
}
