// Interrupted copies: what is durable is kept, only the rest is copied, and nothing of another source is gone on with.
import { readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';
import { diskBytes } from '../support/packed-image.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

/** An interrupted copy of the image to a target: some blocks are there, some are not. */
async function interrupted(stage: Stage, source: string, target: string): Promise<void> {
  const copy = stage.copyJson(...SHAPE, '--yes', '--limit', '1M', source, target);
  await stage.sees('twenty blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) <= 44);
  copy.signal('SIGINT');
  expect((await copy.ended).status).toBe(130);
  const [result] = (await copy.result()).targets;
  expect(result).toMatchObject({ ok: false, resumable: true, error: { code: 'INTERRUPTED' } });
}

function records(stage: Stage): string[] {
  return readdirSync(stage.state, { recursive: true })
    .map((name) => join(stage.state, String(name)))
    .filter((name) => name.endsWith('.resume'));
}

async function refused(stage: Stage, code: string, ...args: readonly string[]): Promise<void> {
  const copy = stage.copyJson('--resume', ...args);
  expect((await copy.result()).targets[0]?.error?.code).toBe(code);
  expect((await copy.ended).status).toBe(6);
}

test.concurrent('resume - after SIGINT only the missing blocks are read and written', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB - 99);
    await interrupted(stage, image.path, stage.target('a'));
    expect(stage.targets).toEqual(['a.partial', 'a.partial.resume']);
    const copy = stage.copyJson('--resume', ...SHAPE, '--verify', image.path, stage.target('a'));
    const target = await copy.good();
    expect(target.bytesReused).toBeGreaterThanOrEqual(20 * BLOCK);
    expect(target.bytesReused + target.bytesCopied).toBe(image.content.length);
    expect((await copy.result()).producer.bytesRead).toBe(target.bytesCopied);
    expect(target.verified).toBe(true);
    expect(stage.difference('a', image.content)).toBe(null);
    expect(stage.targets).toEqual(['a']);
  }));

test.concurrent('resume - after SIGKILL what was flushed and recorded is kept', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(31, 64 * BLOCK);
    const source = await GatedSource.start(stage, content, 40 * BLOCK);
    const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    await stage.sees('forty blocks', ({ consumers }) => consumers[0]?.blocksLeft === 24);
    // A record without blocks is there from the start; the next one has a digest for each block.
    await eventually('a record', () => statSync(`${stage.target('a')}.partial.resume`).size > 64 * 16);
    await copy.kill('SIGKILL');
    source.open();
    await eventually('the producer has gone', () => stage.producers.length === 0);
    const before = source.reads.length;
    const target = await stage.copyJson('--resume', ...SHAPE, source.uri, stage.target('a')).good();
    // What a server holds may have changed under its name: up to sixteen of the old blocks are read once more to see.
    expect(target.bytesReused).toBeGreaterThanOrEqual(24 * BLOCK);
    expect(target.bytesReused + target.bytesCopied).toBe(content.length);
    expect(source.reads.length - before).toBeLessThanOrEqual(24 + 16);
    expect(stage.difference('a', content)).toBe(null);
    expect(stage.targets).toEqual(['a']);
  }));

test.concurrent('resume - block device and NBD server: the record lies in the state folder and goes when all is done', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(4 * MIB));
    const device = stage.loop(stage.path('disk'));
    const server = await stage.nbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: Buffer.alloc(4 * MIB) } });
    for (const target of [device, server.uri]) {
      await interrupted(stage, image.path, target);
      expect(records(stage)).toHaveLength(1);
      const resumed = await stage.copyJson('--resume', ...SHAPE, '--verify', image.path, target).good();
      // Twenty blocks were there, and the first of them is held back until all others are.
      expect(resumed.bytesReused).toBeGreaterThanOrEqual(19 * BLOCK);
      expect(resumed.bytesReused + resumed.bytesCopied).toBe(4 * MIB);
      expect(records(stage)).toEqual([]);
    }
    expect(stage.difference(device, image.content)).toBe(null);
    expect(readFileSync(join(server.folder, 'disk')).equals(image.content)).toBe(true);
  }));

