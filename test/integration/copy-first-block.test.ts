// A disk that is not complete must not look like one: whatever ends a copy before its end, its first block is zeros, and so
// is the block at the end of the disk where the backup of a GPT lies. Only a copy that is right in every other byte has them.
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { patchwork, randomBytesOf, writeSparse } from '../rig/content.ts';
import type { CopyProcess } from '../rig/copy-process.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
const WRONG = `sha256:${'0'.repeat(64)}`;

function bytesAt(path: string, offset: number, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
  } finally {
    closeSync(fd);
  }
}

function isZero(path: string, offset: number, length: number): boolean {
  return bytesAt(path, offset, length).every((byte) => byte === 0);
}

function hexOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** A loop device full of something else. */
function usedDisk(stage: Stage, name: string, sizeBytes: number): string {
  writeFileSync(stage.path(name), randomBytesOf(77, sizeBytes));
  return stage.loop(stage.path(name));
}

interface Request {
  readonly kind: string;
  readonly offset: number;
  readonly count: number;
}

/** What nbdkit's log filter saw, in order. */
function requestsOf(log: string): Request[] {
  const lines = readFileSync(log, 'utf8').matchAll(
    / (Read|Write|Flush|Zero|Trim) id=\d+ (?:offset=(\w+) count=(\w+))?/g,
  );
  return [...lines].map(([, kind = '', offset, count]) => ({
    kind,
    offset: Number(offset ?? 0),
    count: Number(count ?? 0),
  }));
}

