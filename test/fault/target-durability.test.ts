// What is on a disk, and in which order: the system calls of a real copy as strace(1) sees them, and the commands that
// a real NBD server gets. A power cut cannot be made here; that nothing is called done before it was made durable can
// be seen.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { present, requireTool } from '../../src/base/mod.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
const CALLS =
  'open,openat,fsync,fdatasync,rename,renameat,renameat2,link,unlink,pwrite64,pwritev,pwritev2,io_submit,ftruncate,fchmod';

/**
 * `understudy copy` under strace; the calls that were completed, in their order, with paths in place of descriptors.
 */
async function traced(stage: Stage, args: readonly string[], end?: () => Promise<void>): Promise<readonly string[]> {
  const log = stage.path('strace.log');
  const wrap = [requireTool('strace', 'strace'), '-f', '-y', '-qq', '-s', '0', '-e', `trace=${CALLS}`, '-o', log];
  const copy = stage.copy(['--json', '--quiet', ...args], { wrap });
  await end?.();
  await copy.ended;
  return joined(readFileSync(log, 'utf8'));
}

/** A call during which another thread made one is told in two lines; it counts where it ended. */
function joined(log: string): readonly string[] {
  const begun = new Map<string, string>();
  const calls: string[] = [];
  for (const line of log.split('\n')) {
    const [, pid = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const unfinished = / <unfinished \.\.\.>$/.exec(text);
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    if (unfinished !== null) begun.set(pid, text.slice(0, unfinished.index));
    else if (resumed !== null) calls.push(`${begun.get(pid) ?? ''}${resumed[1] ?? ''}`);
    else if (text !== '') calls.push(text);
  }
  return withFolders(calls);
}

/** Names below an open folder ("/proc/self/fd/25/a") by the path of the folder; without the calls that open. */
function withFolders(calls: readonly string[]): readonly string[] {
  const folders = new Map<string, string>();
  return calls.flatMap((call) => {
    const [opened, fd = '', path = ''] = /^open.* = (\d+)<([^>]*)>$/.exec(call) ?? [];
    if (opened?.includes('O_DIRECTORY')) folders.set(fd, path);
    if (call.startsWith('open')) return [];
    return call.replaceAll(/"\/proc\/self\/fd\/(\d+)\//g, (name, of: string) => {
      const folder = folders.get(of);
      return folder === undefined ? name : `"${folder}/`;
    });
  });
}

interface Step {
  readonly what: string;
  readonly call: RegExp;
}

/** Finds calls one after the other, each the first after the one before. */
function inOrder(calls: readonly string[], steps: readonly Step[]): void {
  let at = -1;
  for (const { what, call } of steps) {
    const next = calls.findIndex((text, index) => index > at && call.test(text) && !/ = -1 /.test(text));
    if (next === -1) throw new Error(`${what}: no ${call} after ${calls[at] ?? 'the start'} in\n${calls.join('\n')}`);
    at = next;
  }
}

function escaped(path: string): string {
  return path.replaceAll(/[.+?^$()[\]{}|\\]/g, '\\$&');
}

const sync = (path: string): RegExp => new RegExp(`^f(data)?sync\\(\\d+<${escaped(path)}>\\)`);
const rename = (from: string, to: string): RegExp => new RegExp(`^rename\\w*\\(.*"${escaped(from)}".*"${escaped(to)}"`);
/** io_submit names no files: the direct writes of the only target. */
const write = (path: string): RegExp => new RegExp(`^(pwrite(?:64|v2?)\\(\\d+<${escaped(path)}>|io_submit\\()`);

