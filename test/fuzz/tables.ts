// What is judged by fixed places under fire: detection of formats, VHD footers, the end of xz data, GUID partition
// tables, and records of interrupted copies.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type GptPlan, planGpt } from '../../src/replication/gpt/mod.ts';
import { detectStored, FOOTER_BYTES, HEAD_BYTES } from '../../src/replication/source/detect.ts';
import { fixedVhd } from '../../src/replication/source/fixed-vhd.ts';
import { detectFormat, parseFormat } from '../../src/replication/source/format.ts';
import { diskSignature } from '../../src/replication/source/signature.ts';
import { unreadFormat } from '../../src/replication/source/unread.ts';
import { upToXzEnd, xzEnd } from '../../src/replication/source/xz-end.ts';
import { recordAt } from '../../src/replication/target/record-place.ts';
import { loadRecord, saveRecord } from '../../src/replication/target/resume-record.ts';
import { diskBytes } from '../support/packed-image.ts';
import { collect, inPieces, pieceSizes } from './bytes.ts';
import { holds, outcomeOf, type Reader } from './fuzz.ts';
import type { Seed } from './mutate.ts';
import { DISK, gptSeed, seed, sparseSeeds, tarSeeds, type Workshop, zipSeeds } from './seeds.ts';

const UNREAD = [
  `SHA256 (disk.img) = ${'ab'.repeat(32)}`,
  '<!DOCTYPE html><html>',
  '{"error": 404}',
  '7z\xbc\xaf\x27\x1c',
  '-----BEGIN PGP SIGNATURE-----',
];

/** The first bytes of everything, also of what is not read. */
export function detectionReader(shop: Workshop): Reader {
  const compressed = (['gzip', 'bzip2', 'xz', 'zstd', 'lz4'] as const).map((tool) =>
    seed(tool, shop.run(tool, tool === 'xz' ? 'xz-utils' : tool, ['-qc'], DISK)),
  );
  const images = ['qcow2', 'vmdk', 'vdi', 'vpc'].map((format) => {
    shop.run('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', format, 'disk.img', `disk.${format}`]);
    return seed(format, shop.read(`disk.${format}`).subarray(0, 8192));
  });
  const texts = UNREAD.map((text) => seed(text.slice(0, 12), Buffer.from(text, 'latin1')));
  const archives = [...tarSeeds(shop).slice(0, 1), ...zipSeeds(shop, true).slice(0, 1), ...sparseSeeds().slice(0, 1)];
  return {
    name: 'detection',
    seeds: [seed('raw', DISK), ...compressed, ...images, ...texts, ...archives, gptSeed(shop, IMAGE_BYTES)],
    repair: null,
    classes: [
      'accepted',
      'raw',
      'unread',
      'gzip',
      'bzip2',
      'xz',
      'zstd',
      'lz4',
      'qcow2',
      'vmdk',
      'vdi',
      'vpc',
      'tar',
      'zip',
      'android-sparse',
    ],
    judge({ bytes, whole, random }) {
      const head = bytes.subarray(0, HEAD_BYTES);
      const footer = bytes.subarray(Math.max(0, bytes.byteLength - FOOTER_BYTES));
      const look = (first: Uint8Array, last: Uint8Array) => {
        const format = detectStored(first, last);
        holds(parseFormat(format) === format, () => `a format ${format}`);
        const unread = unreadFormat(first, last);
        return { format, unread: unread?.name ?? null, signature: diskSignature(first) };
      };
      const one = look(head, footer);
      // The same bytes at an odd place of a larger buffer, where views without an offset would read others.
      const other = new Uint8Array(head.byteLength + 16).fill(random.below(256));
      other.set(head, 5);
      const again = look(other.subarray(5, 5 + head.byteLength), Uint8Array.from(footer));
      holds(
        JSON.stringify(one) === JSON.stringify(again),
        () => `${JSON.stringify(one)}, and ${JSON.stringify(again)} elsewhere`,
      );
      const shared = detectFormat(head);
      holds(
        detectFormat(bytes) === shared,
        () => `${shared} by ${HEAD_BYTES} bytes, and ${detectFormat(bytes)} by all`,
      );
      if (whole) return 'accepted';
      return one.format === 'raw' && one.unread !== null ? 'unread' : one.format;
    },
  };
}