test.concurrent('resume - without a record it begins at the start, says so, and asks as for any new target', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', randomBytesOf(1, MIB));
    const file = await stage.copyJson('--resume', image.path, stage.target('a')).good();
    expect(file).toMatchObject({ bytesReused: 0, bytesCopied: MIB });
    expect(file.notes).toEqual(['begins at the start: there is no record of an interrupted copy']);
    expect(stage.difference('a', image.content)).toBe(null);
    writeFileSync(stage.path('disk'), Buffer.alloc(MIB));
    const device = stage.loop(stage.path('disk'));
    const server = await stage.nbdkit({ plugin: ['memory', '1M'] });
    for (const target of [device, server.uri]) {
      // What the source shows is asked about, too, where nothing of an earlier copy is gone on with.
      const unasked = stage.copyJson('--resume', image.path, target);
      expect((await unasked.result()).targets[0]?.error?.code).toBe('TARGET_NOT_CONFIRMED');
      expect((await stage.copyJson('--resume', '--yes', image.path, target).good()).notes).toEqual(file.notes);
    }
    // Without --json people read it too.
    const told = stage.copy(['--resume', '--yes', image.path, stage.target('a')]);
    expect((await told.ended).status).toBe(0);
    expect(told.stderr).toContain('begins at the start');
    const again = stage.copyJson('--resume', image.path, stage.target('a'));
    expect((await again.result()).targets[0]?.error?.code).toBe('TARGET_NOT_CONFIRMED');
  }));

test.concurrent('resume - a loop of tries that are killed at any moment comes to its end', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', diskBytes(16 * MIB));
    writeFileSync(stage.path('disk'), Buffer.alloc(16 * MIB));
    for (const target of [stage.target('a'), stage.loop(stage.path('disk'))]) {
      const isDevice = target.startsWith('/dev');
      const isComplete = (): boolean =>
        (isDevice || stage.targets.includes('a')) && stage.difference(isDevice ? target : 'a', image.content) === null;
      let status: number | null = null;
      for (let delayMs = 150; status !== 0; delayMs *= 1.3) {
        const copy = stage.copyJson('--resume', ...SHAPE, '--limit', '8M', image.path, target);
        setTimeout(() => copy.signal('SIGKILL'), delayMs).unref();
        ({ status } = await copy.ended);
        // Killed between its last write and its exit: complete, and the next try would ask as about any other data.
        if (status === null && isComplete()) break;
        if (status !== null && status !== 0) throw new Error(`${copy.stdout}${copy.stderr}`);
      }
      expect(isComplete()).toBe(true);
      // Killed after the final name was given, it may leave the record, which the next copy replaces.
      const left = stage.targets.filter((name) => status === 0 || !name.endsWith('.resume'));
      if (!isDevice) expect(left).toEqual(['a']);
    }
  }));

test.concurrent('resume - refused when the source was written, replaced or cut since', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    await interrupted(stage, image.path, stage.target('a'));
    const record = readFileSync(`${stage.target('a')}.partial.resume`);
    const other = stage.image('other.img', 4 * MIB, 2);
    await refused(stage, 'RESUME_SOURCE_DIFFERS', ...SHAPE, other.path, stage.target('a'));
    const { atime, mtime } = statSync(image.path);
    utimesSync(image.path, atime, new Date(mtime.getTime() + 5000));
    await refused(stage, 'RESUME_SOURCE_DIFFERS', ...SHAPE, image.path, stage.target('a'));
    truncateSync(image.path, 3 * MIB);
    utimesSync(image.path, atime, mtime);
    await refused(stage, 'RESUME_SOURCE_DIFFERS', ...SHAPE, image.path, stage.target('a'));
    expect(readFileSync(`${stage.target('a')}.partial.resume`).equals(record)).toBe(true);
    expect(stage.targets).toEqual(['a.partial', 'a.partial.resume']);
  }));

test.concurrent('resume - the content of a server that changed under its name is noticed', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(31, 64 * BLOCK);
    const source = await GatedSource.start(stage, content, 30 * BLOCK);
    const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    await stage.sees('thirty blocks', ({ consumers }) => consumers[0]?.blocksLeft === 34);
    copy.signal('SIGINT');
    await copy.ended;
    source.open();
    await eventually('the producer has gone', () => stage.producers.length === 0);
    source.replace(randomBytesOf(32, 64 * BLOCK));
    await refused(stage, 'RESUME_SOURCE_DIFFERS', ...SHAPE, source.uri, stage.target('a'));
    expect(stage.targets).not.toContain('a');
  }));

