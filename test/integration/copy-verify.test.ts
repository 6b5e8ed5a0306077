// Read back and compare; digests of the whole image.
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { patchwork, randomBytesOf, writeSparse } from '../rig/content.ts';
import { GatedSource, readsOf } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';
import type { NbdServer } from '../support/nbd-server.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** An NBD target that does with its `count`th write and all later ones at one place what `instead` says. */
function lyingTarget(
  stage: Stage,
  sizeBytes: number,
  lie: string,
  content: Buffer = Buffer.alloc(sizeBytes),
): Promise<NbdServer> {
  return stage.nbdkit({
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
    files: { disk: content },
  });
}

/** In the shell of such a target: writes at `offset` are lost while `condition` holds. */
function loses(offset: number, condition: string): string {
  return `if [ $4 -eq ${offset} ] && ${condition}; then echo >> FOLDER/lost; cat >/dev/null; exit 0; fi;`;
}

test.concurrent('verify - zeros in a stream of unknown length, in the middle and at its end, also for one who joins', () =>
  onStage(async (stage) => {
    const image = stage.write('image', patchwork(7, 64 * KIB, '#.#.####.#..###.'.repeat(8)));
    stage.tool('gzip', 'gzip', ['-k', '-1', image.path]);
    const shape = ['--verify', '--digest', 'sha256', '--block-size', '64K'];
    const first = stage.copyJson(...shape, '--limit', '2M', `${image.path}.gz`, stage.target('a'));
    await stage.sees('a third of it', ({ bytesRead }) => bytesRead > image.content.length / 3);
    const second = stage.copyJson(...shape, '--join', 'newest', `${image.path}.gz`, stage.target('b'));
    for (const copy of [first, second]) {
      expect(await copy.good()).toMatchObject({ verified: true, digest: sha256(image.content) });
    }
    expect([stage.difference('a', image.content), stage.difference('b', image.content)]).toEqual([null, null]);
  }));

function spoil(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from('spoilt'), 0, 6, offset);
  fsyncSync(fd);
  closeSync(fd);
}

test.concurrent.each(['file', 'block device'])(
  'verify - what was spoilt behind our back is written again: %s',
  (kind) =>
    onStage(async (stage) => {
      const image = stage.write('golden.img', patchwork(3, 64 * KIB, '######.#########################'.repeat(2)));
      writeFileSync(stage.path('disk'), randomBytesOf(7, 4 * MIB));
      const target = kind === 'file' ? stage.target('a') : stage.loop(stage.path('disk'));
      const copy = stage.copyJson('--yes', '--verify', '--limit', '1500K', '--block-size', '64K', image.path, target);
      await stage.sees('ten blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 54);
      // Written bytes, and zeros that were never written.
      for (const block of [5, 6]) spoil(kind === 'file' ? `${target}.partial` : target, block * 64 * KIB + 100);
      expect(await copy.good()).toMatchObject({ verified: true, bytesCopied: 4 * MIB });
      expect((await copy.result()).producer.bytesRead).toBeGreaterThanOrEqual(4 * MIB);
      expect(stage.difference(kind === 'file' ? 'a' : target, image.content)).toBe(null);
    }),
);

test.concurrent('verify - a server that loses a write or two is written to again, one that always does is told about', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const lost = 7 * 64 * KIB;
    for (const [times, ok] of [
      [1, true],
      [2, true],
      [3, false],
    ] as const) {
      const server = await lyingTarget(stage, MIB, loses(lost, `[ $(cat FOLDER/lost | wc -l) -lt ${times} ]`));
      writeFileSync(join(server.folder, 'lost'), '');
      const args = ['--yes', '--block-size', '64K', image.path, server.uri];
      const copy = stage.copyJson('--verify', ...args);
      const [target] = (await copy.result()).targets;
      expect(target?.ok).toBe(ok);
      if (ok) {
        expect(target).toMatchObject({ verified: true, bytesCopied: MIB });
        expect(stage.difference(join(server.folder, 'disk'), image.content)).toBe(null);
        continue;
      }
      expect(target?.error).toEqual({
        code: 'VERIFY_MISMATCH',
        message:
          `${64 * KIB} bytes at ${lost} read back from the target are not what was written, after being written 3 times: ` +
          'the medium returns other bytes than were written: replace it',
      });
      expect((await copy.ended).status).toBe(5);
      expect(target).toMatchObject({ verified: false, resumable: true });
      // Without --verify nobody notices: that is what it is for.
      writeFileSync(join(server.folder, 'lost'), '');
      expect((await stage.copyJson(...args).good()).verified).toBe(false);
    }
  }));

