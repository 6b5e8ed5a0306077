// A disk, or a partition of it, that is one part of something larger (RAID, DRBD, bcache, a btrfs of several devices)
// is refused by name, wherever its metadata lies; and so are systems in which changes would not last.
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { createIdentityEngine, type IdentityEngine } from '../../src/identity/mod.ts';
import { makeFile, place, run } from '../support/disk-image.ts';
import { makeSeveral } from '../support/several-file-systems.ts';
import { digestOfFile, type Layout, LEAD, makeImage, SPARE, systemFiles, writeTree } from '../support/system-image.ts';

const { MIB } = limits;
const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
const SECTOR_BYTES = 512;
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-members-test-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Region {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

function write(path: string, at: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, bytes, 0, bytes.length, at);
  } finally {
    closeSync(fd);
  }
}

/** md_p.h: mdp_superblock_1 of a RAID1 of two, at `at` of the member. */
function md1(path: string, { offsetBytes, sizeBytes }: Region, at: number): void {
  const sb = Buffer.alloc(256);
  sb.writeUInt32LE(0xa92b4efc, 0);
  sb.writeUInt32LE(1, 4);
  sb.fill(0x5a, 16, 32);
  sb.writeBigUInt64LE(1_700_000_000n, 64);
  sb.writeInt32LE(1, 72);
  sb.writeUInt32LE(2, 92);
  sb.writeBigUInt64LE(BigInt(sizeBytes / SECTOR_BYTES - 16), 80);
  sb.writeBigUInt64LE(BigInt(sizeBytes / SECTOR_BYTES - 16), 136);
  sb.writeBigUInt64LE(BigInt(at / SECTOR_BYTES), 144);
  let sum = 0;
  for (let word = 0; word < 256; word += 4) sum += sb.readUInt32LE(word);
  sb.writeUInt32LE(((sum & 0xffffffff) + Math.floor(sum / 2 ** 32)) >>> 0, 216);
  write(path, offsetBytes + at, sb);
}

const MEMBERS: Readonly<Record<string, readonly [RegExp, (path: string, region: Region) => void]>> = {
  'md, metadata 1.0 at the end': [
    /a Linux RAID array \(md\), metadata 1\.0/,
    (path, region) => md1(path, region, Math.floor((region.sizeBytes / SECTOR_BYTES - 16) / 8) * 8 * SECTOR_BYTES),
  ],
  'md, metadata 1.1 at the start': [/\(md\), metadata 1\.1/, (path, region) => md1(path, region, 0)],
  'md, metadata 0.90 at the end': [
    /\(md\), metadata 0\.90/,
    (path, { offsetBytes, sizeBytes }) => {
      const sb = Buffer.alloc(4096);
      for (const [index, word] of [0xa92b4efc, 0, 90, 0, 0, 7].entries()) sb.writeUInt32LE(word, index * 4);
      write(path, offsetBytes + (Math.floor(sizeBytes / 65_536) - 1) * 65_536, sb);
    },
  ],
  'md, a superblock that was torn': [
    /\(md\), metadata 1\.0/,
    (path, { offsetBytes, sizeBytes }) => {
      const sb = Buffer.alloc(16);
      sb.writeUInt32LE(0xa92b4efc, 0);
      write(path, offsetBytes + Math.floor((sizeBytes / SECTOR_BYTES - 16) / 8) * 8 * SECTOR_BYTES, sb);
    },
  ],
  'DRBD, metadata at the end': [
    /the backing device of DRBD/,
    (path, { offsetBytes, sizeBytes }) => {
      const sb = Buffer.alloc(4096);
      sb.writeBigUInt64BE(BigInt(sizeBytes / SECTOR_BYTES - 100), 0);
      sb.writeUInt32BE(0x8374026d, 60);
      write(path, offsetBytes + sizeBytes - 4096, sb);
    },
  ],
};

/** The file system ends before the metadata, as it does on an array. */
function system(layout: Layout): { readonly path: string; readonly region: Region } {
  const region = { offsetBytes: layout === 'bare' ? 0 : MIB, sizeBytes: 48 * MIB };
  const small = makeImage(join(folder, 'small'), writeTree(join(folder, 'tree'), systemFiles()), {
    sizeBytes: 46 * MIB,
  });
  const path = makeFile(join(folder, 'image'), region.offsetBytes + region.sizeBytes + (layout === 'bare' ? 0 : MIB));
  const label = layout === 'mbr' ? 'dos' : 'gpt';
  if (layout !== 'bare')
    run('sfdisk', ['-q', path], `label: ${label}\nstart=2048, size=${region.sizeBytes / SECTOR_BYTES}\n`);
  place(small.path, path, region.offsetBytes);
  return { path, region };
}

