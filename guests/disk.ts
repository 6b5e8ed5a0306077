// A whole disk made from a file system: GPT, a partition for GRUB, and the file system. BIOS starts GRUB from it.
import { open, truncate } from 'node:fs/promises';
import { limits, present, requireTool, runTool } from '../src/base/mod.ts';
import { readFromImage } from './volume.ts';

const { MIB } = limits;
const SECTOR_BYTES = 512;
/** Of the partition that holds GRUB's core. */
const CORE_SECTOR = 2048;
const ROOT_SECTOR = 4096;
/** Behind the last partition: the second copy of the table. */
const END_BYTES = MIB;
/** In boot.img: where on the disk the core begins. Before the partition table ends the part that is program. */
const BOOT_CORE_AT = 0x5c;
const BOOT_PROGRAM_BYTES = 440;
/** In the core's first sector: where the rest of it is, how long, and where in memory it goes (grub's diskboot.S). */
const CORE_REST_AT = 0x1f4;
const CORE_SEGMENT = 0x820;

/** @param image a bare file system with /boot/grub/boot.img and core.img, which becomes the second partition of `disk` */
export async function makeDisk(image: string, disk: string, imageBytes: number): Promise<void> {
  const [boot, core] = await Promise.all([part(image, 'boot.img'), part(image, 'core.img')]);
  const dd = [
    `if=${image}`,
    `of=${disk}`,
    'bs=1M',
    `seek=${(ROOT_SECTOR * SECTOR_BYTES) / MIB}`,
    'conv=sparse',
    'status=none',
  ];
  await succeed('dd', 'coreutils', dd);
  await truncate(disk, ROOT_SECTOR * SECTOR_BYTES + imageBytes + END_BYTES);
  const table = [
    'label: gpt',
    `start=${CORE_SECTOR}, size=${ROOT_SECTOR - CORE_SECTOR}, type=21686148-6449-6E6F-744E-656564454649`,
    `start=${ROOT_SECTOR}, size=${imageBytes / SECTOR_BYTES}`,
  ];
  await succeed('sfdisk', 'fdisk', ['-q', disk], `${table.join('\n')}\n`);
  boot.writeBigUInt64LE(BigInt(CORE_SECTOR), BOOT_CORE_AT);
  const sectors = Math.ceil(core.length / SECTOR_BYTES);
  core.writeBigUInt64LE(BigInt(CORE_SECTOR + 1), CORE_REST_AT);
  core.writeUInt16LE(sectors - 1, CORE_REST_AT + 8);
  core.writeUInt16LE(CORE_SEGMENT, CORE_REST_AT + 10);
  const file = await open(disk, 'r+');
  try {
    await file.write(boot, 0, BOOT_PROGRAM_BYTES, 0);
    await file.write(core, 0, core.length, CORE_SECTOR * SECTOR_BYTES);
  } finally {
    await file.close();
  }
}

async function part(image: string, name: string): Promise<Buffer> {
  return Buffer.from(present(await readFromImage(image, `/boot/grub/${name}`), `${name} in ${image}`));
}

async function succeed(program: string, debianPackage: string, args: readonly string[], input = ''): Promise<void> {
  const done = await runTool(requireTool(program, debianPackage), args, { timeoutMs: 120_000, input });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.stderr}`);
}