function recordsOf(stage: Stage): string[] {
  const names = readdirSync(stage.state, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.resume')).map((name) => join(stage.state, name));
}

const half = (copy: { consumers: readonly { blocksLeft: number }[] }): boolean => copy.consumers[0]?.blocksLeft === 32;

test.each(['SIGKILL', 'SIGINT'] as const)(
  'first block - a copy that ends half-way by %s leaves no first block, and --resume brings it',
  (signal) =>
    onStage(async (stage) => {
      const content = randomBytesOf(5, 64 * BLOCK);
      const disks = [usedDisk(stage, 'same', 64 * BLOCK), usedDisk(stage, 'larger', 80 * BLOCK)];
      for (const disk of disks) {
        const source = await GatedSource.start(stage, content, 32 * BLOCK);
        const copy = stage.copyJson('--yes', ...SHAPE, source.uri, disk);
        // 31 of the first half are on the disk, the first one is taken and in memory.
        await stage.sees('half of it', half);
        // A record without blocks is there from the start; the next one has a digest for each block.
        await eventually('a record', () =>
          recordsOf(stage).some((path) => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 64 * 16),
        );
        await copy.kill(signal);
        source.open();
        await eventually('the producer has gone', () => stage.producers.length === 0);
        expect(isZero(disk, 0, BLOCK)).toBe(true);
        expect(isZero(disk, BLOCK, BLOCK)).toBe(false);
        expect(isZero(disk, 63 * BLOCK, BLOCK)).toBe(disk === disks[0]);
        const before = source.reads.length;
        // Verification would find a first block that the record has and the disk has not, so one goes on without it.
        const verify = disk === disks[0] ? ['--verify'] : [];
        const resumed = await stage.copyJson('--resume', ...verify, ...SHAPE, source.uri, disk).good();
        expect(source.reads.slice(before).some(({ offsetBytes }) => offsetBytes === 0)).toBe(true);
        expect(resumed.bytesReused + resumed.bytesCopied).toBe(content.length);
        expect(resumed.bytesReused).toBeGreaterThanOrEqual(15 * BLOCK);
        expect(stage.difference(disk, content)).toBe(null);
      }
    }),
);

interface Failing {
  readonly code: string;
  start(stage: Stage, image: string, disk: string): CopyProcess;
  during?(stage: Stage, image: string): Promise<void>;
}

const failing: Readonly<Record<string, Failing>> = {
  'another digest than the expected one': {
    code: 'DIGEST_MISMATCH',
    start: (stage, image, disk) => stage.copyJson('--yes', ...SHAPE, '--expect', WRONG, image, disk),
  },
  'another digest, in blocks of the default size': {
    code: 'DIGEST_MISMATCH',
    start: (stage, image, disk) => stage.copyJson('--yes', '--verify', '--expect', WRONG, image, disk),
  },
  'a source that is written meanwhile': {
    code: 'SOURCE_CHANGED',
    start: (stage, image, disk) => stage.copyJson('--yes', ...SHAPE, '--limit', '3M', image, disk),
    during: async (stage, image) => {
      await stage.sees('a few blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
      utimesSync(image, 1, 1);
    },
  },
};

test.each(Object.keys(failing))('first block - is not written after %s', (name) =>
  onStage(async (stage) => {
    const { code, start, during } = failing[name] as Failing;
    const image = stage.image('golden.img', 4 * MIB);
    const disk = usedDisk(stage, 'disk', 4 * MIB);
    const copy = start(stage, image.path, disk);
    await during?.(stage, image.path);
    expect((await copy.result()).targets[0]?.error?.code).toBe(code);
    expect(isZero(disk, 0, BLOCK)).toBe(true);
    expect(isZero(disk, 4 * MIB - 512, 512)).toBe(true);
  }),
);

test('first block - is zeroed and flushed first, and written last, after all else was flushed and read back', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * BLOCK - 100);
    const expected = ['--expect', `sha256:${hexOf(image.content)}`];
    for (const size of [16, 20]) {
      const server = await stage.nbdkit({
        filters: ['log'],
        plugin: ['file', 'FOLDER/disk', 'logfile=FOLDER/log'],
        files: { disk: randomBytesOf(9, size * BLOCK) },
      });
      await stage.copyJson('--yes', '--verify', ...expected, ...SHAPE, image.path, server.uri).good();
      expect(stage.difference(join(server.folder, 'disk'), image.content)).toBe(null);
      const seen = requestsOf(join(server.folder, 'log'));
      const changes = seen.filter(({ kind }) => kind !== 'Read');
      expect(changes[0]).toMatchObject({ offset: 0, count: BLOCK });
      // Before the flush nothing but zeros: of the first block, and of the last one where the image reaches to the end.
      expect(changes.findIndex(({ kind }) => kind === 'Flush')).toBe(size === 16 ? 2 : 1);
      const writes = seen.filter(({ kind }) => kind === 'Write');
      const ofHead = writes.filter(({ offset }) => offset < BLOCK);
      expect(ofHead).toEqual(writes.slice(-2));
      expect(ofHead.map(({ offset }) => offset)).toEqual([4096, 0]);
      const last = seen.lastIndexOf(ofHead[0] as Request);
      // Every other block was read back before, and flushed.
      const before = seen.slice(0, last).filter(({ kind }) => kind === 'Read');
      for (let block = 1; block < 16; block++) expect(before.map(({ offset }) => offset)).toContain(block * BLOCK);
      const ends = ['Write', 'Flush', 'Read', 'Write', 'Flush', 'Read'];
      expect(seen.slice(last).map(({ kind }) => kind)).toEqual(ends);
    }
  }));

test('first block - a target that fails at its last writes has none', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * BLOCK);
    for (const failAt of [0, 4096]) {
      // Of the writes at 0 the first is that of the zeros, the second that of the image, the third that of zeros again.
      const which = failAt === 0 ? '[ $(wc -l < FOLDER/count) -eq 2 ]' : 'true';
      const fails = `if [ $4 -eq ${failAt} ]; then echo >> FOLDER/count; if ${which}; then echo EIO >&2; exit 1; fi; fi;`;
      const server = await stage.nbdkit({
        plugin: [
          'eval',
          'get_size=stat -Lc %s FOLDER/disk',
          'pread=dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none',
          `pwrite=${fails} dd of=FOLDER/disk conv=notrunc oflag=seek_bytes seek=$4 bs=64K iflag=fullblock status=none`,
          'can_write=exit 0',
          'can_flush=exit 0',
          'flush=exit 0',
          'thread_model=echo serialize_all_requests',
        ],
        files: { disk: randomBytesOf(3, 18 * BLOCK) },
      });
      const result = await stage.copyJson('--yes', ...SHAPE, image.path, server.uri).result();
      expect(result.targets[0]?.error?.code).toBe('TARGET_WRITE_FAILED');
      const disk = join(server.folder, 'disk');
      expect(isZero(disk, 0, BLOCK)).toBe(true);
      expect(bytesAt(disk, BLOCK, 15 * BLOCK).equals(image.content.subarray(BLOCK))).toBe(true);
    }
  }));