/** Footers of both kinds, with their check sums made right again. */
export function vhdReader(shop: Workshop): Reader {
  const footers = ['fixed', 'dynamic'].map((kind) => {
    const options = ['-o', `subformat=${kind},force_size=on`];
    shop.run('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', 'vpc', ...options, 'disk.img', 'disk.vhd']);
    const fields = [
      { at: 40, bytes: 8, kind: 'big' as const },
      { at: 48, bytes: 8, kind: 'big' as const },
      { at: 60, bytes: 4, kind: 'big' as const, known: '\x00\x02\x03\x04' },
      { at: 64, bytes: 4, kind: 'big' as const },
    ];
    return seed(kind, shop.read('disk.vhd').subarray(-512), fields);
  });
  return {
    name: 'VHD footer',
    seeds: footers,
    repair: repairVhd,
    classes: ['accepted', 'other kind', 'SOURCE_CORRUPT', 'FORMAT_UNKNOWN', 'SOURCE_EMPTY'],
    judge({ bytes, whole, random }) {
      const sizes = [DISK.length + 512, 512, random.below(2 ** 31), 2 ** 53 - 1];
      const fileBytes = whole ? DISK.length + 512 : (sizes[random.below(4)] ?? 0);
      const { value, code } = outcomeOf(
        () => fixedVhd(bytes, fileBytes, 'input'),
        ['SOURCE_CORRUPT', 'FORMAT_UNKNOWN', 'SOURCE_EMPTY'],
      );
      if (code !== null) return code;
      if (value === null) return whole ? 'accepted' : 'other kind';
      holds(
        value.offsetBytes === 0 && value.lengthBytes > 0 && value.lengthBytes + 512 === fileBytes,
        () => `a window of ${value.lengthBytes} in ${fileBytes} bytes`,
      );
      return 'accepted';
    },
  };
}

export function repairVhd(bytes: Uint8Array): void {
  if (bytes.byteLength < 512) return;
  let sum = 0;
  for (let at = 0; at < 512; at += 1) if (at < 64 || at >= 68) sum += bytes[at] ?? 0;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(64, ~sum >>> 0);
}

/** Data behind the end of xz data: the same is kept away from xz(1) whatever pieces they come in. */
export function xzEndReader(shop: Workshop): Reader {
  const stream = (...args: string[]) => shop.run('xz', 'xz-utils', ['-c', ...args], DISK);
  const garbage = Buffer.from('metadata\n'.repeat(20));
  const small = stream();
  return {
    name: 'end of xz',
    seeds: [
      seed('one', small),
      seed('two', Buffer.concat([small, stream('--check=none')])),
      seed('with data behind', Buffer.concat([small, garbage])),
      seed('with padding behind', Buffer.concat([small, Buffer.alloc(64)])),
      seed('longer than the tail', Buffer.concat([small, Buffer.alloc(6000, 7), small])),
    ],
    repair: null,
    classes: ['accepted', 'ignored', 'no end'],
    async judge({ bytes, whole, random }) {
      const tailBytes = 4096;
      const run = async (sizes: readonly number[]) => {
        const said: string[] = [];
        const ignored = (count: number, from: number) => said.push(`${count} from ${from}`);
        const pieces = upToXzEnd(inPieces(bytes, sizes), ignored, tailBytes);
        return { given: (await collect(pieces, 2 ** 24)).bytes, said: said.join() };
      };
      const one = await run([]);
      const other = await run(pieceSizes(random));
      holds(
        one.given.equals(other.given) && one.said === other.said,
        () => `${one.given.length} bytes, ${one.said}; ${other.given.length}, ${other.said} in other pieces`,
      );
      holds(
        Buffer.compare(bytes.subarray(0, one.given.length), one.given) === 0,
        () => 'other bytes than those that came',
      );
      const end = xzEnd(bytes);
      holds(end === null || (end <= bytes.byteLength && end >= 12), () => `an end at ${end}`);
      if (whole) return 'accepted';
      return end === null ? 'no end' : one.said === '' ? 'accepted' : 'ignored';
    },
  };
}

const IMAGE_BYTES = 128 * 1024;

/** What the disk had of a table before: in its last sectors, behind the image. */
function putOldBackup(image: Uint8Array, disk: Uint8Array): void {
  disk.set(image.subarray(-33 * 512), disk.byteLength - 33 * 512);
  const view = new DataView(disk.buffer);
  const last = Math.floor(disk.byteLength / 512) - 1;
  view.setBigUint64(disk.byteLength - 512 + 24, BigInt(last), true);
  view.setBigUint64(disk.byteLength - 512 + 72, BigInt(last - 32), true);
  repairGptHeader(disk, disk.byteLength - 512);
}

function repairGpt(bytes: Uint8Array): void {
  repairGptHeader(bytes, 512);
  repairGptHeader(bytes, bytes.byteLength - 512);
}

