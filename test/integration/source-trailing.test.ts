// Data behind the last member of a compressed image that are no member: told about, and not an error. A member that is
// damaged is one.
import { closeSync, openSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { identifySource, prepareSource } from '../../src/replication/source/mod.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage } from '../rig/stage.ts';
import { diskBytes } from '../support/packed-image.ts';
import { SourceBench } from '../support/source-bench.ts';
import { SourceClient } from '../support/source-client.ts';

const FORMATS = ['gzip', 'xz', 'zstd', 'bzip2', 'lz4'];
const MIB = 1024 * 1024;
const disk = diskBytes(2 * MIB);

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

async function read(bytes: Uint8Array): Promise<{ bytes: Uint8Array; code: string | null; warnings: string[] }> {
  const uri = bench.write('image', bytes);
  const warnings: string[] = [];
  const prepared = await prepareSource(await identifySource({ uri }), { onWarning: (text) => warnings.push(text) });
  bench.later(() => prepared.close());
  const client = await SourceClient.open(prepared.descriptor);
  bench.later(() => client.close());
  const answer = await client.readAll();
  return { bytes: answer.bytes, code: answer.code, warnings };
}

describe.each(FORMATS)('behind the end of %s', (format) => {
  it.each<[string, Buffer, boolean]>([
    ['metadata', Buffer.from('FWx0 metadata of OpenWrt\n'), true],
    ['a few bytes', Buffer.from('end\n'), true],
    ['one byte', Buffer.from('\n'), true],
    ['two bytes', Buffer.from('\r\n'), true],
    ['much more', Buffer.alloc(300_000, 'metadata '), true],
    ['zeros', Buffer.alloc(1024), false],
  ])('%s are not an error', async (_, behind, told) => {
    const answer = await read(Buffer.concat([bench.compress(format, disk), behind]));
    expect(answer.code).toBe(null);
    expect(disk.equals(answer.bytes)).toBe(true);
    // Some programs say nothing of zeros.
    if (told)
      expect(answer.warnings).toEqual([
        expect.stringMatching(new RegExp(`^ignored .*behind the end of the ${format}`)),
      ]);
  });

  it('a second member that is cut off or damaged is an error', async () => {
    const member = bench.compress(format, disk);
    const cut = await read(Buffer.concat([member, member.subarray(0, member.length >> 1)])).catch(
      (error: { code: string }) => error,
    );
    expect(cut.code).toBe('SOURCE_CORRUPT');
    // So little of it that the end of the first one is near.
    const short = await read(Buffer.concat([member, member.subarray(0, 5000)])).catch(
      (error: { code: string }) => error,
    );
    expect(short.code).toBe('SOURCE_CORRUPT');
    const damaged = Buffer.from(member).fill(0x55, member.length >> 1, (member.length >> 1) + 64);
    const broken = await read(Buffer.concat([member, damaged])).catch((error: { code: string }) => error);
    expect(broken.code).toBe('SOURCE_CORRUPT');
  });
});

test('trailing - xz and lz4 say from which byte on, xz how many', async () => {
  const packed = bench.compress('xz', disk);
  const { warnings } = await read(Buffer.concat([packed, Buffer.from('metadata')]));
  expect(warnings).toEqual([`ignored 8 bytes behind the end of the xz data, from byte ${packed.length} of them on`]);
  const lz4 = bench.compress('lz4', disk);
  const other = await read(Buffer.concat([lz4, Buffer.from('metadata')]));
  expect(other.warnings[0]).toContain(`from byte ${lz4.length} of them on`);
});

test('trailing - the copy succeeds, from a file and from a pipe, and JSON and standard error tell', () =>
  onStage(async (stage) => {
    stage.allow(disk);
    const bytes = Buffer.concat([bench.compress('gzip', disk), Buffer.from('metadata of OpenWrt\n')]);
    const { path } = stage.write('o.img.gz', bytes);
    const words = /ignored data behind the end of the gzip data/;
    const result = await stage.copyJson(path, stage.target('a')).result();
    expect(result).toMatchObject({ ok: true, source: { warnings: [expect.stringMatching(words)] } });
    const piped = stage.copy(['--quiet', '-', stage.target('b')], { stdin: 'pipe' });
    piped.child.stdin?.end(readFileSync(path));
    expect((await piped.ended).status).toBe(0);
    expect(piped.stderr).toMatch(/^understudy: warning: standard input: ignored data behind/);
    for (const name of ['a', 'b']) expect(stage.difference(name, disk)).toBe(null);
  }));

// A byte that is missing must not be taken from what is put behind the data.
test.each(FORMATS)('trailing - %s that lacks its last byte, or few of them, is damaged', async (format) => {
  const packed = bench.compress(format, disk);
  for (const missing of [1, 2, 4, 8]) {
    const answer = await read(packed.subarray(0, packed.length - missing)).catch((error: { code: string }) => error);
    expect([missing, answer.code]).toEqual([missing, 'SOURCE_CORRUPT']);
  }
});

test('trailing - gzip data in a pipe that lack their last byte, which is a zero, are damaged', () =>
  onStage(async (stage) => {
    const { path } = stage.write('cut.gz', bench.compress('gzip', disk).subarray(0, -1));
    const wrap = ['sh', '-c', `cat '${path}' | "$@"`, 'sh'];
    const copy = stage.copy(['--json', '-', stage.target('a')], { wrap });
    await expectFailure(copy, 'SOURCE_CORRUPT', /standard input.*unexpected end of file/);
  }));

test('trailing - one byte behind gzip data, from a file, a pipe and within a tar archive', () =>
  onStage(async (stage) => {
    stage.allow(disk);
    const packed = bench.compress('gzip', disk);
    const { path } = stage.write('o.img.gz', Buffer.concat([packed, packed, Buffer.from('\n')]));
    const twice = stage.allow(Buffer.concat([disk, disk]));
    stage.tool('tar', 'tar', ['-C', stage.folder, '-cf', stage.path('o.tar'), 'o.img.gz']);
    const words = /ignored data behind the end of the gzip data/;
    for (const [index, source] of [path, '-', stage.path('o.tar')].entries()) {
      const wrap = source === '-' ? ['sh', '-c', `cat '${path}' | "$@"`, 'sh'] : [];
      const result = await stage.copy(['--json', source, stage.target(`${index}`)], { wrap }).result();
      expect(result).toMatchObject({ ok: true, source: { warnings: [expect.stringMatching(words)] } });
      expect(stage.difference(`${index}`, twice)).toBe(null);
    }
    // The first byte of a member: perhaps the rest of one is missing.
    const begun = stage.write('begun.gz', Buffer.concat([packed, packed.subarray(0, 1)]));
    await expectFailure(stage.copyJson(begun.path, stage.target('x')), 'SOURCE_CORRUPT', /unexpected end of file/);
  }));

test.each([1, 1000, 200_000])(
  'trailing - %i bytes behind the end of a zip archive, from a file and from a pipe',
  (bytes) =>
    onStage(async (stage) => {
      stage.write('disk.img', disk);
      stage.tool('zip', 'zip', ['-q', '-1', '-j', stage.path('o.zip'), stage.path('disk.img')]);
      const { path } = stage.write(
        'o',
        Buffer.concat([readFileSync(stage.path('o.zip')), Buffer.alloc(bytes, 'behind ')]),
      );
      for (const source of [path, '-']) {
        const wrap = source === '-' ? ['sh', '-c', `cat '${path}' | "$@"`, 'sh'] : [];
        const result = await stage.copy(['--json', source, stage.target(`${source === '-'}`)], { wrap }).result();
        expect(result).toMatchObject({
          ok: true,
          source: { warnings: [`ignored ${bytes} bytes behind the end of the zip archive`] },
        });
        expect(stage.difference(`${source === '-'}`, disk)).toBe(null);
      }
      // An end of another archive within what is cut off is not its end.
      stage.tool('zip', 'zip', ['-q', '-0', '-j', stage.path('outer.zip'), stage.path('o.zip')]);
      const outer = readFileSync(stage.path('outer.zip'));
      const cut = stage.write('cut', outer.subarray(0, outer.lastIndexOf('PK\x01\x02') - 10));
      await expectFailure(stage.copyJson(cut.path, stage.target('x')), 'SOURCE_CORRUPT', /zip archive/);
    }),
);

test.each(['gzip', 'xz', 'zstd', 'bzip2', 'lz4'])(
  'trailing - a damaged %s is told of under the name that people know',
  (format) =>
    onStage(async (stage) => {
      const packed = bench.compress(format, disk);
      const { path } = stage.write('o', packed.subarray(0, packed.length >> 1));
      const fd = openSync(path, 'r');
      stage.defer(() => closeSync(fd));
      const file = stage.copy(['--json', '-', stage.target('a')], { stdin: fd });
      const pipe = stage.copy(['--json', '-', stage.target('b')], { wrap: ['sh', '-c', `cat '${path}' | "$@"`, 'sh'] });
      for (const copy of [file, pipe]) {
        await expectFailure(copy, 'SOURCE_CORRUPT', /^standard input is damaged: [A-Z]?[a-z]/);
        await expectFailure(copy, 'SOURCE_CORRUPT', /^(?!.*(stdin|\/bin\/|: - ))/);
      }
    }),
);