test('first block - a medium that lies there is written again, then told about, and has none', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * BLOCK);
    for (const [times, ok] of [
      [2, true],
      [99, false],
    ] as const) {
      // Loses what is written to the first page, but for zeros.
      const lie = [
        `if [ $4 -eq 0 ] && [ $3 -eq 4096 ] && [ $(wc -l < FOLDER/lost) -lt ${times} ]; then`,
        'echo >> FOLDER/lost; cat >/dev/null; exit 0; fi;',
      ].join(' ');
      const server = await stage.nbdkit({
        plugin: [
          'eval',
          'get_size=stat -Lc %s FOLDER/disk',
          'pread=dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none',
          `pwrite=${lie} dd of=FOLDER/disk conv=notrunc oflag=seek_bytes seek=$4 bs=64K iflag=fullblock status=none`,
          'can_write=exit 0',
          'can_flush=exit 0',
          'flush=exit 0',
          'thread_model=echo serialize_all_requests',
        ],
        files: { disk: randomBytesOf(3, 18 * BLOCK), lost: '' },
      });
      const [target] = (await stage.copyJson('--yes', '--verify', ...SHAPE, image.path, server.uri).result()).targets;
      expect(target?.ok).toBe(ok);
      const disk = join(server.folder, 'disk');
      if (ok) {
        expect(stage.difference(disk, image.content)).toBe(null);
        continue;
      }
      expect(target?.error).toMatchObject({
        code: 'VERIFY_MISMATCH',
        message: expect.stringContaining('4096 bytes at 0'),
      });
      expect(isZero(disk, 0, BLOCK)).toBe(true);
    }
  }));

test('first block - is read once for all, also for who comes late', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(5, 64 * BLOCK);
    const source = await GatedSource.start(stage, content, 32 * BLOCK);
    const disks = ['one', 'two', 'three'].map((name) => usedDisk(stage, name, 64 * BLOCK));
    const first = stage.copyJson('--yes', ...SHAPE, source.uri, disks[0] ?? '', disks[1] ?? '');
    await stage.sees('half of it', half);
    const late = stage.copyJson('--yes', source.uri, disks[2] ?? '');
    await stage.sees('the late one', ({ consumers }) => (consumers[2]?.startBlock ?? -1) > 0);
    source.open();
    const results = [await first.result(), await late.result()];
    expect(results.map(({ ok }) => ok)).toEqual([true, true]);
    for (const disk of disks) expect(stage.difference(disk, content)).toBe(null);
    // With the first two, and in the sweep that the late one needs anyway.
    expect(source.reads.filter(({ offsetBytes }) => offsetBytes === 0)).toHaveLength(2);
    expect(source.bytesRead).toBeLessThanOrEqual(content.length + 32 * BLOCK);
  }));

const sizes = [1, 511, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 512] as const;

test.each(['known', 'not known'])(
  'first block - images of every size arrive whole, and what lies behind them stays; length %s',
  (length) =>
    onStage(async (stage) => {
      const old = randomBytesOf(77, 3 * BLOCK);
      writeFileSync(stage.path('disk'), old);
      const disk = stage.loop(stage.path('disk'));
      const known = length === 'known';
      for (const [index, size] of sizes.entries()) {
        const image = stage.image(`${index}.img`, size, index + 1);
        const args = ['--json', '--quiet', '--yes', '--verify', '--digest', 'sha256', '--block-size'];
        const from = [index % 2 === 0 ? '64K' : '1M', known ? image.path : '-', disk];
        const copy = stage.copy([...args, ...from], known ? {} : { stdin: 'pipe' });
        if (!known) createReadStream(image.path).pipe(copy.child.stdin as NodeJS.WritableStream);
        expect((await copy.good()).digest).toBe(`sha256:${hexOf(image.content)}`);
        image.content.copy(old);
        expect([size, stage.difference(disk, old)]).toEqual([size, null]);
      }
    }),
);