test('durable - a file: its record and both names before the first byte; content and permissions before the final name; that name', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const target = stage.target('a');
    const [partial, record] = [`${target}.partial`, `${target}.partial.resume`];
    const calls = await traced(stage, [...SHAPE, image.path, target]);
    inOrder(calls, [
      { what: 'the record', call: sync(`${record}.new`) },
      { what: 'its name', call: rename(`${record}.new`, record) },
      { what: 'both names', call: sync(stage.out) },
      { what: 'the first byte', call: write(partial) },
    ]);
    inOrder(calls, [
      { what: 'bytes', call: write(partial) },
      { what: 'permissions', call: /^fchmod\(\d+<.*a\.partial>, 0644\)/ },
      { what: 'the file', call: sync(partial) },
      { what: 'the final name', call: rename(partial, target) },
      { what: 'that name', call: sync(stage.out) },
      { what: 'the end of the record', call: new RegExp(`^unlink\\("${escaped(record)}"\\)`) },
    ]);
    const firstWrite = calls.findIndex((call) => write(partial).test(call));
    expect(calls.slice(0, firstWrite).filter((call) => sync(stage.out).test(call))).toHaveLength(1);
  }));

test('durable - what a record lists was flushed before, and the record and its name are', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const target = stage.target('a');
    const [partial, record] = [`${target}.partial`, `${target}.partial.resume`];
    const calls = await traced(stage, [...SHAPE, '--limit', '2M', image.path, target], async () => {
      await stage.sees('blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) <= 50);
      // Not strace, which has the same words behind its own.
      const copy = stage.processes.find(
        ({ command }) => command.startsWith(process.execPath) && / copy /.test(command),
      );
      process.kill(present(copy, 'the copy under strace').pid, 'SIGINT');
    });
    const last = calls.findLastIndex((call) => rename(`${record}.new`, record).test(call));
    const lastWrite = calls.findLastIndex((call, index) => index < last && write(partial).test(call));
    expect(lastWrite).toBeGreaterThan(0);
    inOrder(calls.slice(lastWrite), [
      { what: 'the blocks', call: sync(partial) },
      { what: 'the record', call: sync(`${record}.new`) },
      { what: 'its name', call: rename(`${record}.new`, record) },
      { what: 'that name', call: sync(stage.out) },
    ]);
  }));

test.each([[[]], [['--verify']]])('durable - a block device is flushed before its copy is done (%j)', (flags) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(MIB));
    const device = stage.loop(stage.path('disk'));
    const calls = await traced(stage, [...SHAPE, ...flags, '--direct', 'off', image.path, device]);
    const lastWrite = calls.findLastIndex((call) => write(device).test(call));
    expect(lastWrite).toBeGreaterThan(0);
    inOrder(calls.slice(lastWrite), [
      { what: 'the device', call: sync(device) },
      { what: 'the end of the record', call: /^unlink\(".*\.resume"\)/ },
    ]);
  }),
);

test('durable - an NBD server gets a flush after the last write', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const server = await stage.nbdkit({
      filters: ['log'],
      plugin: ['file', 'FOLDER/disk', 'logfile=FOLDER/log'],
      files: { disk: Buffer.alloc(MIB) },
    });
    await stage.copyJson(...SHAPE, image.path, server.uri).good();
    const log = join(server.folder, 'log');
    await eventually('the connection has ended', () => /Disconnect/.test(readFileSync(log, 'utf8')));
    const lines = readFileSync(log, 'utf8').split('\n');
    const lastWrite = lines.findLastIndex((line) => /\bWrite\b|\bZero\b/.test(line));
    expect(lastWrite).toBeGreaterThan(0);
    expect(lines.slice(lastWrite).some((line) => /\bFlush\b/.test(line))).toBe(true);
  }));

// The server caches what it is told and loses it when it is killed: what an exit status of 0 promised must not be among
// that.
test('durable - a server that is killed after a copy has lost nothing of it', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    const server = await stage.nbdkit({
      filters: ['cache'],
      plugin: ['file', 'FOLDER/disk', 'cache=writeback'],
      files: { disk: Buffer.alloc(2 * MIB) },
    });
    await stage.copyJson(...SHAPE, image.path, server.uri).good();
    await server.kill();
    expect(readFileSync(join(server.folder, 'disk')).equals(image.content)).toBe(true);
  }));
