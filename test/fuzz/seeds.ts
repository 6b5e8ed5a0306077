// Good inputs by the real tools, small, with the places of the numbers that readers go by.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { requireTool } from '../../src/base/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import { androidSparse, diskBytes, SPARSE_BLOCK_BYTES } from '../support/packed-image.ts';
import type { Field, Seed } from './mutate.ts';

/** The disk that everything holds: 8 KiB behind an MBR with a partition. */
export const DISK = withRepetition(diskBytes(2 * SPARSE_BLOCK_BYTES));
export const OTHER_DISK = diskBytes(SPARSE_BLOCK_BYTES, 7);
export const README = Buffer.from('read me first\n'.repeat(60));
/** What a member of these archives may hold. */
export const CONTENTS: readonly Buffer[] = [DISK, OTHER_DISK, README];

/** Something for compression to do. */
function withRepetition(disk: Buffer): Buffer {
  disk.fill('understudy', 2048, 6000);
  return disk;
}

/** A folder with the files of CONTENTS, in which tools make inputs. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), 'understudy-fuzz-'));

  constructor() {
    writeFileSync(join(this.folder, 'disk.img'), DISK);
    writeFileSync(join(this.folder, 'other.img'), OTHER_DISK);
    writeFileSync(join(this.folder, 'README'), README);
    symlinkSync('disk.img', join(this.folder, 'link.img'));
  }

  run(tool: string, debianPackage: string, args: readonly string[], input?: Uint8Array): Buffer {
    const options = { cwd: this.folder, stdio: 'pipe' as const, maxBuffer: 1 << 26 };
    const path = requireTool(tool, debianPackage);
    return execFileSync(path, [...args], input === undefined ? options : { ...options, input });
  }

  tar(...args: readonly string[]): Buffer {
    // GNU tar fills up to 10 KiB; small inputs are tried faster.
    return this.run('tar', 'tar', ['-b1', '-cf', '-', '--mtime=@0', ...args]);
  }

  zip(...args: readonly string[]): Buffer {
    rmSync(join(this.folder, 'made.zip'), { force: true });
    this.run('zip', 'zip', ['-q', 'made.zip', ...args]);
    return readFileSync(join(this.folder, 'made.zip'));
  }

  write(name: string, bytes: Uint8Array): string {
    writeFileSync(join(this.folder, name), bytes);
    return join(this.folder, name);
  }

  read(name: string): Buffer {
    return readFileSync(join(this.folder, name));
  }

  clear(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function seed(name: string, bytes: Uint8Array, fields: readonly Field[] = []): Seed {
  return { name, bytes: Uint8Array.from(bytes), fields };
}

export function littles(at: number, widths: readonly number[]): Field[] {
  let place = at;
  return widths.map((bytes) => {
    const field: Field = { at: place, bytes, kind: 'little' };
    place += bytes;
    return field;
  });
}

function placesOf(bytes: Uint8Array, magic: string): number[] {
  const buffer = Buffer.from(bytes);
  const places: number[] = [];
  for (let at = buffer.indexOf(magic, 0, 'latin1'); at >= 0; at = buffer.indexOf(magic, at + 1, 'latin1'))
    places.push(at);
  return places;
}

const TAR_BLOCK = 512;

export function tarFields(bytes: Uint8Array): Field[] {
  return placesOf(bytes, 'ustar').flatMap((magic): Field[] => [
    { at: magic - 257 + 124, bytes: 12, kind: 'octal' },
    { at: magic - 257 + 124, bytes: 12, kind: 'big' },
    { at: magic - 257 + 156, bytes: 1, kind: 'big', known: '0123456xgLKMS' },
  ]);
}

/** Each block that says that it is a header. */
export function repairTar(bytes: Uint8Array): void {
  for (let at = 0; at + TAR_BLOCK <= bytes.byteLength; at += TAR_BLOCK) {
    const block = bytes.subarray(at, at + TAR_BLOCK);
    if (Buffer.from(block.subarray(257, 262)).toString('latin1') !== 'ustar') continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `, 'latin1'), 148);
  }
}

/** Local headers, directory, ends of both widths, descriptors: APPNOTE 4.3.7, 4.3.9, 4.3.12 to 4.3.16. */
export function zipFields(bytes: Uint8Array): Field[] {
  const layouts: readonly (readonly [string, readonly number[]])[] = [
    ['PK\x03\x04', [2, 2, 2, 2, 2, 4, 4, 4, 2, 2]],
    ['PK\x01\x02', [2, 2, 2, 2, 2, 2, 4, 4, 4, 2, 2, 2, 2, 2, 4, 4]],
    ['PK\x05\x06', [2, 2, 2, 2, 4, 4, 2]],
    ['PK\x06\x06', [8, 2, 2, 4, 4, 8, 8, 8, 8]],
    ['PK\x06\x07', [4, 8, 4]],
    ['PK\x07\x08', [4, 4, 4]],
  ];
  return layouts.flatMap(([magic, widths]) => placesOf(bytes, magic).flatMap((at) => littles(at + 4, widths)));
}

export function tarSeeds(shop: Workshop): Seed[] {
  const long = `--transform=s,^,${'long/'.repeat(40)},`;
  const made: readonly (readonly [string, Buffer])[] = [
    ['ustar', shop.tar('--format=ustar', 'README', 'disk.img', 'link.img')],
    ['pax with long names', shop.tar('--format=pax', long, 'disk.img')],
    ['GNU with long names', shop.tar('--format=gnu', long, 'disk.img', 'README')],
    ['v7', shop.tar('--format=v7', 'README', 'disk.img')],
  ];
  return made.map(([name, bytes]) => seed(name, bytes, tarFields(bytes)));
}

export function zipSeeds(shop: Workshop, streamed: boolean): Seed[] {
  const made: readonly (readonly [string, Buffer])[] = [
    ['deflated', shop.zip('-9', 'README', 'disk.img')],
    ['stored', shop.zip('-0', 'disk.img', 'README')],
    ['zip64', shop.zip('-fz', 'disk.img')],
    ['with a comment of a member', shop.run('zip', 'zip', ['-q', '-', '-'], DISK)],
  ];
  const small = made.map(([name, bytes]) => seed(name, bytes, zipFields(bytes)));
  return streamed ? small : small.slice(0, 3);
}

/** With a check sum in a chunk, with one in the header, with none. */
export function sparseSeeds(): Seed[] {
  const raw = DISK;
  const words = Buffer.alloc(2 * SPARSE_BLOCK_BYTES, Buffer.from([0xef, 0xbe, 0xad, 0xde]));
  const holes = Buffer.alloc(3 * SPARSE_BLOCK_BYTES);
  const image = Buffer.concat([raw, words, holes]);
  const parts = [{ raw }, { fill: 0xdeadbeef, blocks: 2 }, { skip: 3 }];
  const made: readonly (readonly [string, Buffer])[] = [
    ['with a check sum in a chunk', androidSparse([...parts, { crc: crc32(image) }])],
    ['with a check sum in the header', androidSparse(parts, { checksum: crc32(image) })],
    ['without a check sum', androidSparse(parts)],
  ];
  return made.map(([name, bytes]) => {
    const chunks = [28, 28 + 12 + raw.length, 28 + 12 + raw.length + 16, 28 + 12 + raw.length + 28];
    return seed(name, bytes, [
      ...littles(4, [2, 2, 2, 2, 4, 4, 4, 4]),
      ...chunks.flatMap((at) => littles(at, [2, 2, 4, 4])),
    ]);
  });
}

/** A disk with two partitions as sgdisk(8) makes it, and the numbers of both headers and of the entries. */
export function gptSeed(shop: Workshop, imageBytes: number): Seed {
  const path = shop.write('gpt.img', randomBytesOf(3, imageBytes));
  shop.run('sgdisk', 'gdisk', ['-Z', path]);
  shop.run('sgdisk', 'gdisk', ['-o', '-a', '8', '-n', '1:40:100', '-n', '2:101:0', path]);
  const bytes = shop.read('gpt.img');
  const header = [4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 4, 4, 4];
  const entry = [8, 8, 8, 8, 8, 8];
  const places = [512, imageBytes - 512].flatMap((at) => littles(at + 8, header));
  const entries = [1024, 1024 + 128, imageBytes - 33 * 512].flatMap((at) => littles(at, entry));
  return seed('sgdisk', bytes, [...places, ...entries, ...littles(446, [4, 4, 4, 4])]);
}