describe('one part of something larger', () => {
  test.each(
    Object.entries(MEMBERS).flatMap(([name, [text, make]]) =>
      (['bare', 'gpt', 'mbr'] as const).map((layout) => [name, layout, text, make] as const),
    ),
  )('%s, %s: refused by name, and as it was', async (_, layout, text, make) => {
    const { path, region } = system(layout);
    const plan = await engine.plan(path, request, signal);
    make(path, region);
    const before = digestOfFile(path);
    const refused = { code: 'IMAGE_UNSUPPORTED', message: expect.stringMatching(text) };
    await expect(engine.inspect(path, LEAD, signal)).rejects.toMatchObject(refused);
    await expect(engine.plan(path, request, signal)).rejects.toMatchObject(refused);
    await expect(engine.apply(path, plan, signal)).rejects.toMatchObject(refused);
    expect(digestOfFile(path)).toBe(before);
  });

  test('a whole disk with a partition table inside of the array', async () => {
    const { path } = system('gpt');
    truncateSync(path, statSync(path).size + 2 * MIB);
    const region = { offsetBytes: 0, sizeBytes: statSync(path).size };
    MEMBERS['md, metadata 1.0 at the end']?.[1](path, region);
    const refused = { code: 'IMAGE_UNSUPPORTED', message: expect.stringMatching(/the whole disk: a member .*\(md\)/) };
    await expect(engine.inspect(path, LEAD, signal)).rejects.toMatchObject(refused);
  });

  test('an array without any file system in sight: metadata 1.2, bcache, LVM', async () => {
    const path = makeFile(join(folder, 'image'), 16 * MIB);
    const region = { offsetBytes: 0, sizeBytes: 16 * MIB };
    md1(path, region, 4096);
    await expect(engine.inspect(path, LEAD, signal)).rejects.toThrow(/a Linux RAID array \(md\), metadata 1\.2/);
    const bcache = Buffer.alloc(4096);
    bcache.writeBigUInt64LE(8n, 8);
    Buffer.from('c68573f64e1a45ca8265f57f48ba6d81', 'hex').copy(bcache, 24);
    write(path, 4096, bcache);
    await expect(engine.inspect(path, LEAD, signal)).rejects.toThrow(/a device of bcache/);
    write(path, 4096, Buffer.alloc(4096));
    const label = Buffer.alloc(512);
    label.write('LABELONE', 'latin1');
    write(path, 512, label);
    await expect(engine.inspect(path, LEAD, signal)).rejects.toThrow(/LVM, which is not supported/);
  });

  test('a partition beside the root: the root is read, and what nobody looked into is said', async () => {
    const disk = makeSeveral(folder);
    // Its last blocks are free.
    const region = { offsetBytes: disk.variable.offsetBytes, sizeBytes: 16 * MIB };
    MEMBERS['md, metadata 1.0 at the end']?.[1](disk.path, region);
    const before = digestOfFile(disk.path);
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    expect(findings.map(({ value }) => value).join('\n')).toMatch(/at byte \d+: a member of a Linux RAID array/);
    expect(findings.filter(({ rule, action }) => rule === 'file-systems' && action === 'unknown')).toMatchObject([
      { path: '/etc/fstab', value: 'LABEL=var /var' },
    ]);
    expect(digestOfFile(disk.path)).toBe(before);
  });
});

describe('systems in which changes would not last', () => {
  test('Windows: a bare NTFS and one in a partition are named, with what can be done', async () => {
    const bare = makeFile(join(folder, 'bare'), 32 * MIB);
    run('mkntfs', ['-q', '-F', '-Q', bare]);
    const named = { code: 'IMAGE_UNSUPPORTED', message: expect.stringMatching(/NTFS \(Windows\).*Sysprep/) };
    await expect(engine.inspect(bare, LEAD, signal)).rejects.toMatchObject(named);
    const disk = makeFile(join(folder, 'disk'), 40 * MIB);
    run('sfdisk', ['-q', disk], `label: gpt\nstart=8192, size=${(32 * MIB) / SECTOR_BYTES}\n`);
    run('dd', [`if=${bare}`, `of=${disk}`, 'bs=1M', 'seek=4', 'conv=notrunc', 'status=none']);
    await expect(engine.inspect(disk, LEAD, signal)).rejects.toMatchObject(named);
  });

  test('NixOS is inspected, and stops at a question', async () => {
    const files = { ...systemFiles(), '/etc/NIXOS': '', '/nix/store/.links/x': '' };
    const { path } = makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), files));
    const { unknown } = await engine.plan(path, request, signal);
    expect(unknown).toMatchObject([
      { rule: 'system-kind', value: 'NixOS', why: expect.stringContaining('/nix/store') },
    ]);
  });

  test('ostree is named where the disk has no /etc of its own', async () => {
    const files = { '/ostree/repo/config': '[core]\n', '/ostree/deploy/fedora/deploy/0.0/etc/hostname': 'web1\n' };
    const { path } = makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), files));
    const named = { code: 'IMAGE_UNSUPPORTED', message: expect.stringContaining('an ostree system') };
    await expect(engine.inspect(path, LEAD, signal)).rejects.toMatchObject(named);
  });
});
