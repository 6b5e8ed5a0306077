// Inputs that the fuzzer found, each with what is right for it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runTool } from '../../src/base/mod.ts';
import { digestFor } from '../../src/cli/digest-file.ts';
import { canonicalNbdUri, reachableNbdUri } from '../../src/replication/device/nbd-uri.ts';
import { readSparseImage } from '../../src/replication/source/android-sparse.ts';
import { fixedVhd } from '../../src/replication/source/fixed-vhd.ts';
import { identifySource } from '../../src/replication/source/mod.ts';
import { qemuError } from '../../src/replication/source/qemu.ts';
import { readRange, SeekingReader } from '../../src/replication/source/seeking-reader.ts';
import { tarMembers } from '../../src/replication/source/tar.ts';
import { upToXzEnd } from '../../src/replication/source/xz-end.ts';
import { zipStreamMembers } from '../../src/replication/source/zip-stream.ts';
import { recordAt } from '../../src/replication/target/record-place.ts';
import { loadRecord } from '../../src/replication/target/resume-record.ts';
import { androidSparse, tarOf } from '../support/packed-image.ts';
import { BoundedReader, bytesAsSource, collect, inPieces, QUIET } from './bytes.ts';
import { DISK, Workshop } from './seeds.ts';
import { repairVhd, wrongHead } from './tables.ts';

let shop: Workshop;
beforeAll(() => {
  shop = new Workshop();
});
afterAll(() => shop.clear());

describe('found by the fuzzer', () => {
  test.each([1, 100, -2, -30])('a zip in a stream whose sizes come behind the member, cut at %d', async (cut) => {
    const bytes = shop.run('zip', 'zip', ['-q', '-', '-'], DISK);
    const first = cut < 0 ? bytes.length + cut : cut;
    const members = zipStreamMembers(new BoundedReader(inPieces(bytes, [first])), QUIET);
    const contents: Buffer[] = [];
    for await (const member of members) contents.push((await collect(member.open(), 1e6)).bytes);
    expect(contents).toEqual([DISK]);
  });

  test('a member of a tar in a file that has become shorter', async () => {
    const whole = tarOf([{ name: 'disk.img', content: DISK }]);
    const source = bytesAsSource(whole.subarray(0, 4000));
    const reopen = (at: number, length: number) => readRange(source, at, length);
    const options = { uri: 'input', stored: true, reopen, onWarning: () => undefined };
    const member = (await tarMembers(new SeekingReader(source), options).next()).value;
    await expect(collect(member?.open() ?? inPieces(whole, []), 1e6)).rejects.toThrow(
      /ends within its member disk.img/,
    );
  });

  test('an Android sparse image of more bytes than there are numbers', async () => {
    const bytes = androidSparse([{ skip: 1 }], { blocks: 2 ** 32 - 1 });
    bytes.writeUInt32LE(64 * 1024 * 1024, 12);
    const read = readSparseImage(new BoundedReader(inPieces(bytes, [])), 'input', () => undefined);
    await expect(read).rejects.toMatchObject({ code: 'SOURCE_CORRUPT' });
  });

  test('a VHD that is nothing but its footer', () => {
    shop.run('qemu-img', 'qemu-utils', [
      'convert',
      '-f',
      'raw',
      '-O',
      'vpc',
      '-o',
      'subformat=fixed,force_size=on',
      'disk.img',
      'f.vhd',
    ]);
    const footer = Uint8Array.from(shop.read('f.vhd').subarray(-512));
    footer.fill(0, 40, 56);
    repairVhd(footer);
    expect(() => fixedVhd(footer, 512, 'input')).toThrow(expect.objectContaining({ code: 'SOURCE_EMPTY' }));
  });

  test('data behind the end of xz data, longer than what is searched', async () => {
    const xz = shop.run('xz', 'xz-utils', ['-c'], DISK);
    const bytes = Buffer.concat([xz, Buffer.alloc(6000, 7)]);
    const said: string[] = [];
    const run = (sizes: readonly number[]) =>
      collect(
        upToXzEnd(inPieces(bytes, sizes), (...what) => said.push(what.join()), 4096),
        1e6,
      );
    const [one, other] = [await run([]), await run([1000])];
    expect(one.bytes.equals(other.bytes)).toBe(true);
    expect(said).toEqual([]);
  });

  test.each([
    'null',
    '[',
    '3',
    '{}',
    '{"version":2}',
    '{"version":2,"blockCount":"8"}',
    '{"version":2,"blockCount":-1}',
  ])('a record whose check sum is right and whose head is %s', (text) => {
    const path = shop.write('wrong.resume', wrongHead(text).bytes);
    expect(() => loadRecord(recordAt(path))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^RESUME_/) }),
    );
  });

  test('a line of digests that was cut off', () => {
    const text = `SHA256 (disk.img) = ${'ab'.repeat(17)}\n`;
    expect(() => digestFor(text, 'SHA256SUMS', 'disk.img')).toThrow(
      expect.objectContaining({ code: 'DIGEST_FILE_INVALID' }),
    );
  });

  test('names with a NUL, and a host with a slash', async () => {
    const usage = expect.objectContaining({ code: 'USAGE' });
    expect(() => canonicalNbdUri('nbd+unix:///?socket=/run/a%00b')).toThrow(usage);
    expect(() => canonicalNbdUri('nbd://host%2Fexport')).toThrow(usage);
    await expect(identifySource({ uri: 'nbd+unix:///?socket=/run/a%00b' })).rejects.toEqual(usage);
    await expect(identifySource({ uri: '/tmp/a\0b' })).rejects.toEqual(usage);
  });

  test('an export whose name looks like a part of the query', () => {
    expect(reachableNbdUri('nbd://host/a;socket=b')).toBe('nbd://host/a;socket=b');
    expect(reachableNbdUri('nbd+unix:///?x=1;socket=/run/b')).toBe('nbd+unix:///?x=1;socket=/run/b');
  });

  test('a zone in the address of an NBD server has one spelling', () => {
    const canonical = canonicalNbdUri('nbd://[fe80::1%252]/');
    expect(canonicalNbdUri(canonical)).toBe(canonical);
  });

  test('a VHD that is cut off is damaged, whatever driver of QEMU says so', () => {
    const said = (text: string) => qemuError('input', `qemu-img: Could not open 'json:{}': ${text}`).code;
    expect(said('block-vpc: free_data_block_offset points after the end of file. The image has been truncated.')).toBe(
      'SOURCE_CORRUPT',
    );
    expect(said('Failed to get shared "write" lock')).toBe('SOURCE_UNAVAILABLE');
  });

  test('a program that crashes over its input is told from one that takes too long', async () => {
    expect(await runTool('/bin/sh', ['-c', 'kill -ABRT $$'])).toMatchObject({ status: null, crash: 'SIGABRT' });
    const late = await runTool('/bin/sleep', ['1000'], { timeoutMs: 50 });
    expect(late).toMatchObject({ status: null, crash: null });
  });
});
