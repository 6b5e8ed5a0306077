// Odd names, and limits of the process: a copy says what is in its way, or does not mind.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;

/** Runs the words behind it under limits that ulimit (sh) sets. */
function limited(...limits: readonly string[]): readonly string[] {
  return ['sh', '-c', `${limits.map((limit) => `ulimit ${limit}; `).join('')}exec "$@"`, 'sh'];
}

/** Node.js gets every argument as text, so a shell writes the odd byte. */
function withByte(where: string): readonly string[] {
  return ['sh', '-c', `odd=$(printf 'caf\\351.img'); exec "$@" ${where}`, 'sh'];
}

test.each([
  ['the source', '"$OUT/$odd" "$OUT/a"'],
  ['a target', '"$OUT/golden.img" "$OUT/$odd"'],
])('limits - a name that is not UTF-8 is refused and shown: %s', (_, where) =>
  onStage(async (stage) => {
    writeFileSync(stage.target('golden.img'), stage.allow(randomBytesOf(1, MIB)));
    const copy = stage.copy([], { wrap: withByte(where), env: { OUT: stage.out } });
    await expectFailure(copy, 'USAGE', /the name ".*caf\\xe9\.img" is not UTF-8, .* symbolic link/);
    expect(stage.targets).toEqual(['golden.img']);
  }),
);

test('limits - a name with the replacement character itself, and a folder that is not UTF-8', () =>
  onStage(async (stage) => {
    const image = stage.image('g\ufffd.img', MIB);
    await stage.copyJson(image.path, stage.target('a')).good();
    const wrap = ['sh', '-c', `cd "$(printf '%s/caf\\351' "$FOLDER")" && exec "$@"`, 'sh'];
    stage.tool('sh', 'dash', ['-c', `mkdir "$(printf '%s/caf\\351' '${stage.folder}')"`]);
    const options = { wrap, env: { FOLDER: stage.folder } };
    await expectFailure(stage.copy(['golden.img', 'b'], options), 'USAGE', /in a directory whose name is not UTF-8/);
    await stage.copy(['--json', image.path, stage.target('c')], options).good();
    expect(stage.difference('c', image.content)).toBe(null);
  }));

test('limits - a source that is reached through a link with another name', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    stage.tool('sh', 'dash', ['-c', `mv '${image.path}' "$(printf '%s/caf\\351' '${stage.folder}')"`]);
    symlinkSync(Buffer.concat([Buffer.from('caf'), Buffer.from([0xe9])]), stage.path('link.img'));
    await stage.copyJson(stage.path('link.img'), stage.target('a')).good();
    expect(stage.difference('a', image.content)).toBe(null);
    // A compressed one, too, although no program can be given its name.
    stage.tool('sh', 'dash', ['-c', `xz -0 <"$(printf '%s/caf\\351' '${stage.folder}')" >'${stage.path('x')}'`]);
    stage.tool('sh', 'dash', ['-c', `mv '${stage.path('x')}' "$(printf '%s/caf\\351' '${stage.folder}')"`]);
    await stage.copyJson(stage.path('link.img'), stage.target('b')).good();
    expect(stage.difference('b', image.content)).toBe(null);
  }));

function openAt(stage: Stage, path: string, offset: number): number {
  const fd = openSync(path, 'r');
  stage.defer(() => closeSync(fd));
  if (offset > 0) readSync(fd, Buffer.alloc(offset), 0, offset, null);
  return fd;
}

// Odd offsets: neither sectors nor pages.
test.each<[string, readonly [string, readonly string[]] | null]>([
  ['image', null],
  ['image', ['gzip', ['-1', '-k', 'image']]],
  ['image', ['xz', ['-0', '-k', 'image']]],
  ['image', ['zip', ['-q', '-1', '-j', 'image.zip', 'image']]],
  ['image', ['qemu-img', ['convert', '-O', 'qcow2', 'image', 'image.qcow2']]],
  ['image', ['qemu-img', ['convert', '-O', 'vpc', '-o', 'subformat=fixed,force_size=on', 'image', 'image.vpc']]],
])('limits - standard input that is a file of which a part has been read: %s by %j', (name, form) =>
  onStage(async (stage) => {
    const { path, content } = stage.image(name, 3 * MIB);
    if (form !== null) {
      const [tool, args] = form;
      stage.tool(
        tool,
        tool,
        args.map((word) => (word.startsWith('image') ? stage.path(word) : word)),
      );
    }
    const made = readdirSync(stage.folder).find((one) => one.startsWith('image.'));
    const stored = readFileSync(made === undefined ? path : stage.path(made));
    const digest = createHash('sha256').update(stored).digest('hex');
    writeFileSync(stage.path('both'), Buffer.concat([Buffer.alloc(1003, 'before '), stored]));
    for (const target of ['a', 'b']) {
      const args = ['--json', '--verify', '--expect', `sha256:${digest}`, '--direct', target === 'a' ? 'on' : 'off'];
      const options = { stdin: openAt(stage, stage.path('both'), 1003) };
      await stage.copy([...args, '-', stage.target(target)], options).good();
      expect(stage.difference(target, content)).toBe(null);
    }
  }),
);

