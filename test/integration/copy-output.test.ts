// What a copy says, and where to: results on standard output, the rest on standard error, which never holds up or ends
// a copy.
import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorRegistry } from '../../src/base/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import type { RunOptions } from '../rig/copy-process.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const BLOCK = 64 * 1024;

function openFor(stage: Stage, path: string, flags: number): number {
  const fd = openSync(path, flags);
  stage.defer(() => closeSync(fd));
  return fd;
}

/** A pipe that is full and that nobody reads. */
function stalledPipe(stage: Stage): number {
  const path = stage.path(`pipe-${randomUUID()}`);
  stage.tool('mkfifo', 'coreutils', [path]);
  const full = openFor(stage, path, constants.O_RDWR | constants.O_NONBLOCK);
  const fd = openFor(stage, path, constants.O_WRONLY);
  const page = Buffer.alloc(4096);
  try {
    for (;;) writeSync(full, page);
  } catch {
    // EAGAIN: not one byte more.
    return fd;
  }
}

const TELLS = [[], ['--progress', 'json'], ['--verify', '--json']] as const;
const NOWHERE: readonly [string, (stage: Stage) => RunOptions][] = [
  ['a full file system', (stage) => ({ stderr: openFor(stage, '/dev/full', constants.O_WRONLY) })],
  ['a pipe that nobody reads', (stage) => ({ stderr: stalledPipe(stage) })],
  ['nothing: it is closed', () => ({ wrap: ['sh', '-c', 'exec "$@" 2>&-', 'sh'] })],
];

test.each(NOWHERE.flatMap(([where, options]) => TELLS.map((flags) => [where, flags, options] as const)))(
  'output - standard error is %s, with %j: the copy is made, and its status is right',
  (_, flags, options) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', 4 * MIB);
      // Long enough for several reports of progress, of both kinds.
      const slow = ['--block-size', '64K', '--limit', '700K', ...flags];
      const copy = stage.copy([...slow, image.path, stage.target('a')], options(stage));
      expect(await copy.ended).toEqual({ status: 0, signal: null });
      expect(stage.difference('a', image.content)).toBe(null);
      const none = stage.copy([...flags, image.path, stage.target('no/folder')], options(stage));
      expect((await none.ended).status).toBe(errorRegistry.TARGET_NOT_FOUND.exit);
    }),
);

test.each([[['--json']], [['--digest', 'sha256']]])(
  'output - standard output is full, with %j: the status says so',
  (flags) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', MIB);
      const stdout = openFor(stage, '/dev/full', constants.O_WRONLY);
      const copy = stage.copy([...flags, image.path, stage.target('a')], { stdout });
      expect((await copy.ended).status).toBe(errorRegistry.OUTPUT_FAILED.exit);
      expect(copy.stderr).toContain(
        'understudy: write to standard output: ENOSPC (no space left on device) (OUTPUT_FAILED)\n',
      );
      expect(stage.difference('a', image.content)).toBe(null);
      // A failure of the copy counts before that.
      const failed = stage.copy([...flags, image.path, stage.target('no/folder')], { stdout });
      expect((await failed.ended).status).toBe(4);
    }),
);

interface Told {
  readonly ok: boolean;
  readonly error: { readonly code: string; readonly message: string };
  readonly source: { readonly uri: string | null };
  readonly targets: readonly {
    readonly uri: string;
    readonly ok: boolean;
    readonly error: { readonly code: string };
  }[];
}

test.each<[string, string, (stage: Stage) => readonly string[]]>([
  ['a source that is not there', 'SOURCE_NOT_FOUND', (stage) => [stage.path('none'), stage.target('a')]],
  ['an empty source', 'SOURCE_EMPTY', (stage) => [stage.write('empty', Buffer.alloc(0)).path, stage.target('a')]],
  ['a directory', 'SOURCE_KIND', (stage) => [stage.folder, stage.target('a')]],
  ['a format that is not known', 'FORMAT_UNKNOWN', (stage) => ['--format', 'cow', stage.path('x'), stage.target('a')]],
  ['an empty name of a source', 'USAGE', (stage) => ['', stage.target('a')]],
  ['an empty name of a target', 'USAGE', (stage) => [stage.path('x'), '']],
  ['a target named twice', 'USAGE', (stage) => [stage.path('x'), stage.target('a'), stage.target('a')]],
  ['an option that is not known', 'USAGE', (stage) => ['--fast', stage.path('x'), stage.target('a')]],
  ['no target', 'USAGE', (stage) => [stage.path('x')]],
  ['no word at all', 'USAGE', () => []],
  ['a value that is wrong', 'USAGE', (stage) => ['--limit', 'fast', stage.path('x'), stage.target('a')]],
  ['a choice that there is not', 'USAGE', (stage) => ['--join', 'middle', stage.path('x'), stage.target('a')]],
  ['a digest that is none', 'USAGE', (stage) => ['--expect', 'md5:0', stage.path('x'), stage.target('a')]],
  [
    'a digest file that does not exist',
    'DIGEST_FILE_INVALID',
    (stage) => ['--expect-file', '/none', '/x', stage.target('a')],
  ],
  ['both ways to expect', 'USAGE', (stage) => ['--expect', 'x', '--expect-file', '/none', '/x', stage.target('a')]],
])('output - --json prints its object for %s', (_, code, args) =>
  onStage(async (stage) => {
    const words = args(stage);
    const copy = stage.copy(['--json', ...words]);
    const { status } = await copy.ended;
    const told = JSON.parse(copy.stdout) as Told;
    expect([told.ok, told.error.code]).toEqual([false, code]);
    expect(status).toBe(errorRegistry[code as keyof typeof errorRegistry].exit);
    expect(told).toMatchObject({ producer: { bytesRead: 0, sweeps: 0 } });
    for (const target of told.targets) {
      expect(words).toContain(target.uri);
      expect([target.ok, target.error.code]).toEqual([false, code]);
    }
    expect(stage.targets).toEqual([]);
  }),
);