function repairGptHeader(bytes: Uint8Array, at: number): void {
  if (at < 512 || at + 512 > bytes.byteLength) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entriesAt = Number(view.getBigUint64(at + 72, true)) * 512;
  const entriesBytes = view.getUint32(at + 80, true) * view.getUint32(at + 84, true);
  if (entriesAt + entriesBytes <= bytes.byteLength) {
    view.setUint32(at + 88, crc32(bytes.subarray(entriesAt, entriesAt + entriesBytes)), true);
  }
  const header = bytes.slice(at, at + Math.min(512, view.getUint32(at + 12, true)));
  header.fill(0, 16, 20);
  view.setUint32(at + 16, crc32(header), true);
}

/**
 * A plan is held against the disk that it leads to: two whole tables that know of each other, and the same partitions.
 */
export function gptReader(shop: Workshop, plan: typeof planGpt = planGpt): Reader {
  const table = gptSeed(shop, IMAGE_BYTES);
  return {
    name: 'GPT',
    seeds: [table, table, seed('no table', diskBytes(4096))],
    repair: repairGpt,
    classes: ['accepted', 'kept', 'none', 'cleared'],
    good: ['accepted', 'kept', 'none', 'cleared'],
    judge({ bytes, whole, random, seed: from }) {
      const spare = 512 * (random.below(3) === 0 ? random.below(40) : random.below(600));
      const disk = new Uint8Array(bytes.byteLength + spare);
      disk.set(bytes);
      if (random.below(2) === 0 && spare >= 34 * 512) putOldBackup(table.bytes, disk);
      const place = {
        policy: random.below(8) === 0 ? ('keep' as const) : ('move' as const),
        imageBytes: bytes.byteLength,
        deviceBytes: disk.byteLength,
        sectorBytes: random.below(8) === 0 ? 4096 : 512,
        read: (at: number, length: number) => {
          const inside =
            Number.isSafeInteger(at) && at >= 0 && length > 0 && length <= 2 ** 21 && at + length <= disk.byteLength;
          holds(inside, () => `reads ${length} bytes at ${at} of ${disk.byteLength}`);
          return disk.slice(at, at + length);
        },
      };
      const planned = plan(place);
      const partitions = partitionsOf(bytes);
      requirePlaces(planned, disk.byteLength, partitions, bytes.byteLength);
      const movable = place.policy === 'move' && place.sectorBytes === 512 && spare > 0 && from === table;
      holds(planned.action === 'moved' || !movable || !whole, () => `${planned.action}: ${planned.note}`);
      if (planned.action !== 'moved') return planned.action;
      apply(planned, disk);
      const last = disk.byteLength / 512 - 1;
      const [wrong] = [tableFault(disk, 1, last), tableFault(disk, last, 1)].filter((fault) => fault !== null);
      holds(wrong === undefined, () => `leaves a table that ${wrong}`);
      holds(JSON.stringify(partitionsOf(disk)) === JSON.stringify(partitions), () => 'changes the partitions');
      return 'accepted';
    },
  };
}

interface Sectors {
  readonly first: number;
  readonly last: number;
}

function partitionsOf(image: Uint8Array): Sectors[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const found: Sectors[] = [];
  if (image.byteLength < 1024) return found;
  const entriesAt = Number(view.getBigUint64(512 + 72, true)) * 512;
  const entryBytes = view.getUint32(512 + 84, true);
  for (let index = 0; index < Math.min(view.getUint32(512 + 80, true), 1024); index += 1) {
    const at = entriesAt + index * entryBytes;
    if (at + 48 > image.byteLength || entryBytes < 48) break;
    if (image.subarray(at, at + 16).every((byte) => byte === 0)) continue;
    found.push({ first: Number(view.getBigUint64(at + 32, true)), last: Number(view.getBigUint64(at + 40, true)) });
  }
  return found;
}

function requirePlaces(
  { action, backup, clear, primary }: GptPlan,
  deviceBytes: number,
  partitions: Sectors[],
  imageBytes: number,
): void {
  const writes = [
    ...backup.map(({ offsetBytes, bytes }) => ({ offsetBytes, lengthBytes: bytes.byteLength })),
    ...clear,
  ];
  const changes = action === 'moved' || backup.length + primary.length === 0;
  holds(changes && (action !== 'none' || clear.length === 0), () => `${action}, and writes`);
  for (const { offsetBytes, lengthBytes } of writes) {
    holds(
      offsetBytes >= 1024 && lengthBytes > 0 && offsetBytes + lengthBytes <= deviceBytes,
      () => `writes ${lengthBytes} bytes at ${offsetBytes}`,
    );
    if (action !== 'moved') holds(offsetBytes >= imageBytes, () => `clears at ${offsetBytes}, within the image`);
    for (const { first, last } of partitions) {
      const hit =
        action === 'moved' &&
        first <= last &&
        first * 512 < offsetBytes + lengthBytes &&
        offsetBytes < (last + 1) * 512;
      holds(!hit, () => `writes at ${offsetBytes}, in the partition ${first} to ${last}`);
    }
  }
}

