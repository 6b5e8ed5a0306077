// File systems, partition tables and image formats whose structure lies. Made by the tools that make good ones, then
// spoiled.
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Random } from '../../../src/base/mod.ts';
import { makeFile, run } from '../../support/disk-image.ts';
import { pick } from '../api/shapes.ts';

const MIB = 1024 * 1024;
const SECTOR = 512;

/** What a spoiler is given: an image of its own to change, and files of this machine that it must not reach. */
export interface Ground {
  readonly path: string;
  readonly random: Random;
  readonly outside: string;
}

/** Changes the image; what was done. */
export type Spoil = (ground: Ground) => string;

function patch(path: string, changes: readonly (readonly [at: number, bytes: Buffer])[]): void {
  const file = openSync(path, 'r+');
  try {
    for (const [at, bytes] of changes) writeSync(file, bytes, 0, bytes.length, at);
  } finally {
    closeSync(file);
  }
}

function numberBytes(value: bigint, size: number, order: 'little' | 'big'): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  const cut = bytes.subarray(0, size);
  return order === 'little' ? Buffer.from(cut) : Buffer.from(cut).reverse();
}

/** Numbers that nobody reckons with. */
function wildNumber(size: number, random: Random): bigint {
  const max = (1n << BigInt(8 * size)) - 1n;
  return pick(
    [0n, 1n, 2n, 7n, max, max >> 1n, (max >> 1n) + 1n, 0xffffn & max, BigInt(random.below(2 ** 31)) & max],
    random,
  );
}

/** Fields of the superblock of ext: offset and size. */
const EXT_FIELDS: readonly (readonly [string, number, number])[] = [
  ['inodes_count', 0, 4],
  ['blocks_count', 4, 4],
  ['first_data_block', 20, 4],
  ['log_block_size', 24, 4],
  ['blocks_per_group', 32, 4],
  ['inodes_per_group', 40, 4],
  ['state', 58, 2],
  ['rev_level', 76, 4],
  ['first_ino', 84, 4],
  ['inode_size', 88, 2],
  ['feature_compat', 92, 4],
  ['feature_incompat', 96, 4],
  ['feature_ro_compat', 100, 4],
  ['journal_inum', 224, 4],
  ['desc_size', 254, 2],
  ['first_meta_bg', 260, 4],
  ['blocks_count_hi', 336, 4],
  ['log_groups_per_flex', 372, 1],
];

const SUPERBLOCK = 1024;

const extFields: Spoil = ({ path, random }) => {
  const names: string[] = [];
  for (let count = 1 + random.below(3); count > 0; count -= 1) {
    const [name, at, size] = pick(EXT_FIELDS, random);
    const value = wildNumber(size, random);
    patch(path, [[SUPERBLOCK + at, numberBytes(value, size, 'little')]]);
    names.push(`${name} = ${value}`);
  }
  return `superblock: ${names.join(', ')}`;
};

/** What debugfs writes without asking whether it makes sense. */
const EXT_COMMANDS: readonly (readonly string[])[] = [
  ['ln /etc /etc/cron.d/loop', 'ln / /etc/netplan/loop'],
  ['ln / /etc/network/root', 'ln /etc /etc/network/etc'],
  ['sif /etc/hosts size 0x7fffffffffff'],
  ['sif /etc/hostname size 0xffffffffffffffff', 'sif /etc/machine-id size 0x100000000'],
  ['sif / size 0xffffff000', 'sif /etc size 0xffffff000'],
  ['sif /etc/hosts mode 0140755', 'sif /etc/network/interfaces mode 0'],
  ['sif <2> mode 0100644'],
  ['sif /etc mode 0120777'],
  ['clri /etc'],
  ['clri <2>'],
  ['sif /etc flags 0x80000', 'sif /etc/hosts flags 0x10000000'],
  [
    'sif /etc/hosts block[0] 0xffffffff',
    'sif /etc/hostname block[4] 0x7fffffff',
    'sif /etc/passwd block[5] 0xffffffff',
  ],
  ['sif /etc/hosts block[0] 0xfffff30a', 'sif /etc/passwd block[1] 0xffff0005'],
  ['sif /etc block[0] 0xfffff30a', 'sif /etc block[1] 0x50000'],
  ['sif /etc/hostname file_acl 0xffffffff', 'sif /etc/passwd file_acl 1'],
  ['set_bg 0 inode_table 0xfffffff'],
  ['set_bg 0 inode_table 0', 'set_bg 0 block_bitmap 0'],
  ['sif <8> size 0', 'sif <8> block[0] 0xffffffff'],
];

const extLinks: Spoil = ({ path, random }) => {
  const commands = pick(EXT_COMMANDS, random);
  run('debugfs', ['-w', '-f', '-', path], `${commands.join('\n')}\n`);
  return `debugfs: ${commands.join('; ')}`;
};

/** Bytes at random where a file system has its tables. */
function blows(from: number, to: number): Spoil {
  return ({ path, random }) => {
    const end = Math.min(to, statSync(path).size);
    const count = 1 + random.below(60);
    for (let hit = 0; hit < count; hit += 1) {
      patch(path, [[from + random.below(end - from), Buffer.from([pick([0, 0xff, random.below(256)], random)])]]);
    }
    return `${count} blows from ${from} to ${end}`;
  };
}

