// Runs the program behind a stream: starts it, starts it again when the reader wants the stream from its beginning, and
// tells the reader how it ended. On the main thread, because helpers die with the thread that started them.
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { messageOf, requireTool, runTool, spawnBound, UnderstudyError } from '../../base/mod.ts';
import { createPipe } from '../../linux/mod.ts';
import { STREAM_STATE, StreamControl, type StreamState } from '../device/stream-control.ts';
import type { CompressedFormat } from './format.ts';

interface Program {
  readonly debianPackage: string;
  readonly args: readonly string[];
}

export const PROGRAMS: Readonly<Record<CompressedFormat, Program>> = {
  gzip: { debianPackage: 'gzip', args: ['-dc'] },
  // Threads only help where the image was written in several blocks, and stay below a quarter of the memory (xz(1)).
  xz: { debianPackage: 'xz-utils', args: ['-dc', '-T0'] },
  // Also what was made with --long: the memory is needed for such images only.
  zstd: { debianPackage: 'zstd', args: ['-dcq', '--long=31'] },
  bzip2: { debianPackage: 'bzip2', args: ['-dc'] },
};

/** So much of what a program says is listened to. */
const STDERR_CHARACTERS_MAX = 4096;

/** Words for trouble of the machine rather than of the image. */
const NOT_THE_IMAGE = /input\/output error|cannot allocate|not enough memory|memory usage limit|cannot execute/i;

export interface StreamHost {
  readonly control: SharedArrayBuffer;
  /** Process ids of the programs that run now. */
  readonly helperPids: number[];
  /** Ends the program and closes its pipe. Only once nobody reads the stream any more. Idempotent. */
  close(): Promise<void>;
}

interface Run {
  readonly child: ChildProcess;
  readonly readFd: number;
  readonly closed: Promise<void>;
}

export interface StreamInput {
  /** The opener's; stays open. */
  readonly fd: number;
  /** Each start opens the file anew, also when its name has gone since; else the descriptor itself is read, one time. */
  readonly again: boolean;
}

/** Decompresses a file or pipe. Decompression begins at once. @throws TOOL_MISSING */
export function hostDecompressor(format: CompressedFormat, input: StreamInput): StreamHost {
  const { debianPackage, args } = PROGRAMS[format];
  const path = requireTool(format, debianPackage);
  const control = new StreamControl();
  let run: Run | null = null;
  let generation = 0;

  function start(): void {
    const mine = generation;
    const pipe = createPipe();
    try {
      const child = spawnProgram(path, args, input, pipe.writeFd);
      run = { child, readFd: pipe.readFd, closed: superviseChild(child, format, (end) => report(mine, end)) };
    } catch (error) {
      closeSync(pipe.readFd);
      throw error;
    } finally {
      closeSync(pipe.writeFd);
    }
    control.publishStart(mine, run.readFd);
  }

  function report(ofGeneration: number, end: { state: StreamState; message: string }): void {
    if (ofGeneration === generation) control.publishEnd(end.state, end.message);
  }

  async function stop(): Promise<void> {
    const old = run;
    run = null;
    if (old === null) return;
    old.child.kill('SIGKILL');
    await old.closed;
    closeSync(old.readFd);
  }

  async function serve(): Promise<void> {
    for (;;) {
      const request = await control.nextRequest(generation);
      if (request === null) return;
      // From here on the end of the old program concerns nobody.
      generation = request;
      await stop();
      try {
        start();
      } catch (error) {
        control.publishStart(generation, -1);
        control.publishEnd(STREAM_STATE.broken, messageOf(error));
      }
    }
  }

  start();
  const served = serve().then(stop);
  return {
    control: control.buffer,
    get helperPids() {
      return run?.child.pid === undefined || run.child.exitCode !== null ? [] : [run.child.pid];
    },
    async close() {
      control.requestClose();
      await served;
    },
  };
}

function spawnProgram(path: string, args: readonly string[], input: StreamInput, writeFd: number): ChildProcess {
  const fd = input.again ? openSync(`/proc/self/fd/${input.fd}`, 'r') : input.fd;
  try {
    const env = programEnvironment();
    return spawnBound(path, args, { stdio: [fd, writeFd, 'pipe'], env });
  } finally {
    if (input.again) closeSync(fd);
  }
}

/** Only what is needed of the environment: XZ_OPT, GZIP and their like change what the programs do and say. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C' };
}

/** Resolves when the program and its output have ended, after `onEnd`. */
export function superviseChild(
  child: ChildProcess,
  format: CompressedFormat,
  onEnd: (end: { state: StreamState; message: string }) => void,
): Promise<void> {
  let stderr = '';
  let failure: Error | null = null;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, STDERR_CHARACTERS_MAX);
  });
  return new Promise((resolve) => {
    child.on('error', (error) => {
      failure = error;
    });
    child.on('close', (status, signal) => {
      onEnd(endOf(format, { status, signal, stderr, failure }));
      resolve();
    });
  });
}

function endOf(
  format: CompressedFormat,
  end: { status: number | null; signal: string | null; stderr: string; failure: Error | null },
): { state: StreamState; message: string } {
  const { status, signal, stderr, failure } = end;
  if (failure !== null) return { state: STREAM_STATE.broken, message: failure.message };
  if (signal !== null) return { state: STREAM_STATE.broken, message: `${format} was ended by ${signal}` };
  // gzip and bzip2 shrug at garbage behind the last member; it may be a member with a damaged head, and data lost.
  const garbage = /trailing garbage/.test(stderr);
  if (status === 0 && !garbage) return { state: STREAM_STATE.ended, message: '' };
  const message = firstLine(stderr) ?? `${format} ended with status ${status}`;
  return { state: NOT_THE_IMAGE.test(stderr) ? STREAM_STATE.broken : STREAM_STATE.corrupt, message };
}

function firstLine(text: string): string | null {
  return /^\s*(\S.*)$/m.exec(text)?.[1]?.trim() ?? null;
}

/**
 * Bytes of the decompressed image, where the container tells: xz from its index, zstd where every frame says its size;
 * else null. `path` is a regular file, `uri` what the user calls it. @throws SOURCE_CORRUPT for an xz file without a sound index; TOOL_MISSING
 */
export async function decompressedBytes(format: CompressedFormat, path: string, uri: string): Promise<number | null> {
  const tool = requireTool(format, PROGRAMS[format].debianPackage);
  if (format === 'xz') {
    const { status, stdout, stderr } = await runTool(tool, ['--robot', '--list', '--', path]);
    if (status !== 0) {
      const complaint = (firstLine(stderr) ?? `xz ended with status ${status}`)
        .replace(/^\S*xz: /, '')
        .replace(`${path}: `, '');
      throw new UnderstudyError('SOURCE_CORRUPT', `${uri} is damaged: ${complaint}`);
    }
    return sizeOf(/^totals\t\d+\t\d+\t\d+\t(\d+)\t/m.exec(stdout));
  }
  if (format !== 'zstd') return null;
  // A file that cannot be listed is not called damaged for that: the decompressor reads more than the list does.
  const { status, stdout } = await runTool(tool, ['-lv', '--', path]);
  return status === 0 ? sizeOf(/^Decompressed Size:.*\((\d+) B\)$/m.exec(stdout)) : null;
}

function sizeOf(match: RegExpExecArray | null): number | null {
  const size = Number(match?.[1] ?? Number.NaN);
  return Number.isSafeInteger(size) && size > 0 ? size : null;
}
