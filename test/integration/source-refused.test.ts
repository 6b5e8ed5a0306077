// What is no image, or not one image, or an image that cannot be read where it lies: refused by name, before anything
// of a seekable
// source is written, and never with status 0.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { expectFailure } from '../rig/failure.ts';
import { onStage } from '../rig/stage.ts';
import {
  androidSparse,
  diskBytes,
  SPARSE_BLOCK_BYTES,
  tarHeader,
  tarOf,
  type ZipMember,
  zipOf,
} from '../support/packed-image.ts';
import { SourceBench } from '../support/source-bench.ts';

const MIB = 1024 * 1024;
const disk = diskBytes(MIB);
const text = (content: string): Buffer => Buffer.from(content, 'latin1');
const padded = (content: string, sizeBytes = 4096): Buffer => Buffer.concat([text(content), Buffer.alloc(sizeBytes)]);

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

/** Code and message with which a source is refused, when it is opened or on the way. */
async function refusal(bytes: Uint8Array, options: { format?: string } = {}): Promise<string> {
  const uri = bench.write('image', bytes);
  return bench.open({ uri, ...options }).then(
    async ({ client }) => {
      const { code, message } = await client.readAll();
      return `${code} ${message}`;
    },
    (error: Error & { code?: string }) => `${error.code} ${error.message}`,
  );
}