function apply({ backup, clear, primary }: GptPlan, disk: Uint8Array): void {
  for (const { offsetBytes, bytes } of backup) disk.set(bytes, offsetBytes);
  for (const { offsetBytes, lengthBytes } of clear) disk.fill(0, offsetBytes, offsetBytes + lengthBytes);
  for (const { offsetBytes, bytes } of primary) disk.set(bytes, offsetBytes);
}

/** What is wrong with the table whose header is in the sector `lba`; null where all is right. */
function tableFault(disk: Uint8Array, lba: number, other: number): string | null {
  const at = lba * 512;
  const view = new DataView(disk.buffer, disk.byteOffset, disk.byteLength);
  const number = (place: number): number => Number(view.getBigUint64(at + place, true));
  const header = disk.slice(at, at + view.getUint32(at + 12, true));
  header.fill(0, 16, 20);
  if (crc32(header) !== view.getUint32(at + 16, true)) return 'has another check sum';
  const entriesAt = number(72) * 512;
  const entries = disk.subarray(entriesAt, entriesAt + view.getUint32(at + 80, true) * view.getUint32(at + 84, true));
  if (crc32(entries) !== view.getUint32(at + 88, true)) return 'has damaged entries';
  if (number(24) !== lba || number(32) !== other) return `is at ${number(24)} and knows of one at ${number(32)}`;
  const end = number(48);
  return lba > 1 && end >= number(72) ? `lets partitions reach ${end}, into its entries` : null;
}

/** Damage of any kind is told; what is believed is what was written. */
export function recordReader(shop: Workshop): Reader {
  const path = join(shop.folder, 'record');
  const head = {
    target: 'disk',
    sourceIdentity: 'file:1:2+raw',
    fingerprint: '1:2',
    sourceBytes: 4096,
    endBytes: 4096,
  };
  const blocks = { blockBytes: 512, blockCount: 8, missingCount: 0 };
  saveRecord(recordAt(path), {
    ...head,
    ...blocks,
    done: Uint8Array.of(0b101),
    digests: new Uint8Array(8 * 16).fill(9),
  });
  const good = readFileSync(path);
  return {
    name: 'resume record',
    seeds: [seed('saved', good), ...WRONG_HEADS.map((text) => wrongHead(text))],
    repair: repairRecord,
    classes: ['accepted', 'RESUME_RECORD_INVALID', 'RESUME_NO_RECORD'],
    judge({ bytes, seed: from, whole }) {
      writeFileSync(path, bytes);
      const { value, code } = outcomeOf(
        () => loadRecord(recordAt(path)),
        ['RESUME_RECORD_INVALID', 'RESUME_NO_RECORD'],
      );
      // Wrong heads are refused: that is what is right for them.
      if (whole && from.name !== 'saved') {
        holds(code !== null, () => 'believes a head that says nothing');
        return 'accepted';
      }
      if (value === null) return code ?? '';
      const sound =
        Number.isSafeInteger(value.blockCount) &&
        value.blockCount > 0 &&
        value.digests.byteLength === value.blockCount * 16;
      holds(sound && value.done.byteLength === Math.ceil(value.blockCount / 8), () => `${value.blockCount} blocks`);
      holds(typeof value.target === 'string' && typeof value.fingerprint === 'string', () => 'names nothing');
      return 'accepted';
    },
  };
}

const WRONG_HEADS = [
  'null',
  '3',
  '{}',
  '{"version":2}',
  '{"version":2,"blockCount":"8"}',
  '{"version":2,"blockCount":-1}',
  '{"version":1}',
  '[',
  '',
];

export function wrongHead(text: string): Seed {
  const bytes = Buffer.concat([Buffer.from(`${text}\n`), Buffer.alloc(1 + 128), Buffer.alloc(32)]);
  repairRecord(bytes);
  return seed(`head ${text}`, bytes);
}

function repairRecord(bytes: Uint8Array): void {
  if (bytes.byteLength < 32) return;
  const end = bytes.byteLength - 32;
  bytes.set(createHash('sha256').update(bytes.subarray(0, end)).digest(), end);
}