test.each([
  ['copies', '--fast'],
  ['status'],
  ['status', '-f', '/none.yaml'],
  ['doctor'],
  ['doctor', '-f', '/none.yaml'],
  ['up', '-f', '/none.yaml'],
  ['clone', 'web1', '--to', 'spare1', '-f', '/none.yaml'],
  ['power', 'web1', 'maybe'],
  ['replay', '--policy', '/none.yaml', '--signal', '/none.csv'],
  ['rules', 'test', '/none.yaml', '/none.img'],
  ['agent', '--config', '/none.json'],
])('output - --json tells the error of %s %s %s', (...words) =>
  onStage(async (stage) => {
    const run = stage.run([...words, '--json']);
    const { status } = await run.ended;
    const told = JSON.parse(run.stdout) as { ok?: boolean; error?: { code: string }; checks?: unknown };
    expect([told.ok, status === 0]).toEqual([false, false]);
    if (told.checks !== undefined) return;
    const code = told.error?.code as keyof typeof errorRegistry;
    expect(errorRegistry[code].exit).toBe(status);
  }),
);

test('output - progress for programs: an object a line, the last one with the result, and nothing else', () =>
  onStage(async (stage) => {
    const content = stage.allow(randomBytesOf(13, 40 * BLOCK));
    const source = await GatedSource.start(stage, content, 20 * BLOCK);
    const args = ['--progress', 'json', '--json', '--block-size', '64K', source.uri];
    const copy = stage.copy([...args, stage.target('a'), stage.target('no/folder')]);
    await copy.says(/"percent":50,/);
    source.open();
    await copy.ended;
    const lines = copy.stderr
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text) as { event: string; source: unknown });
    expect(lines.slice(0, -1).every(({ event }) => event === 'progress')).toBe(true);
    expect(lines[0]).toMatchObject({
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      source: source.uri,
      bytesRead: expect.any(Number),
      targets: [{ uri: stage.target('a'), state: expect.any(String), detached: false }],
    });
    expect(lines.at(-1)).toMatchObject({ event: 'end', ...JSON.parse(copy.stdout) });
    expect(lines.at(-1)).toMatchObject({ ok: false, targets: [{ ok: true }, { error: { code: 'TARGET_NOT_FOUND' } }] });
  }));

test('output - names and messages are shown, not sent', () =>
  onStage(async (stage) => {
    const name = 'a\u001b]0;x\u0007\u202e\nb';
    const image = stage.image('golden.img', 3 * MIB);
    const target = stage.target(name);
    const copy = stage.copy(['--block-size', '64K', '--limit', '1M', image.path, target]);
    const running = await eventually('copies', async () => {
      const shown = stage.run(['copies']);
      await shown.ended;
      return shown.stdout.includes('\\x07') ? shown : null;
    });
    expect((await copy.ended).status).toBe(0);
    const missing = stage.copy([`${target}/none`, stage.target('b')]);
    await missing.ended;
    const digest = stage.copy(['--yes', '--digest', 'sha256', image.path, target]);
    await digest.ended;
    for (const text of [running.stdout, copy.stderr, missing.stderr, digest.stderr]) {
      expect(text).toContain('a\\x1b]0;x\\x07\\u202e\\x0ab');
      expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    }
    // One line, as sha256sum escapes it.
    expect(digest.stdout).toMatch(/^\\sha256:[0-9a-f]{64} {2}.*\\nb\n$/);
  }));

test('output - a line that is wider than any terminal is whole where there is none', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const target = stage.target('x'.repeat(200));
    const copy = stage.copy(['--block-size', '64K', '--limit', '1M', image.path, target]);
    await copy.says(/\/x{200} {2}\[#+\.*\] +\d+ % {2}[\d.]+ (MiB|KiB)\/s {2}[\d.]+s left {2}/);
    await copy.kill('SIGINT');
    expect(readFileSync(`${target}.partial.resume`).length).toBeGreaterThan(0);
    writeFileSync(stage.target('done'), '');
    stage.allow(Buffer.alloc(0));
  }));