test('first block - of a stream that is shorter than --bytes, or cut by it, nothing behind it changes', () =>
  onStage(async (stage) => {
    const old = randomBytesOf(77, 3 * BLOCK);
    writeFileSync(stage.path('disk'), old);
    const disk = stage.loop(stage.path('disk'));
    for (const [size, bytes] of [
      [5000, 100_000],
      [100_000, 5000],
    ] as const) {
      const image = stage.image(`${size}.img`, size, size);
      const args = ['--json', '--quiet', '--yes', '--verify', '--block-size', '64K', '--bytes', `${bytes}`, '-', disk];
      const copy = stage.copy(args, { stdin: 'pipe' });
      createReadStream(image.path).pipe(copy.child.stdin as NodeJS.WritableStream);
      await copy.good();
      image.content.copy(old, 0, 0, Math.min(size, bytes));
      expect(stage.difference(disk, old)).toBe(null);
    }
  }));

test('first block - a stream that does not fit a disk of one block leaves none', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * BLOCK);
    const disk = usedDisk(stage, 'disk', 2 * BLOCK);
    const copy = stage.copy(['--json', '--quiet', '--yes', '--block-size', '256K', '-', disk], { stdin: 'pipe' });
    copy.child.stdin?.end(image.content);
    expect((await copy.result()).targets[0]?.error?.code).toBe('TARGET_TOO_SMALL');
    expect(isZero(disk, 0, 2 * BLOCK)).toBe(true);
  }));

test('first block - of zeros, in a hole, and cut by --bytes', () =>
  onStage(async (stage) => {
    const content = patchwork(8, BLOCK, '.##..#..');
    writeSparse(stage.path('sparse.img'), content, BLOCK);
    writeFileSync(stage.path('full.img'), content);
    stage.allow(content);
    for (const name of ['sparse.img', 'full.img']) {
      const disk = usedDisk(stage, `${name}.disk`, 8 * BLOCK);
      await stage.copyJson('--yes', '--verify', ...SHAPE, stage.path(name), disk).good();
      expect(stage.difference(disk, content)).toBe(null);
      const old = randomBytesOf(77, 8 * BLOCK);
      const cut = usedDisk(stage, `${name}.cut`, 8 * BLOCK);
      const cutAt = BLOCK + BLOCK / 2;
      await stage.copyJson('--yes', '--verify', ...SHAPE, '--bytes', `${cutAt}`, stage.path(name), cut).good();
      expect(stage.difference(cut, Buffer.concat([content.subarray(0, cutAt), old.subarray(cutAt)]))).toBe(null);
    }
  }));

test('first block - one that cannot be read fails the copy, or is zeros with --on-read-error zero', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * BLOCK);
    const read = 'dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none';
    const source = await stage.nbdkit({
      plugin: [
        'eval',
        'get_size=stat -Lc %s FOLDER/disk',
        `pread=if [ $4 -lt ${BLOCK} ]; then echo EIO >&2; exit 1; fi; ${read}`,
      ],
      files: { disk: image.content },
    });
    const disk = usedDisk(stage, 'disk', 8 * BLOCK);
    const failed = await stage.copyJson('--yes', ...SHAPE, source.uri, disk).result();
    expect(failed.targets[0]?.error?.code).toBe('SOURCE_READ_FAILED');
    expect(isZero(disk, 0, BLOCK)).toBe(true);
    const args = ['--yes', '--verify', ...SHAPE, '--on-read-error', 'zero'];
    const target = await stage.copyJson(...args, source.uri, disk).good();
    expect(target.unreadable).toEqual([{ offsetBytes: 0, lengthBytes: BLOCK }]);
    expect(stage.difference(disk, Buffer.concat([Buffer.alloc(BLOCK), image.content.subarray(BLOCK)]))).toBe(null);
  }));

test('first block - of a target that was left behind by the others', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 12 * MIB);
    const slow = await stage.nbdkit({
      filters: ['rate'],
      plugin: ['file', 'FOLDER/disk', 'rate=32M', 'burstiness=0.1'],
      files: { disk: randomBytesOf(77, 12 * MIB) },
    });
    const names = ['a', 'b'].map((name) => stage.target(name));
    const args = ['--yes', '--verify', '--block-size', '256K', '--buffer', '1M'];
    const result = await stage.copyJson(...args, image.path, slow.uri, ...names).result();
    expect(result.ok).toBe(true);
    expect(stage.difference(join(slow.folder, 'disk'), image.content)).toBe(null);
  }));