test.concurrent('resume - with a damaged record, whatever the damage, it begins at the start and says so', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    await interrupted(stage, image.path, stage.target('a'));
    const path = `${stage.target('a')}.partial.resume`;
    const [record, partial] = [readFileSync(path), readFileSync(`${stage.target('a')}.partial`)];
    const flipped = Buffer.from(record);
    flipped.writeUInt8(flipped.readUInt8(record.length - 100) ^ 1, record.length - 100);
    const damages = [
      flipped,
      record.subarray(0, record.length / 2),
      Buffer.alloc(0),
      randomBytesOf(1, 5000),
      Buffer.from('{}\n'),
      Buffer.concat([record, Buffer.from('more')]),
    ];
    for (const damage of damages) {
      writeFileSync(`${stage.target('a')}.partial`, partial, { mode: 0o600 });
      writeFileSync(path, damage);
      const target = await stage.copyJson('--resume', '--yes', ...SHAPE, image.path, stage.target('a')).good();
      expect(target).toMatchObject({ bytesReused: 0, bytesCopied: 4 * MIB });
      expect(target.notes.join()).toMatch(/begins at the start: the record .* is damaged/);
      expect(stage.difference('a', image.content)).toBe(null);
      expect(stage.targets).toEqual(['a']);
    }
  }));

test.concurrent('resume - a copy without --resume begins anew and drops the old record', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    await interrupted(stage, image.path, stage.target('a'));
    const target = await stage.copyJson(...SHAPE, image.path, stage.target('a')).good();
    expect(target.bytesReused).toBe(0);
    expect(stage.difference('a', image.content)).toBe(null);
    expect(stage.targets).toEqual(['a']);
  }));

test.concurrent('resume - a digest is of the whole image, also of what was there already', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    await interrupted(stage, image.path, stage.target('a'));
    const sum = stage.tool('sha256sum', 'coreutils', [image.path]).slice(0, 64);
    const copy = stage.copyJson('--resume', ...SHAPE, '--expect', `sha256:${sum}`, image.path, stage.target('a'));
    expect((await copy.good()).digest).toBe(`sha256:${sum}`);
  }));

// Found by a round of kills: before the stream's end was met again, its old last block was verified as a whole one.
test.concurrent('resume - of a stream whose last block is there, with --verify', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 96 * BLOCK - 1000);
    stage.tool('gzip', 'gzip', ['-k', '-1', image.path]);
    const source = `${image.path}.gz`;
    const first = stage.copyJson(...SHAPE, '--limit', '1M', source, stage.target('a'));
    await stage.sees('about half of it', ({ bytesRead }) => bytesRead > 45 * BLOCK);
    // It must not be done before the second has joined, however long that takes to start.
    first.signal('SIGSTOP');
    const late = stage.copyJson('--join', 'newest', '--limit', '1M', source, stage.target('b'));
    await stage.sees('the end has gone by', ({ consumers }) =>
      consumers.some(({ target, startBlock, blocksLeft }) => target === stage.target('b') && blocksLeft < startBlock),
    );
    late.signal('SIGINT');
    expect((await late.ended).status).toBe(130);
    first.signal('SIGCONT');
    await first.good();
    const resumed = await stage.copyJson('--resume', '--verify', ...SHAPE, source, stage.target('b')).good();
    expect(resumed.bytesReused).toBeGreaterThan(0);
    expect(stage.difference('b', image.content)).toBe(null);
    expect(stage.targets).toEqual(['a', 'b']);
  }));

test.concurrent.each(['DIGEST_MISMATCH', 'SOURCE_CHANGED'])(
  'resume - %s says that what was written is of no use: nothing is left',
  (code) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', 4 * MIB);
      writeFileSync(stage.path('disk'), Buffer.alloc(4 * MIB));
      const device = stage.loop(stage.path('disk'));
      const wrong = code === 'DIGEST_MISMATCH' ? ['--expect', `sha256:${'0'.repeat(64)}`] : ['--limit', '500K'];
      for (const target of [stage.target('a'), device]) {
        // What an earlier copy left goes with it.
        await interrupted(stage, image.path, target);
        const copy = stage.copyJson('--resume', ...SHAPE, ...wrong, image.path, target);
        if (code === 'SOURCE_CHANGED') {
          await stage.sees('it goes on', ({ consumers }) => (consumers[0]?.startBlock ?? -1) >= 0);
          utimesSync(image.path, 1, statSync(image.path).mtimeMs / 1000 + 5);
        }
        expect((await copy.result()).targets[0]).toMatchObject({ resumable: false, error: { code } });
        expect(stage.targets).toEqual([]);
        expect(records(stage)).toEqual([]);
      }
    }),
);
