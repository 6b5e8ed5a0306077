// Headers of packages as rpm's databases hold them: the format of package files (RPM V4, "Header"), without its magic
// number.

const NAME = 1000;
const FILE_DIGESTS = 1035;
const FILE_FLAGS = 1037;
const DIR_INDEXES = 1116;
const BASE_NAMES = 1117;
const DIR_NAMES = 1118;
const DIGEST_ALGORITHM = 5011;
const INT32 = 4;
const STRINGS: readonly number[] = [6, 8, 9];
const ENTRY_BYTES = 16;
const ENTRIES_MAX = 65_536;
const FILES_MAX = 1_000_000;
const CONFIG = 1;
/** RFC 4880, 9.4; rpm's default of old is MD5. */
const ALGORITHMS: Readonly<Record<number, string>> = { 1: 'md5', 8: 'sha256', 10: 'sha512' };

export interface RpmFile {
  readonly path: string;
  /** Of configuration; null for all else. */
  readonly digest: { readonly algorithm: string; readonly hex: string } | null;
}

/** Null for what is no header. */
export function rpmPackageIn(header: Buffer): { readonly name: string; readonly files: readonly RpmFile[] } | null {
  if (header.length < 8) return null;
  const [entries, dataBytes] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const start = 8 + entries * ENTRY_BYTES;
  if (entries > ENTRIES_MAX || start + dataBytes > header.length) return null;
  const data = header.subarray(start, start + dataBytes);
  const tags = new Map<number, { type: number; offset: number; count: number }>();
  for (let at = 8; at < start; at += ENTRY_BYTES) {
    const [tag, type, offset, count] = [0, 4, 8, 12].map((skip) => header.readUInt32BE(at + skip));
    if (tag !== undefined && type !== undefined && offset !== undefined && count !== undefined)
      tags.set(tag, { type, offset, count });
  }
  const strings = (tag: number): string[] => {
    const one = tags.get(tag);
    return one === undefined || !STRINGS.includes(one.type) ? [] : stringsAt(data, one.offset, one.count);
  };
  const numbers = (tag: number): number[] => {
    const one = tags.get(tag);
    return one === undefined || one.type !== INT32 ? [] : numbersAt(data, one.offset, one.count);
  };
  const [name] = strings(NAME);
  if (name === undefined) return null;
  const [folders, indexes] = [strings(DIR_NAMES), numbers(DIR_INDEXES)];
  const [digests, flags] = [strings(FILE_DIGESTS), numbers(FILE_FLAGS)];
  const algorithm = ALGORITHMS[numbers(DIGEST_ALGORITHM)[0] ?? 1] ?? null;
  const files = strings(BASE_NAMES).map((base, index): RpmFile => {
    const hex = digests[index] ?? '';
    const isConfig = ((flags[index] ?? 0) & CONFIG) !== 0 && hex !== '' && algorithm !== null;
    return { path: `${folders[indexes[index] ?? 0] ?? '/'}${base}`, digest: isConfig ? { algorithm, hex } : null };
  });
  return { name, files };
}

function stringsAt(data: Buffer, offset: number, count: number): string[] {
  const found: string[] = [];
  let at = offset;
  while (found.length < Math.min(count, FILES_MAX) && at < data.length) {
    const end = data.indexOf(0, at);
    if (end < 0) break;
    found.push(data.toString('utf8', at, end));
    at = end + 1;
  }
  return found;
}

function numbersAt(data: Buffer, offset: number, count: number): number[] {
  const fits = Math.max(0, Math.min(count, FILES_MAX, Math.floor((data.length - offset) / 4)));
  return Array.from({ length: fits }, (_, index) => data.readUInt32BE(offset + 4 * index));
}