const cutOff: Spoil = ({ path, random }) => {
  const size = pick([0, 1, 511, 512, 1024, 2048, 4096, 70_000, 5 * MIB], random);
  truncateSync(path, size);
  return `cut off at ${size}`;
};

const giant: Spoil = ({ path, random }) => {
  const size = pick([2 ** 40, 2 ** 43 - 4096], random);
  truncateSync(path, size);
  if (random.below(2) === 0) patch(path, [[SUPERBLOCK + 4, numberBytes(0xffffffffn, 4, 'little')]]);
  return `grown to ${size} bytes, all of them hole`;
};

export const EXT_SPOILERS: readonly Spoil[] = [
  extFields,
  extLinks,
  blows(1024, 40_000),
  blows(0, 4 * MIB),
  cutOff,
  giant,
];

const GPT_HEADER: readonly (readonly [string, number, number])[] = [
  ['header size', 12, 4],
  ['own place', 24, 8],
  ['backup', 32, 8],
  ['first usable', 40, 8],
  ['last usable', 48, 8],
  ['entries', 72, 8],
  ['count', 80, 4],
  ['size of an entry', 84, 4],
];

/** With the check sum right, so that what lies behind it is reached. */
const gptFields: Spoil = ({ path, random }) => {
  const header = readFileSync(path).subarray(SECTOR, SECTOR + 92);
  const names: string[] = [];
  for (let count = 1 + random.below(2); count > 0; count -= 1) {
    const [name, at, size] = pick(GPT_HEADER, random);
    const value = wildNumber(size, random);
    numberBytes(value, size, 'little').copy(header, at);
    names.push(`${name} = ${value}`);
  }
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header) >>> 0, 16);
  patch(path, [[SECTOR, header]]);
  return `GPT: ${names.join(', ')}`;
};

/** Extended partitions that name each other, or themselves; partitions beyond the end. */
const mbrLoop: Spoil = ({ path, random }) => {
  const entry = (type: number, start: number, length: number): Buffer => {
    const bytes = Buffer.alloc(16);
    bytes[4] = type;
    bytes.writeUInt32LE(start >>> 0, 8);
    bytes.writeUInt32LE(length >>> 0, 12);
    return bytes;
  };
  const sign = Buffer.from([0x55, 0xaa]);
  const at = 1 + random.below(100);
  const next = pick([0, 0, 1, 0xffffffff], random);
  const table = Buffer.concat([
    entry(5, at, 0xffffffff),
    entry(pick([5, 0x0f, 0x83, 0xee], random), 0, 0xffffffff),
    entry(0x83, 2048, 0xffffffff),
    entry(0, 0, 0),
  ]);
  const inner = Buffer.concat([entry(0x83, 1, 1), entry(5, next, 0xffffffff), entry(5, at, 1), entry(5, 0, 1)]);
  patch(path, [
    [446, table],
    [510, sign],
    [SECTOR * at + 446, inner],
    [SECTOR * at + 510, sign],
  ]);
  return `an extended partition at ${at} that goes on at ${next}`;
};

/** A cluster chain that is a ring, or leads out: FAT16 and FAT32 have their tables after the reserved sectors. */
function fatChains(offset: number): Spoil {
  return ({ path, random }) => {
    const boot = readFileSync(path).subarray(offset, offset + SECTOR);
    const table = offset + boot.readUInt16LE(14) * SECTOR;
    const changes = Array.from({ length: 1 + random.below(40) }, (): readonly [number, Buffer] => {
      const cluster = 2 + random.below(30);
      return [table + cluster * 2, numberBytes(BigInt(pick([cluster, 2, 3, 0xfff0, 0xffff, 0], random)), 2, 'little')];
    });
    patch(path, changes);
    return `${changes.length} links of the cluster chains`;
  };
}

const FAT_FIELDS = [11, 13, 14, 16, 17, 19, 21, 22, 32, 36, 44] as const;

function fatFields(offset: number): Spoil {
  return ({ path, random }) => {
    const at = pick(FAT_FIELDS, random);
    const value = wildNumber(2, random);
    patch(path, [[offset + at, numberBytes(value, 2, 'little')]]);
    return `FAT: ${value} at ${at} of the boot sector`;
  };
}

/** For a disk with a GPT, a FAT partition at 1 MiB and the system behind it. */
export const DISK_SPOILERS: readonly Spoil[] = [
  gptFields,
  mbrLoop,
  fatChains(MIB),
  fatFields(MIB),
  blows(MIB, MIB + 64 * 1024),
  blows(0, 34 * SECTOR),
  cutOff,
  giant,
];

/** Fields of the header of qcow2: offset and size. */
const QCOW_FIELDS: readonly (readonly [string, number, number])[] = [
  ['version', 4, 4],
  ['backing file at', 8, 8],
  ['length of its name', 16, 4],
  ['cluster bits', 20, 4],
  ['size', 24, 8],
  ['encryption', 32, 4],
  ['l1 size', 36, 4],
  ['l1 at', 40, 8],
  ['refcounts at', 48, 8],
  ['refcount clusters', 56, 4],
  ['snapshots', 60, 4],
  ['snapshots at', 64, 8],
  ['features', 72, 8],
  ['refcount order', 96, 4],
  ['header length', 100, 4],
];

