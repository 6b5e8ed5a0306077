// Blobs of a table in a database of SQLite: https://www.sqlite.org/fileformat2.html, as far as rpm's "Packages" uses
// it. What is not as it has to be is passed over; each page is read once at most.

const HEADER_BYTES = 100;
const MAGIC = 'SQLite format 3\0';
const TABLE_INTERIOR = 5;
const TABLE_LEAF = 13;
const ROW_BYTES_MAX = 64 * 1024 * 1024;

/** The last column of each row that is a blob. */
export function* blobsOf(file: Buffer, table: string): Generator<Buffer> {
  if (file.length < HEADER_BYTES || file.toString('latin1', 0, 16) !== MAGIC) return;
  const size = file.readUInt16BE(16) === 1 ? 65_536 : file.readUInt16BE(16);
  if (size < 512) return;
  // A damaged one may show the same pages in many rows.
  const database = { file, size, usable: size - file.readUInt8(20), leftBytes: 2 * file.length };
  for (const row of rowsOf(database, 1)) {
    // type, name, tbl_name, rootpage, sql
    const [, name, , root] = columnsOf(row);
    if (name?.toString('utf8') !== table || root === undefined || root.length === 0) continue;
    for (const one of rowsOf(database, root.readUIntBE(0, Math.min(root.length, 6)))) {
      const blob = columnsOf(one).at(-1);
      if (blob !== undefined) yield blob;
    }
    return;
  }
}

interface Database {
  readonly file: Buffer;
  readonly size: number;
  /** Of a page. */
  readonly usable: number;
  leftBytes: number;
}

function* rowsOf(database: Database, root: number): Generator<Buffer> {
  const { file, size } = database;
  const seen = new Set<number>();
  const queue = [root];
  for (let number = queue.pop(); number !== undefined; number = queue.pop()) {
    const start = (number - 1) * size;
    if (number < 1 || start + size > file.length || seen.has(number)) continue;
    seen.add(number);
    const page = file.subarray(start, start + size);
    const at = number === 1 ? HEADER_BYTES : 0;
    const [type, cells] = [page.readUInt8(at), page.readUInt16BE(at + 3)];
    const pointers = at + (type === TABLE_INTERIOR ? 12 : 8);
    if (type !== TABLE_INTERIOR && type !== TABLE_LEAF) continue;
    if (type === TABLE_INTERIOR) queue.push(page.readUInt32BE(at + 8));
    for (let index = 0; index < cells && pointers + 2 * index + 2 <= size; index += 1) {
      const cell = page.readUInt16BE(pointers + 2 * index);
      if (cell + 4 > size) continue;
      if (type === TABLE_INTERIOR) queue.push(page.readUInt32BE(cell));
      else yield payloadAt(database, page, cell);
    }
  }
}

/** What does not fit into a page goes on in a chain of others. */
function payloadAt(database: Database, page: Buffer, cell: number): Buffer {
  const { file, size, usable } = database;
  const length = varintAt(page, cell);
  const key = varintAt(page, cell + length.bytes);
  const start = cell + length.bytes + key.bytes;
  database.leftBytes -= length.value;
  if (length.value > ROW_BYTES_MAX || database.leftBytes < 0) return Buffer.alloc(0);
  const [most, least] = [usable - 35, Math.floor(((usable - 12) * 32) / 255) - 23];
  if (length.value <= most) return page.subarray(start, start + length.value);
  const fits = least + ((length.value - least) % (usable - 4));
  const local = fits <= most ? fits : least;
  if (start + local + 4 > size) return Buffer.alloc(0);
  const pieces = [page.subarray(start, start + local)];
  let left = length.value - local;
  let next = page.readUInt32BE(start + local);
  while (left > 0 && next > 0 && next * size <= file.length) {
    const at = (next - 1) * size;
    const piece = file.subarray(at + 4, at + 4 + Math.min(left, usable - 4));
    pieces.push(piece);
    left -= piece.length;
    next = file.readUInt32BE(at);
  }
  return left > 0 ? Buffer.alloc(0) : Buffer.concat(pieces);
}

/** Values of a record; integers as their bytes. */
function columnsOf(row: Buffer): Buffer[] {
  const header = varintAt(row, 0);
  const columns: Buffer[] = [];
  let at = header.value;
  for (let index = header.bytes; index < Math.min(header.value, row.length); ) {
    const type = varintAt(row, index);
    index += type.bytes;
    const bytes = type.value >= 12 ? (type.value - 12) >> 1 : ([0, 1, 2, 3, 4, 6, 8, 8, 0, 0][type.value] ?? 0);
    columns.push(row.subarray(at, at + bytes));
    at += bytes;
  }
  return columns;
}

function varintAt(bytes: Buffer, at: number): { readonly value: number; readonly bytes: number } {
  let value = 0;
  for (let index = 0; index < 9; index += 1) {
    const byte = bytes[at + index] ?? 0;
    if (index === 8) return { value: value * 256 + byte, bytes: 9 };
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) === 0) return { value, bytes: index + 1 };
  }
  return { value, bytes: 9 };
}