test.concurrent('verify - after a mismatch --resume writes what was wrong once more, and succeeds where the medium is right by then', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const lost = 7 * 64 * KIB;
    const server = await lyingTarget(stage, MIB, loses(lost, '[ ! -e FOLDER/mended ]'), randomBytesOf(9, MIB));
    const args = ['--verify', '--block-size', '64K', image.path, server.uri];
    for (let round = 0; round < 2; round++) {
      const [failed] = (await stage.copyJson('--yes', ...(round > 0 ? ['--resume'] : []), ...args).result()).targets;
      expect(failed?.error?.code).toBe('VERIFY_MISMATCH');
      expect(
        readFileSync(join(server.folder, 'disk'))
          .subarray(0, 512)
          .every((byte) => byte === 0),
      ).toBe(true);
    }
    writeFileSync(join(server.folder, 'mended'), '');
    const target = await stage.copyJson('--resume', ...args).good();
    // The bad block, and the two that are held back until all others are right.
    expect(target).toMatchObject({ verified: true, bytesCopied: 3 * 64 * KIB, bytesReused: 13 * 64 * KIB });
    expect(stage.difference(join(server.folder, 'disk'), image.content)).toBe(null);
  }));

test.concurrent('verify - a resume finds out what was spoilt since the interruption', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const first = stage.copyJson('--limit', '2M', '--block-size', '64K', image.path, stage.target('a'));
    await stage.sees('twenty blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) <= 44);
    first.signal('SIGINT');
    await first.ended;
    spoil(`${stage.target('a')}.partial`, 5 * 64 * KIB + 100);
    const target = await stage
      .copyJson('--resume', '--verify', '--block-size', '64K', image.path, stage.target('a'))
      .good();
    expect(target.bytesCopied + target.bytesReused).toBe(4 * MIB);
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.concurrent('verify - of a stream that is read once nothing can be written again, and the message says so', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const server = await lyingTarget(stage, MIB, loses(7 * 64 * KIB, '[ ! -e FOLDER/lost ]'));
    const args = ['--json', '--quiet', '--yes', '--verify', '--block-size', '64K', '-', server.uri];
    const copy = stage.copy(args, { stdin: 'pipe' });
    createReadStream(image.path).pipe(copy.child.stdin as NodeJS.WritableStream);
    const [target] = (await copy.result()).targets;
    expect(target?.error).toMatchObject({
      code: 'VERIFY_MISMATCH',
      message: expect.stringContaining('read only once'),
    });
  }));

test.concurrent('verify - a medium that is smaller than it says is given up soon', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    // Everything beyond 8 MiB lands before it, as on forged flash memory.
    const server = await stage.nbdkit({
      plugin: [
        'eval',
        'get_size=echo 16777216',
        'pread=dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$(($4 % 8388608)) count=$3 bs=64K status=none',
        'pwrite=dd of=FOLDER/disk conv=notrunc oflag=seek_bytes seek=$(($4 % 8388608)) bs=64K iflag=fullblock status=none',
        'can_write=exit 0',
        'can_flush=exit 0',
        'flush=exit 0',
        'thread_model=echo serialize_all_requests',
      ],
      files: { disk: Buffer.alloc(8 * MIB) },
    });
    const result = await stage.copyJson('--yes', '--verify', '--block-size', '64K', image.path, server.uri).result();
    expect(result.targets[0]?.error).toMatchObject({
      code: 'VERIFY_MISMATCH',
      message: expect.stringContaining('replace it'),
    });
    expect(result.producer.bytesRead).toBeLessThan(32 * MIB);
  }));

