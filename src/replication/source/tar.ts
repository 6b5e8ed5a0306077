// Members of a tar archive in their order: from a stream, or from stored bytes at any offset, which are then gone over
// without
// being read. pax(1) headers, long names of GNU tar, sizes in base 256.
import { ByteReader, exactly } from './byte-reader.ts';
import { damaged, unreadable } from './damage.ts';
import { MEMBERS_MAX, type Member, type Members } from './members.ts';
import { isTarHeader, parseTarHeader, TAR_BLOCK_BYTES, type TarHeader } from './tar-header.ts';

/** Headers that only describe the next member; more is a try to make us hold much. */
const EXTENSION_BYTES_MAX = 1024 * 1024;

/** What reads stored bytes in order and can go over some: ByteReader, or a reader of a file. */
export type TarReader = Pick<ByteReader, 'some' | 'take' | 'skip' | 'offsetBytes'>;

export interface TarOptions {
  readonly uri: string;
  /** The reader's offsets are those of bytes that can be read at any offset. */
  readonly stored: boolean;
  /** How a member of stored bytes is read a second time. */
  readonly reopen?: (offsetBytes: number, lengthBytes: number) => AsyncIterable<Uint8Array>;
  readonly onWarning: (warning: string) => void;
}

/** What extension headers say of the next member. */
interface Extension {
  name: string | null;
  sizeBytes: number | null;
  sparse: boolean;
}

/** @throws SOURCE_CORRUPT; FORMAT_UNKNOWN (a volume of several, too many members) */
export async function* tarMembers(reader: TarReader, options: TarOptions): Members {
  const { uri } = options;
  let extension: Extension = { name: null, sizeBytes: null, sparse: false };
  for (let count = 0; count < MEMBERS_MAX; count += 1) {
    const header = await nextHeader(reader, uri);
    if (header === null) return endOfArchive(reader, options.onWarning);
    if ('xgLK'.includes(header.type)) {
      const body = await takeExtension(reader, header, uri);
      if (header.type !== 'K') extension = extend(extension, header.type, body, uri);
      continue;
    }
    if (header.type === 'M')
      throw unreadable(uri, 'is one volume of several of a tar archive; join and unpack them first');
    const member = memberOf(reader, header, extension, options);
    extension = { name: null, sizeBytes: null, sparse: false };
    const end = reader.offsetBytes + member.storedBytes;
    yield member;
    const left = end - reader.offsetBytes + padding(member.storedBytes);
    if ((await reader.skip(left)) < left) throw damaged(uri, `it ends within its member ${member.name}`);
  }
  throw unreadable(uri, `is a tar archive of more than ${MEMBERS_MAX} members; unpack it first`);
}

function padding(bytes: number): number {
  return (TAR_BLOCK_BYTES - (bytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

/** Null at the mark of the end, a block of zeros. */
async function nextHeader(reader: TarReader, uri: string): Promise<TarHeader | null> {
  const block = await reader.take(TAR_BLOCK_BYTES);
  if (block.byteLength < TAR_BLOCK_BYTES) throw damaged(uri, 'its tar archive ends without the mark of its end');
  if (block.every((byte) => byte === 0)) return null;
  const header = isTarHeader(block) ? parseTarHeader(block) : null;
  if (header === null) {
    const at = reader.offsetBytes - TAR_BLOCK_BYTES;
    throw damaged(uri, `the header at byte ${at} of its tar archive is none`);
  }
  return header;
}

/** Reads what is behind the end, so that check sums further out are met; zeros are usual there. */
async function endOfArchive(reader: TarReader, onWarning: (warning: string) => void): Promise<void> {
  let behind = 0;
  let from = 0;
  for (;;) {
    const some = await reader.some(1024 * 1024);
    if (some === null) break;
    if (behind === 0) {
      const found = some.findIndex((byte) => byte !== 0);
      if (found < 0) continue;
      from = reader.offsetBytes - some.byteLength + found;
      behind = some.byteLength - found;
    } else behind += some.byteLength;
  }
  if (behind > 0) onWarning(`ignored ${behind} bytes behind the end of the tar archive, from byte ${from} of it on`);
}

async function takeExtension(reader: TarReader, header: TarHeader, uri: string): Promise<Buffer> {
  const { sizeBytes } = header;
  const whole = sizeBytes + padding(sizeBytes);
  if (sizeBytes > EXTENSION_BYTES_MAX) throw damaged(uri, 'an extension header of its tar archive is too long');
  const bytes = await reader.take(whole);
  if (bytes.byteLength < whole) throw damaged(uri, 'it ends within a header of its tar archive');
  return Buffer.from(bytes.subarray(0, sizeBytes));
}

function extend(extension: Extension, type: string, body: Buffer, uri: string): Extension {
  if (type === 'L') return { ...extension, name: body.toString('utf8').replace(/\0.*$/s, '') };
  const records = paxRecords(body);
  if (records === null) throw damaged(uri, 'a pax header of its tar archive contradicts itself');
  // What holds for all members (g) may say neither name nor size of one.
  if (type === 'g') return extension;
  const size = records.get('size');
  const sizeBytes = size === undefined ? extension.sizeBytes : Number(size);
  if (sizeBytes !== null && !(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0)) {
    throw damaged(uri, 'a pax header of its tar archive says a size that none can have');
  }
  const sparse = [...records.keys()].some((key) => key.startsWith('GNU.sparse.'));
  return { name: records.get('path') ?? extension.name, sizeBytes, sparse: extension.sparse || sparse };
}

/** "LENGTH KEY=VALUE\n" repeated; LENGTH counts itself (POSIX.1-2017, pax, "pax Extended Header"). */
function paxRecords(body: Buffer): Map<string, string> | null {
  const records = new Map<string, string>();
  for (let at = 0; at < body.byteLength && body[at] !== 0; ) {
    const blank = body.indexOf(0x20, at);
    const digits = blank < 0 ? '' : body.toString('latin1', at, blank);
    const length = /^\d{1,7}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < digits.length + 3 || end > body.byteLength || body[end - 1] !== 0x0a) return null;
    const record = body.toString('utf8', blank + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals < 1) return null;
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

function memberOf(
  reader: TarReader,
  header: TarHeader,
  extension: Extension,
  options: TarOptions,
): Member & { storedBytes: number } {
  const name = extension.name ?? header.name;
  const file = header.type === '0' || header.type === 'S';
  // Folders, links and devices have no content, whatever their header says.
  const storedBytes = '123456'.includes(header.type) ? 0 : (extension.sizeBytes ?? header.sizeBytes);
  const sparse = header.type === 'S' || extension.sparse;
  const offsetBytes = reader.offsetBytes;
  const cutOff = (): Error => damaged(options.uri, `it ends within its member ${name}`);
  return {
    name,
    storedBytes,
    sizeBytes: sparse ? null : storedBytes,
    kind: file ? 'file' : 'other',
    obstacle: sparse ? 'is stored with its holes left out (a sparse member)' : null,
    window: options.stored && !sparse ? { offsetBytes, lengthBytes: storedBytes } : null,
    open() {
      const again = options.reopen?.(offsetBytes, storedBytes);
      return exactly(again === undefined ? reader : new ByteReader(again), storedBytes, cutOff);
    },
  };
}