const qcowFields: Spoil = ({ path, random }) => {
  const names: string[] = [];
  for (let count = 1 + random.below(2); count > 0; count -= 1) {
    const [name, at, size] = pick(QCOW_FIELDS, random);
    const value = wildNumber(size, random);
    patch(path, [[at, numberBytes(value, size, 'big')]]);
    names.push(`${name} = ${value}`);
  }
  return `qcow2: ${names.join(', ')}`;
};

/** Tables that are their own entries. */
const qcowLoop: Spoil = ({ path, random }) => {
  const l1 = Number(readFileSync(path).readBigUInt64BE(40));
  const target = BigInt(pick([0, l1, 65_536, 2 ** 40], random));
  const flag = random.below(2) === 0 ? 1n << 63n : 0n;
  patch(path, [[l1, numberBytes(target | flag, 8, 'big')]]);
  return `qcow2: the first table of the second level at ${target}`;
};

/** Names of other files: of this machine, of servers, of itself. */
const qcowBacking: Spoil = ({ path, random, outside }) => {
  const name = pick(
    [
      outside,
      `file:${outside}`,
      `json:{"driver":"file","filename":"${outside}"}`,
      `json:{"driver":"raw","file":{"driver":"host_device","filename":"/dev/zero"}}`,
      path,
      `../../../../../../../..${outside}`,
      'nbd://127.0.0.1:1/x',
      'http://127.0.0.1:1/x',
      'fat:rw:/etc',
      'blkdebug::x',
      '/proc/self/environ',
      'x'.repeat(1000),
    ],
    random,
  );
  const bytes = Buffer.from(name);
  const at = 512;
  patch(path, [
    [at, bytes],
    [8, numberBytes(BigInt(at), 8, 'big')],
    [16, numberBytes(BigInt(bytes.length), 4, 'big')],
  ]);
  return `qcow2 on ${name.slice(0, 80)}`;
};

const qcowDataFile: Spoil = ({ path, outside }) => {
  rmSync(path);
  const data = `${path}.data`;
  run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${data},data_file_raw=on`, path, '16M']);
  rmSync(data);
  const text = readFileSync(path);
  const at = text.indexOf(data);
  // The name is an extension of the header; one of the same length takes its place.
  if (at > 0) patch(path, [[at, Buffer.from(outside.padEnd(data.length, '\0').slice(0, data.length))]]);
  return 'qcow2 with its data in another file';
};

export const QCOW_SPOILERS: readonly Spoil[] = [
  qcowFields,
  qcowLoop,
  qcowBacking,
  qcowDataFile,
  blows(0, 512),
  blows(65_536, 300_000),
  cutOff,
];

/** A text that says where the data are. */
const vmdkText: Spoil = ({ path, random, outside }) => {
  const extent = pick(
    [
      `RW 32768 FLAT "${outside}" 0`,
      `RW 32768 FLAT "../../../../../../..${outside}" 0`,
      `RW ${'9'.repeat(30)} FLAT "x" 0`,
      `RW 32768 SPARSE "${path.split('/').at(-1)}"`,
      'RW 32768 FLAT "/dev/zero" 0',
      'RW -1 FLAT "x" -1',
    ],
    random,
  );
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=fffffffe',
    'parentCID=ffffffff',
    'createType="monolithicFlat"',
    extent,
  ];
  writeFileSync(path, `${lines.join('\n')}\n${'# x\n'.repeat(random.below(4000))}`);
  return `vmdk: ${extent.slice(0, 80)}`;
};

export const VMDK_SPOILERS: readonly Spoil[] = [vmdkText, blows(0, 1024), blows(512, 140_000), cutOff];

/** What is only known by its first bytes: file systems without a reader of ours, and what holds others. */
const SIGNATURES: readonly (readonly [string, number, string])[] = [
  ['XFS', 0, 'XFSB'],
  ['btrfs', 65_600, '_BHRfS_M'],
  ['LUKS', 0, 'LUKS\xba\xbe\x00\x02'],
  ['LVM', 512, 'LABELONE'],
  ['swap', 4086, 'SWAPSPACE2'],
  ['ISO 9660', 32_769, 'CD001'],
  ['NTFS', 3, 'NTFS    '],
  ['squashfs', 0, 'hsqs'],
  ['gzip', 0, '\x1f\x8b\x08'],
  ['vhdx', 0, 'vhdxfile'],
  ['qed', 0, 'QED\0'],
];

export const signature: Spoil = ({ path, random }) => {
  makeFile(path, pick([65_536, 16 * MIB], random));
  const [name, at, text] = pick(SIGNATURES, random);
  patch(path, [[Math.min(at, statSync(path).size), Buffer.from(text, 'latin1')]]);
  appendFileSync(path, Buffer.from(Array.from({ length: 4096 }, () => random.below(256))));
  return `${name} by its first bytes alone`;
};