test('limits - standard input from the middle on: a device, what is known, what is not, what is over', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    writeFileSync(stage.path('both'), Buffer.concat([Buffer.alloc(512, 'before '), image.content]));
    const from = (path: string, offset: number, target: string) =>
      stage.copy(['--json', '-', stage.target(target)], { stdin: openAt(stage, path, offset) });
    for (const [target, path] of [stage.path('both'), stage.loop(stage.path('both'))].entries()) {
      const result = await from(path, 512, `${target}`).result();
      expect(result).toMatchObject({ ok: true, source: { warnings: [] } });
      expect(stage.difference(`${target}`, image.content)).toBe(null);
    }
    stage.allow(image.content.subarray(1));
    const odd = await from(stage.path('both'), 513, 'odd').result();
    expect(odd.source.warnings).toEqual([expect.stringMatching(/neither a partition table nor a file system/)]);
    const read = from(stage.path('both'), 512 + 2 * MIB, 'x');
    await expectFailure(read, 'SOURCE_EMPTY', /of which 2097664 bytes have been read already/);
  }));

test('limits - a limit on the size of files is named, and a ring fits below it', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 24 * MIB);
    const shape = ['--json', '--block-size', '64K', image.path, stage.target('a')];
    // In units of 512 bytes.
    const small = stage.copy(shape, { wrap: limited(`-f ${(8 * MIB) / 512}`) });
    await expectFailure(small, 'TARGET_FULL', /EFBIG .*ulimit -f/);
    const tiny = stage.copy(shape, { wrap: limited('-f 100') });
    await expectFailure(tiny, 'RING_MEMORY', /the limit on the size of files \(ulimit -f\) is below/);
    await stage.copy(shape, { wrap: limited(`-f ${(24 * MIB) / 512}`) }).good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test('limits - too few open files are named, and no stack is shown', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const few = stage.copy(['--json', image.path, stage.target('a')], { wrap: limited('-n 20') });
    await expectFailure(few, 'RESOURCE_LIMIT', /this process may not open more files; raise the limit \(ulimit -n\)/);
    expect(few.stderr).not.toContain('    at ');
  }));

test('limits - shared memory that is not there is named', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    // Not /nonexistent, which a program with the home folder of nobody may have made.
    const env = { UNDERSTUDY_RUNTIME_DIR: stage.path('none/understudy') };
    const copy = stage.copy(['--json', image.path, stage.target('a')], { env });
    await expectFailure(
      copy,
      'RING_MEMORY',
      /\/none\/understudy, cannot be made: ENOENT .*mount a tmpfs at \/dev\/shm/,
    );
  }));

test('limits - records of devices cannot be kept: the copy is made, and says so', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(4 * MIB));
    const device = stage.loop(stage.path('disk'));
    // A file where a folder should be: root may write everywhere else.
    const env = { XDG_STATE_HOME: stage.write('state-file', Buffer.alloc(1)).path };
    const args = ['--json', '--yes', '--block-size', '64K', image.path, device];
    // Longer than the time after which a record is kept.
    const whole = await stage.copy(['--limit', '800K', ...args], { env }).good();
    expect(whole.notes).toEqual([expect.stringMatching(/^cannot be resumed: cannot record progress in /)]);
    expect(stage.difference(device, image.content)).toBe(null);
    const copy = stage.copy(['--limit', '1M', ...args], { env });
    await stage.sees('some blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
    copy.signal('SIGINT');
    const result = (await copy.result()).targets[0];
    expect(result).toMatchObject({ resumable: false, error: { code: 'INTERRUPTED' } });
  }));
