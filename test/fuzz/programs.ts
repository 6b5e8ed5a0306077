// Readers that start a program, under fire: decompression, images that QEMU reads, and what blkid and sfdisk make of
// disks.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../../src/base/mod.ts';
import { readPartitionTable } from '../../src/replication/extent/mod.ts';
import { judgeContents } from '../../src/replication/source/contents.ts';
import { detectFormat, type ImageFormat, isCompressed, isImage } from '../../src/replication/source/format.ts';
import { ImageFiles } from '../../src/replication/source/image-files.ts';
import { planImage } from '../../src/replication/source/image-plan.ts';
import { randomBytesOf } from '../rig/content.ts';
import { pieceSizes } from './bytes.ts';
import { holds, outcomeOfAsync, type Reader } from './fuzz.ts';
import { throughFile, throughStream } from './layers.ts';
import type { Field, Seed } from './mutate.ts';
import { DISK, gptSeed, littles, seed, type Workshop, zipFields } from './seeds.ts';

const HALF = DISK.length / 2;

/**
 * Whole members and nothing else: of files of two members each has a half, and where such a file is cut off behind the
 * first one nothing can tell. Of the others a half is not all, unless it is said that something was ignored.
 */
function isWhole(bytes: Buffer, halvesMin: number): boolean {
  const halves = [DISK.subarray(0, HALF), DISK.subarray(HALF)];
  const count = bytes.length / HALF;
  if (!Number.isInteger(count) || count < halvesMin) return false;
  const parts = Array.from({ length: count }, (_, index) => bytes.subarray(index * HALF, (index + 1) * HALF));
  return parts.every((part) => halves.some((half) => half.equals(part)));
}

function compressedSeeds(shop: Workshop): Seed[] {
  const pack = (tool: string, bytes: Uint8Array, ...args: string[]): Buffer =>
    shop.run(tool, tool === 'xz' ? 'xz-utils' : tool, ['-qc', ...args], bytes);
  const [front, back] = [DISK.subarray(0, HALF), DISK.subarray(HALF)];
  const tools = ['gzip', 'xz', 'zstd', 'bzip2', 'lz4'];
  const plain = tools.map((tool) => seed(tool, pack(tool, DISK)));
  const pairs = tools.map((tool) => seed(`two of ${tool}`, Buffer.concat([pack(tool, front), pack(tool, back)])));
  shop.write('disk.img.xz', pack('xz', DISK));
  shop.write('disk.img.gz', pack('gzip', DISK));
  const zip = shop.zip('README', 'disk.img.xz');
  const layered = [
    seed('xz in blocks', pack('xz', DISK, '--block-size=3000')),
    seed('gzip in gzip', pack('gzip', pack('gzip', DISK))),
    seed('tar in gzip', pack('gzip', shop.tar('README', 'disk.img'))),
    seed('tar in xz', pack('xz', shop.tar('disk.img', 'README'))),
    seed('gzip in tar in zstd', pack('zstd', shop.tar('disk.img.gz'))),
    seed('xz in zip', zip, zipFields(zip)),
  ];
  return [...plain, ...pairs, ...layered];
}

/**
 * Through the pipes and programs of a stream; a part of them a second time in other pieces, and archives as files too.
 */
export function compressionReader(shop: Workshop): Reader {
  return {
    name: 'compression',
    seeds: compressedSeeds(shop),
    repair: null,
    classes: ['accepted', 'SOURCE_CORRUPT'],
    async judge({ bytes, seed: from, random }) {
      const format = detectFormat(bytes);
      // Bytes that show nothing are a disk that shows nothing, about which the user is asked.
      if (format !== detectFormat(from.bytes)) return 'other format';
      const one = await throughStream(bytes, []);
      const { value } = one;
      if (value !== null) {
        const right = isWhole(value.bytes, from.name.startsWith('two of') || value.warnings.length > 0 ? 1 : 2);
        holds(right, () => `gives ${value.bytes.length} bytes that nobody put in (${value.warnings.join('; ')})`);
      }
      if (random.below(4) === 0) {
        const other = await throughStream(bytes, pieceSizes(random));
        holds(one.code === other.code, () => `${one.code}, and ${other.code} in other pieces`);
        const same = value === null || other.value?.bytes.equals(value.bytes) === true;
        holds(same, () => 'other bytes in other pieces');
      }
      if (!isCompressed(format) && random.below(2) === 0) {
        const stored = (await throughFile(bytes)).value;
        holds(stored === null || stored.bytes.equals(DISK), () => 'another image from a file');
      }
      return one.code ?? 'accepted';
    },
  };
}

/** Offsets and widths of the numbers in the headers, from the specification of each format. */
const IMAGE_FIELDS: readonly (readonly [ImageFormat, readonly string[], readonly Field[]])[] = [
  ['qcow2', [], bigs(4, [4, 8, 4, 4, 8, 4, 4, 8, 8, 4, 4, 8, 8, 8, 8, 4, 4])],
  ['vmdk', [], littles(4, [4, 4, 8, 8, 8, 8, 4, 8, 8, 8, 1])],
  ['vmdk', ['-o', 'subformat=streamOptimized'], littles(4, [4, 4, 8, 8, 8, 8, 4, 8, 8, 8, 1])],
  ['vdi', [], littles(0x44, [4, 4, 4, 4]).concat(littles(0x154, [4, 4, 4, 4, 4, 4, 8, 4, 4, 4, 4]))],
  [
    'vpc',
    ['-o', 'subformat=dynamic'],
    bigs(8, [4, 4, 8, 4]).concat(bigs(40, [8, 8, 4, 4, 4]), bigs(512 + 8, [8, 8, 4, 4, 4, 4])),
  ],
];