test.concurrent('verify - blocks are read back while others are still to come', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(21, 32 * 64 * KIB);
    const source = await GatedSource.start(stage, content, 12 * 64 * KIB);
    const server = await stage.nbdkit({
      filters: ['log'],
      plugin: ['memory', '2M', 'logfile=FOLDER/log'],
      files: { log: '' },
    });
    const copy = stage.copyJson('--yes', '--verify', '--block-size', '64K', '--buffer', '512K', source.uri, server.uri);
    // Nothing more can be written until the gate opens: all that was written is read back meanwhile, but for what is
    // held.
    const blocks = (): number =>
      new Set(readsOf(join(server.folder, 'log')).map(({ offsetBytes }) => offsetBytes)).size;
    await eventually(
      () => `eleven blocks read back; so far ${blocks()}`,
      () => blocks() >= 11,
    );
    source.open();
    expect((await copy.good()).verified).toBe(true);
    // Each once, but for the first, which is written last and in two pieces.
    const reads = readsOf(join(server.folder, 'log'));
    expect(reads.filter(({ offsetBytes }) => offsetBytes % (64 * KIB) === 0)).toHaveLength(32);
  }));

test.concurrent('verify - of files with zeros, to two targets', () =>
  onStage(async (stage) => {
    const content = patchwork(4, MIB, '#..##...');
    writeSparse(stage.path('golden.img'), content, MIB);
    stage.allow(content);
    const copy = stage.copyJson(
      '--verify',
      '--block-size',
      '1M',
      stage.path('golden.img'),
      stage.target('a'),
      stage.target('b'),
    );
    const result = await copy.result();
    expect(result.targets.map((target) => target.verified)).toEqual([true, true]);
  }));

test.concurrent('digest - of the whole image, also for a joiner that began in the middle', () =>
  onStage(async (stage) => {
    const { content } = { content: patchwork(21, 64 * KIB, '####################....############') };
    const source = await GatedSource.start(stage, content, 12 * 64 * KIB);
    const shape = ['--block-size', '64K', '--buffer', '512K'];
    const first = stage.copyJson(...shape, '--digest', 'sha256', source.uri, stage.target('a'));
    await stage.sees('a third', ({ consumers }) => consumers[0]?.blocksLeft === 24);
    const second = stage.copyJson('--digest', 'sha256', '--verify', source.uri, stage.target('b'));
    await stage.sees('b', ({ consumers }) => (consumers[1]?.startBlock ?? -1) > 0);
    source.open();
    expect((await first.good()).digest).toBe(sha256(content));
    expect((await second.good()).digest).toBe(sha256(content));
  }));

test.concurrent('digest - is printed as sha256sum prints it, and counts holes and the end of --bytes', () =>
  onStage(async (stage) => {
    const content = patchwork(21, MIB, '#..#.###');
    writeSparse(stage.path('golden.img'), content, MIB);
    stage.allow(content);
    const copy = stage.copy([
      '--quiet',
      '--digest',
      'sha256',
      '--block-size',
      '1M',
      stage.path('golden.img'),
      stage.target('a'),
    ]);
    await copy.ended;
    expect(copy.stdout).toBe(`${sha256(content)}  ${stage.target('a')}\n`);
    const cut = stage.allow(content.subarray(0, 5 * MIB + 5));
    const bytes = stage.copyJson(
      '--digest',
      'sha256',
      '--bytes',
      String(cut.length),
      stage.path('golden.img'),
      stage.target('b'),
    );
    expect((await bytes.good()).digest).toBe(sha256(cut));
  }));

test.concurrent('expect - the right digest passes, a wrong one fails and leaves nothing under the final name', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * MIB);
    await stage
      .copyJson(
        '--expect',
        sha256(image.content).toUpperCase().replace('SHA256', 'sha256'),
        image.path,
        stage.target('a'),
      )
      .good();
    const wrong = `sha256:${'0'.repeat(64)}`;
    const copy = stage.copyJson('--expect', wrong, image.path, stage.target('b'));
    const result = await copy.result();
    expect((await copy.ended).status).toBe(5);
    expect(result.targets[0]?.error?.code).toBe('DIGEST_MISMATCH');
    expect(result.targets[0]?.error?.message).toContain(sha256(image.content));
    expect(result.targets[0]?.error?.message).toContain(wrong);
    expect(stage.targets).not.toContain('b');
  }));
