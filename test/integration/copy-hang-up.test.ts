// The terminal goes: SIGHUP ends a copy in good order, unless whoever started it wants it ignored; the shared reader
// stays.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import type { CopyProcess, RunOptions } from '../rig/copy-process.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { Terminal } from '../rig/terminal.ts';
import { eventually } from '../rig/wait.ts';

const BLOCK = 64 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

interface Begun {
  readonly copy: CopyProcess;
  readonly source: GatedSource;
  readonly content: Buffer;
  readonly producerPid: number;
}

/** A copy of 40 blocks of which 20 are there. */
async function half(stage: Stage, options: RunOptions): Promise<Begun> {
  const content = stage.allow(randomBytesOf(13, 40 * BLOCK));
  const source = await GatedSource.start(stage, content, 20 * BLOCK);
  const copy = stage.copy(['--json', ...SHAPE, source.uri, stage.target('a')], options);
  const { producerPid } = await stage.sees('half of it', ({ consumers }) => consumers[0]?.blocksLeft === 20);
  return { copy, source, content, producerPid };
}

test.concurrent.each<[string, RunOptions]>([
  ['started with node', {}],
  ['started as it is installed', { installed: true }],
])('hang-up - SIGHUP ends a copy in good order, resumable: %s', (_, options) =>
  onStage(async (stage) => {
    const { copy, source, content } = await half(stage, options);
    // Shell and kernel both send one.
    copy.signal('SIGHUP');
    await delay(5);
    copy.signal('SIGHUP');
    expect(await copy.ended).toEqual({ status: 130, signal: null });
    expect((await copy.result()).targets[0]).toMatchObject({ resumable: true, error: { code: 'INTERRUPTED' } });
    source.open();
    const resumed = await stage.copyJson('--resume', ...SHAPE, source.uri, stage.target('a')).good();
    expect(resumed.bytesReused).toBeGreaterThan(0);
    expect(stage.difference('a', content)).toBe(null);
  }),
);

test.concurrent.each<[string, readonly string[]]>([
  ['nohup', ['nohup']],
  ['a shell with trap', ['sh', '-c', `trap '' HUP; exec "$@"`, 'sh']],
])('hang-up - SIGHUP is ignored after %s', (_, wrap) =>
  onStage(async (stage) => {
    const { copy, source, content } = await half(stage, { installed: true, wrap });
    copy.signal('SIGHUP');
    source.open();
    await copy.good();
    expect(stage.difference('a', content)).toBe(null);
  }),
);

// Each signal that whoever starts the copy ignores; the others end it as ever.
test.concurrent.each<[NodeJS.Signals, NodeJS.Signals]>([
  ['SIGINT', 'SIGTERM'],
  ['SIGTERM', 'SIGHUP'],
  ['SIGHUP', 'SIGINT'],
])('hang-up - %s is ignored where a program that is no shell ignores it, and %s is not', (ignored, heard) =>
  onStage(async (stage) => {
    const wrap = ['env', `--ignore-signal=${ignored.slice(3)}`];
    const { copy, source, content } = await half(stage, { installed: true, wrap });
    for (let times = 0; times < 3; times++) copy.signal(ignored);
    source.open(30 * BLOCK);
    await stage.sees('more of it', ({ consumers }) => consumers[0]?.blocksLeft === 10);
    copy.signal(ignored);
    copy.signal(heard);
    expect(await copy.ended).toEqual({ status: 130, signal: null });
    source.open();
    await stage.copyJson('--resume', ...SHAPE, source.uri, stage.target('a')).good();
    expect(stage.difference('a', content)).toBe(null);
  }),
);

test.concurrent('hang-up - SIGINT ends a copy that a script has put into the background', () =>
  onStage(async (stage) => {
    const wrap = ['sh', '-c', `"$@" & echo $! >'${stage.path('pid')}'; wait $!; exit $?`, 'sh'];
    const { copy, source } = await half(stage, { installed: true, wrap });
    process.kill(Number(readFileSync(stage.path('pid'), 'utf8')), 'SIGINT');
    expect(await copy.ended).toEqual({ status: 130, signal: null });
    source.open();
  }));

test.concurrent('hang-up - a parent that ignores SIGHUP is heard when node itself is started', () =>
  onStage(async (stage) => {
    const wrap = ['sh', '-c', `trap '' HUP; "$@"; exit $?`, 'sh'];
    const { copy, source, content } = await half(stage, { wrap });
    const own = stage.processes.filter(({ command }) => /understudy\.js.copy/.test(command) && !/^sh/.test(command));
    expect(own).toHaveLength(1);
    for (const { pid } of own) process.kill(pid, 'SIGHUP');
    source.open();
    await copy.good();
    expect(stage.difference('a', content)).toBe(null);
  }));

test.concurrent('hang-up - the reader that all share reads on', () =>
  onStage(async (stage) => {
    const { copy, source, content, producerPid } = await half(stage, {});
    process.kill(producerPid, 'SIGHUP');
    source.open(30 * BLOCK);
    const later = await stage.sees('more of it', ({ consumers }) => consumers[0]?.blocksLeft === 10);
    expect(later.producerPid).toBe(producerPid);
    source.open();
    await copy.good();
    expect(stage.difference('a', content)).toBe(null);
  }));

test.concurrent('hang-up - a terminal that goes leaves a copy that can be resumed', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * 1024 * 1024);
    const args = ['copy', '--block-size', '64K', image.path, stage.target('a')];
    const terminal = Terminal.run(stage, [...args, '--limit', '2M']);
    await terminal.shows(/ {2}copying/);
    terminal.close();
    await eventually('the record', () => stage.targets.includes('a.partial.resume'));
    await eventually('its end', () => stage.processes.length === 0);
    const resumed = await stage.copyJson('--resume', ...args.slice(1)).good();
    expect(resumed.bytesReused).toBeGreaterThan(0);
    expect(stage.difference('a', image.content)).toBe(null);
  }));

// Node.js itself aborts when it cannot set a terminal back to what it was. The kernel sends the signal to the shell
// alone.
test.concurrent.each<[string, (command: string) => string, string, number]>([
  [
    'a hang-up that is heard',
    (command) => `trap 'kill -HUP $!' HUP; exec 3<&0; ${command} <&3 & wait $!; wait $!`,
    '200K',
    130,
  ],
  ['a hang-up that is ignored', (command) => `trap '' HUP; ${command}`, '2M', 0],
])('hang-up - the exit status outlives the terminal: %s', (_, script, limit, status) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * 1024 * 1024);
    const said = stage.path('status');
    const args = ['copy', '--block-size', '64K', '--limit', limit, image.path, stage.target('a')];
    const terminal = Terminal.run(stage, args, { columns: 120, rows: 20 }, (command) => {
      return `${script(command)}; echo "$?" >'${said}.new'; mv '${said}.new' '${said}'`;
    });
    await terminal.shows(/ {2}copying/);
    terminal.close();
    await eventually('its end', () => existsSync(said));
    expect(readFileSync(said, 'utf8').trim()).toBe(`${status}`);
    if (status === 0) expect(stage.difference('a', image.content)).toBe(null);
  }),
);