function bigs(at: number, widths: readonly number[]): Field[] {
  return littles(at, widths).map((field) => ({ ...field, kind: 'big' }));
}

/** What lies behind the end is an input/output error to QEMU where it is one of its tables. */
const QEMU_REFUSED = ['SOURCE_READ_FAILED', 'SOURCE_CORRUPT', 'SOURCE_UNREADABLE', 'SOURCE_EMPTY', 'FORMAT_UNKNOWN'];

/** Nothing but the file itself is read, and what is found is the same a second time. */
export function imageFileReader(shop: Workshop): Reader {
  const seeds = IMAGE_FIELDS.map(([format, options, fields], index) => {
    const name = `image${index}`;
    shop.run('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', format, ...options, 'disk.img', name]);
    return seed(`${format} ${options.join(' ')}`, shop.read(name), fields);
  });
  let turn = 0;
  return {
    name: 'images of QEMU',
    seeds,
    repair: null,
    classes: ['accepted', 'SOURCE_CORRUPT'],
    async judge({ bytes, random }) {
      const format = detectFormat(bytes);
      if (!isImage(format)) return 'other format';
      const path = shop.write(`fuzzed${turn++}`, bytes);
      const files = new ImageFiles();
      const held = present(files.hold(path), 'the file that was just written');
      const storage = { driver: 'file', filename: held.place };
      const given = { uri: 'input', storage, path, held, files, storedBytes: null, format, objects: [], hasKey: false };
      const plan = () => outcomeOfAsync(() => planImage(given), QEMU_REFUSED);
      const one = await plan();
      if (random.below(8) === 0) {
        const other = await plan();
        const same = one.code === other.code && one.value?.sizeBytes === other.value?.sizeBytes;
        holds(same, () => `${one.code}, and ${other.code} a second time`);
      }
      rmSync(path);
      const { paths } = files;
      files.close();
      if (one.value === null) return one.code;
      const { sizeBytes } = one.value;
      holds(Number.isSafeInteger(sizeBytes) && sizeBytes > 0, () => `an image of ${sizeBytes} bytes`);
      holds(
        paths.every((file) => file.startsWith(join(shop.folder, '/'))),
        () => `reads ${paths.join()}`,
      );
      return 'accepted';
    },
  };
}

function diskSeeds(shop: Workshop): Seed[] {
  const make = (
    name: string,
    sizeBytes: number,
    tool: string,
    debianPackage: string,
    args: readonly string[],
  ): Seed => {
    const path = shop.write('disk', new Uint8Array(sizeBytes));
    shop.run(tool, debianPackage, [...args, path]);
    return seed(name, shop.read('disk'));
  };
  const ext4 = make('ext4', 256 * 1024, 'mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4']);
  const fat = make('FAT', 128 * 1024, 'mkfs.vfat', 'dosfstools', []);
  const swap = make('swap', 64 * 1024, 'mkswap', 'util-linux', []);
  return [
    ext4,
    fat,
    swap,
    gptSeed(shop, 128 * 1024),
    seed('MBR', DISK, littles(446, [1, 1, 2, 1, 1, 2, 4, 4])),
    seed('noise', randomBytesOf(9, 4096)),
  ];
}

/** blkid(8) and sfdisk(8) about whole disks: never more than words, and partitions within the disk. */
export function diskReader(shop: Workshop): Reader {
  let turn = 0;
  return {
    name: 'contents of disks',
    seeds: diskSeeds(shop),
    repair: null,
    classes: ['accepted', 'unknown'],
    good: ['accepted', 'unknown'],
    async judge({ bytes, whole, random, seed: from }) {
      const size = random.below(2) === 0 ? null : bytes.byteLength + random.below(1_000_000);
      const { recognised, text } = judgeContents(bytes, size);
      holds(/^[\x20-\x7e]{1,200}$/.test(text), () => `says ${JSON.stringify(text)}`);
      holds(recognised || text.startsWith('shows neither'), () => `is not recognised as ${text}`);
      const path = shop.write(`disk${turn++}`, bytes);
      const table = await readPartitionTable({ path, sizeBytes: bytes.byteLength, kind: 'image' });
      rmSync(path);
      if ('partitions' in table) {
        for (const { offsetBytes, lengthBytes } of table.partitions) {
          const inside = offsetBytes > 0 && lengthBytes > 0 && offsetBytes + lengthBytes <= bytes.byteLength;
          holds(inside, () => `a partition of ${lengthBytes} bytes at ${offsetBytes}`);
        }
      }
      holds(!whole || recognised === (from.name !== 'noise'), () => `a good one is ${text}`);
      return recognised ? 'accepted' : 'unknown';
    },
  };
}
