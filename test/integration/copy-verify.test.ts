// Read back and compare; digests of the whole image.
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { patchwork, writeSparse } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage } from '../rig/stage.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

test('verify - a target that was spoilt behind our back is found out, and gets no final name', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const copy = stage.copyJson('--verify', '--limit', '1500K', '--block-size', '64K', image.path, stage.target('a'));
    await stage.sees('ten blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 54);
    const fd = openSync(`${stage.target('a')}.partial`, 'r+');
    writeSync(fd, Buffer.from('spoilt'), 0, 6, 5 * 64 * KIB + 100);
    closeSync(fd);
    const result = await copy.result();
    expect((await copy.ended).status).toBe(5);
    expect(result.targets[0]).toMatchObject({ ok: false, verified: false, error: { code: 'VERIFY_MISMATCH' } });
    expect(result.targets[0]?.error?.message).toContain(`at ${5 * 64 * KIB}`);
    expect(stage.targets).not.toContain('a');
  }));

test('verify - a server that drops a write is found out', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const lost = 7 * 64 * KIB;
    const pwrite = `if [ $4 -eq ${lost} ]; then cat >/dev/null; else dd of=FOLDER/disk conv=notrunc oflag=seek_bytes seek=$4 bs=64K iflag=fullblock status=none; fi`;
    const server = await stage.nbdkit({
      plugin: [
        'eval',
        'get_size=stat -Lc %s FOLDER/disk',
        'pread=dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none',
        `pwrite=${pwrite}`,
        'can_write=exit 0',
        'can_flush=exit 0',
        'flush=exit 0',
      ],
      files: { disk: Buffer.alloc(MIB) },
    });
    const args = ['--yes', '--block-size', '64K', image.path, server.uri];
    // Without --verify nobody notices: that is what it is for.
    expect((await stage.copyJson(...args).good()).verified).toBe(false);
    const copy = stage.copyJson('--verify', ...args);
    expect((await copy.result()).targets[0]?.error).toEqual({
      code: 'VERIFY_MISMATCH',
      message: expect.stringContaining(`${64 * KIB} bytes at ${lost}`),
    });
    expect((await copy.ended).status).toBe(5);
  }));

test('verify - goes on in the shadow of the sweep, also of zeros', () =>
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

test('digest - of the whole image, also for a joiner that began in the middle', () =>
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

test('digest - is printed as sha256sum prints it, and counts holes and the end of --bytes', () =>
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

test('expect - the right digest passes, a wrong one fails and leaves nothing under the final name', () =>
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