describe('unread formats - by name', () => {
  const digest = 'ab'.repeat(32);
  it.each<[string, Buffer]>([
    ['a 7-Zip archive', padded('7z\xbc\xaf\x27\x1c')],
    ['a RAR archive', padded('Rar!\x1a\x07\x01\x00')],
    ['an ar archive or a Debian package', padded('!<arch>\ndebian-binary')],
    ['a cpio archive', padded('070701')],
    ['a QED image', padded('QED\0')],
    ['a Parallels image', padded('WithoutFreeSpace')],
    ['an Apple disk image (dmg)', Buffer.concat([Buffer.alloc(8192, 7), padded('koly', 508)])],
    ['an image of partclone', padded('partclone-image')],
    ['a Windows image (WIM)', padded('MSWIM\0\0\0')],
    ['an LZMA file', Buffer.concat([Buffer.from([0x5d, 0, 0, 0x80, 0]), Buffer.alloc(8, 255), Buffer.alloc(100)])],
    ['an RPM package', padded('\xed\xab\xee\xdb')],
    ['a list of checksums', text(`${digest}  golden.img\n`)],
    ['a list of checksums', text(`${digest.slice(0, 32)} *golden.img\r\n`)],
    ['a list of checksums', text(`# of a release\nSHA256 (golden.img) = ${digest}\n`.replace(/^#.*\n/, ''))],
    ['a list of checksums', text(digest)],
    ['a PGP signature', text('-----BEGIN PGP SIGNATURE-----\n\niQIz\n')],
    ['a PGP signature', Buffer.concat([Buffer.from([0x89, 0x00, 0x33, 4, 0]), Buffer.alloc(0x33 - 2)])],
    ['a signature of minisign or signify', text('untrusted comment: signature\nRWQ\n')],
    ['a web page (HTML)', text('\xef\xbb\xbf\n <!DOCTYPE html>\n<html><body>Not found</body></html>')],
    ['a web page (HTML)', text('<!-- x -->\n<html lang="en">')],
    ['an XML document', text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>')],
    ['a JSON document', text('{"message": "Not Found"}')],
    ['a Git LFS pointer', text('version https://git-lfs.github.com/spec/v1\noid sha256:00\n')],
    ['an ELF program', padded('\x7fELF\x02\x01\x01')],
    ['a script', text('#!/bin/sh\nexit 0\nPK\x03\x04\0\x08\xff')],
    [
      'a Windows program',
      Buffer.concat([padded('MZ', 58), Buffer.from([0x80, 0, 0, 0]), padded('', 64), padded('PE\0\0')]),
    ],
    ['a zip archive behind other bytes', Buffer.concat([Buffer.alloc(4096, 7), zipOf([{ name: 'a', content: disk }])])],
    ['a PDF document', padded('%PDF-1.7')],
  ])('%s is not copied, from a file, in gzip and in a tar', async (name, bytes) => {
    const refused = expect.stringContaining(`FORMAT_UNKNOWN`);
    expect(await refusal(bytes)).toEqual(refused);
    expect(await refusal(bytes)).toContain(`is ${name}`);
    // What only the end tells is not known of a stream before it.
    if (!name.includes('dmg')) expect(await refusal(gzipSync(bytes))).toContain(`is ${name}`);
    const inTar = await refusal(tarOf([{ name: 'folder/it', content: bytes }]));
    expect(inTar).toMatch(/^FORMAT_UNKNOWN .*is a tar archive without an image in it: it holds folder\/it/);
  });

  it('is not believed of a disk whose first sector ends like a boot sector', async () => {
    const bytes = diskBytes(MIB);
    bytes.write('\x7fELF', 0, 'latin1');
    expect(await refusal(bytes)).toBe('null ');
  });

  it('is copied as it is with --format raw', async () => {
    expect(await refusal(text(`${digest}  golden.img\n`), { format: 'raw' })).toBe('null ');
  });
});

describe('a format that was named - is an error where the source shows another, by name', () => {
  it.each<[string, Buffer, string]>([
    ['gzip', disk, 'no format that is known'],
    ['xz', gzipSync(disk), 'gzip'],
    ['zip', tarOf([{ name: 'disk.img', content: disk }]), 'tar'],
    ['qcow2', gzipSync(disk), 'gzip'],
    ['android-sparse', disk, 'no format that is known'],
  ])('%s', async (format, bytes, found) => {
    expect(await refusal(bytes, { format })).toMatch(
      new RegExp(`^FORMAT_UNKNOWN .*is not in the format ${format}: it shows ${found}`),
    );
  });
});

describe('containers - not exactly one image', () => {
  const readme = { name: 'README', content: Buffer.alloc(2000, 'read me ') };
  const image = { name: 'a.img', content: disk };
  const second = { name: 'b.img', content: diskBytes(MIB, 2) };

  it.each<[string, Buffer, RegExp]>([
    ['tar without', tarOf([readme]), /is a tar archive without an image in it: it holds README/],
    ['tar with nothing', tarOf([]), /^(FORMAT_UNKNOWN|null)/],
    ['tar.gz without', gzipSync(tarOf([readme])), /is a tar archive without an image in it: it holds README/],
    ['zip without', zipOf([readme]), /is a zip archive without an image in it: it holds README/],
    ['zip with nothing', zipOf([]), /is a zip archive without an image in it: it holds no file/],
    ['tar with two', tarOf([image, readme, second]), /more than one image, a.img and b.img/],
    ['tar.gz with two', gzipSync(tarOf([image, readme, second])), /more than one image, a.img and b.img/],
    ['zip with two', zipOf([image, second]), /more than one image, a.img and b.img/],
    ['zip in gzip with two', gzipSync(zipOf([image, second])), /more than one image, a.img and b.img/],
    [
      'tar with one in gzip beside another',
      gzipSync(tarOf([image, { name: 'b.img.gz', content: gzipSync(disk) }])),
      /more than one image, a.img and b.img.gz/,
    ],
    ['OVA', tarOf([{ name: 'vm.ovf', content: text('<?xml') }, image]), /is an OVA/],
    ['archive in an archive', tarOf([{ name: 'in.zip', content: zipOf([image]) }]), /in.zip \(a zip archive\)/],
  ])('%s', async (_, bytes, words) => {
    expect(await refusal(bytes)).toMatch(words);
  });

  it('a second image in a tar is found before anything is read of a seekable source', async () => {
    const uri = bench.write('image', tarOf([image, second]));
    await expect(bench.open({ uri })).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
  });
});

describe('containers - members that cannot be read', () => {
  const member = (flags: number, method: number): ZipMember => ({ name: 'a.img', content: disk, flags, method });

  it.each<[string, Buffer, RegExp]>([
    ['encrypted', zipOf([member(1, 0)]), /a.img, which is encrypted/],
    ['encrypted, from a stream', gzipSync(zipOf([member(1, 0)])), /a.img, which is encrypted/],
    ['by a method of others', zipOf([member(0, 93)]), /by a method that is not read \(zstd\)/],
    ['by a method of nobody', gzipSync(zipOf([member(0, 77)])), /by a method that is not read \(number 77\)/],
    ['stored, its end only behind it', gzipSync(zipOf([member(8, 0)])), /a.img, which is stored, and only what comes/],
    [
      'sparse of GNU',
      Buffer.concat([tarHeader('a.img', 512, 'S'), Buffer.alloc(1536)]),
      /a.img, which is stored with its holes/,
    ],
    ['a volume of several', Buffer.concat([tarHeader('a.img', 512, 'M'), Buffer.alloc(1536)]), /one volume of several/],
  ])('%s', async (_, bytes, words) => {
    const message = await refusal(bytes);
    expect(message).toMatch(words);
    expect(message).toMatch(/^FORMAT_UNKNOWN/);
  });

  it.each(['qcow2', 'vmdk', 'vhdx', 'vdi', 'vpc'])(
    'an image in %s within gzip needs reading at any offset',
    async (format) => {
      const bytes = gzipSync(bench.bytes(bench.convert(format, 'disk', disk).split('/').at(-1) ?? ''));
      expect(await refusal(bytes)).toMatch(new RegExp(`^FORMAT_UNKNOWN .* an image in ${format}: `));
    },
  );

  it('a VHD of the fixed kind within gzip, which only its end tells, is refused there', async () => {
    bench.convert('vpc', 'disk', diskBytes(2 * MIB), '-o', 'subformat=fixed,force_size=on');
    expect(await refusal(gzipSync(bench.bytes('disk')))).toMatch(/^FORMAT_UNKNOWN .* an image in vpc/);
  });
});

describe('damage - is SOURCE_CORRUPT, never a short image', () => {
  const zip = zipOf([{ name: 'a.img', content: disk }]);
  const tar = tarOf([{ name: 'a.img', content: disk }]);
  const flip = (bytes: Buffer, at: number): Buffer => {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    return damaged;
  };
  const chunk = { raw: disk.subarray(0, 16 * SPARSE_BLOCK_BYTES) };
  it.each<[string, Buffer]>([
    ['a zip cut off', zip.subarray(0, -10)],
    ['a zip cut off, from a stream', gzipSync(zip.subarray(0, -10))],
    ['a zip cut off in its member, from a stream', gzipSync(zip.subarray(0, 9999))],
    ['a zip with a wrong byte in its image', flip(zip, 300_000)],
    ['a zip with a wrong byte in its image, from a stream', gzipSync(flip(zip, 300_000))],
    ['a tar cut off in its member', tar.subarray(0, 99_999)],
    ['a tar cut off in its member, from a stream', gzipSync(tar.subarray(0, 99_999))],
    ['a tar without its end', gzipSync(tar.subarray(0, -1024))],
    [
      'a tar with a wrong header',
      gzipSync(Buffer.concat([tar.subarray(0, -1024), Buffer.alloc(512, 'x'), Buffer.alloc(1024)])),
    ],
    ['a sparse image cut off', androidSparse([chunk, { skip: 4 }]).subarray(0, -12)],
    ['a sparse image with a chunk too many', androidSparse([chunk], { chunks: 2 })],
    ['a sparse image that is shorter than it says', androidSparse([chunk], { blocks: 17 })],
    ['a sparse image that is longer than it says', androidSparse([chunk], { blocks: 15 })],
    ['a sparse image with a wrong check sum', androidSparse([chunk], { checksum: 1 })],
    ['a sparse image with a wrong check sum in a chunk', androidSparse([chunk, { crc: 1 }])],
  ])('%s', async (_, bytes) => {
    expect(await refusal(bytes)).toMatch(/^SOURCE_CORRUPT/);
  });
});

test('refused - from a pipe too: a web page, a qcow2, a second image at the end', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', diskBytes(2 * MIB));
    stage.tool('qemu-img', 'qemu-utils', ['convert', '-O', 'qcow2', image.path, stage.path('golden.qcow2')]);
    stage.write('two.tar', tarOf([1, 2].map((seed) => ({ name: `${seed}.img`, content: diskBytes(2 * MIB, seed) }))));
    stage.write('page', text('<!DOCTYPE html><html>'));
    for (const [name, words] of [
      ['page', /is a web page/],
      ['golden.qcow2', /in qcow2.* at any offset/],
      ['two.tar', /more than one image, 1.img and 2.img/],
    ] as const) {
      const copy = stage.copy(['--json', '--quiet', '-', stage.target('a')], { stdin: 'pipe' });
      copy.child.stdin?.on('error', () => copy.child.stdin?.destroy());
      copy.child.stdin?.end(readFileSync(stage.path(name)));
      await expectFailure(copy, 'FORMAT_UNKNOWN', words);
      expect(stage.targets).not.toContain('a');
    }
  }));

test('refused - a list of checksums named as the source is told with a line, and with status 3', () =>
  onStage(async (stage) => {
    const list = stage.write('SHA256SUMS', text(`${'0'.repeat(64)}  golden.img\n`));
    await expectFailure(stage.copy([list.path, stage.target('a')]), 'FORMAT_UNKNOWN', /is a list of checksums/);
    expect(stage.targets).toEqual([]);
  }));
