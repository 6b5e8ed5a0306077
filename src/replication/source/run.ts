// One reading of a source from its start: the programs and pumps that take part in it, how it ended, and its end by
// force.
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { limits, messageOf, requireTool, spawnBound } from '../../base/mod.ts';
import { createPipe } from '../../linux/mod.ts';
import { socketPieces } from './file-bytes.ts';
import { type Flow, flowOfPipe, type Patience, piecesOf } from './flow.ts';
import type { CompressedFormat } from './format.ts';
import { CUT_OFF, piecesOfFile, withZeroBehind } from './gzip-end.ts';
import { judgeEnd, PROGRAMS } from './programs.ts';
import { upToXzEnd } from './xz-end.ts';

/** Pipes of data: with the usual 64 KiB each side of a fast one sleeps and wakes for every 64 KiB. */
const PIPE_BYTES = limits.MIB;
/** So much of what a program says is listened to. */
const STDERR_CHARACTERS_MAX = 4096;

export interface RunOptions extends Patience {
  readonly onWarning: (warning: string) => void;
}

/** What a program was given besides the data; known at its end. */
interface Fed {
  readonly zeroBehind: boolean;
}

/** Stored bytes that a program can read by itself from a descriptor of its own. */
export interface Inherited {
  readonly fd: number;
}

export class Run {
  readonly options: RunOptions;
  readonly #children = new Set<ChildProcess>();
  readonly #over: Promise<unknown>[] = [];
  readonly #fds = new Set<number>();
  readonly #sockets: Socket[] = [];
  readonly #adopted: Run[] = [];
  #pending = 0;
  #started = 0;
  #failure: { readonly error: unknown } | null = null;
  #wake: (() => void)[] = [];

  constructor(options: RunOptions) {
    this.options = options;
  }

  /** Programs that were started so far. */
  get started(): number {
    return this.#started;
  }

  /** Process ids of the programs that run now. */
  get pids(): number[] {
    const own = [...this.#children].flatMap(({ pid, exitCode }) =>
      pid === undefined || exitCode !== null ? [] : [pid],
    );
    return [...own, ...this.#adopted.flatMap((run) => run.pids)];
  }

  /** Work that must succeed for the bytes to be all, and right. The first one that fails is the failure. */
  task(work: Promise<void>): void {
    this.#pending += 1;
    void work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#pending -= 1;
        for (const wake of this.#wake.splice(0)) wake();
      });
  }

  /** Resolves once all tasks have succeeded, rejects with the first failure. */
  async ended(): Promise<void> {
    while (this.#failure === null && this.#pending > 0) await new Promise<void>((resolve) => this.#wake.push(resolve));
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** What gave too little may have failed: its own words count then. */
  async explainEnd(flow: Flow): Promise<Flow> {
    if (flow.whole) await this.ended();
    return flow;
  }

  /**
   * Decompresses what a descriptor or another flow gives; `first` of the result has up to `maxBytes`. @throws
   * TOOL_MISSING
   */
  async decompress(format: CompressedFormat, input: Flow | Inherited, maxBytes: number): Promise<Flow> {
    const path = requireTool(format, PROGRAMS[format].debianPackage);
    const pipe = createPipe(PIPE_BYTES);
    this.#fds.add(pipe.readFd);
    const feed = 'fd' in input ? null : createPipe(PIPE_BYTES);
    let child: ChildProcess;
    try {
      const stdin = 'fd' in input ? reopenFile(input.fd) : (feed?.readFd ?? -1);
      child = spawnProgram(path, PROGRAMS[format].args, stdin, pipe.writeFd);
    } catch (error) {
      if (feed !== null) closeSync(feed.writeFd);
      throw error;
    } finally {
      closeSync(pipe.writeFd);
    }
    const over =
      feed !== null && !('fd' in input)
        ? this.#supervise(child, format, this.#feed(feed.writeFd, format, this.pieces(input)))
        : this.#superviseAlone(child, format, 'fd' in input ? input.fd : -1);
    this.#over.push(over.catch(() => undefined));
    this.task(over);
    return this.explainEnd(await flowOfPipe(pipe.readFd, maxBytes, this.options));
  }

  #feed(writeFd: number, format: CompressedFormat, pieces: AsyncIterable<Uint8Array>): Fed {
    const { onWarning } = this.options;
    const fed = { zeroBehind: false };
    const onIgnored = (count: number, from: number): void =>
      onWarning(`ignored ${count} bytes behind the end of the xz data, from byte ${from} of them on`);
    const onZero = (): void => {
      fed.zeroBehind = true;
    };
    if (format === 'xz') this.#write(upToXzEnd(pieces, onIgnored), writeFd);
    else if (format === 'gzip') this.#write(withZeroBehind(pieces, onZero), writeFd);
    else this.#write(pieces, writeFd);
    return fed;
  }

  /**
   * A program that reads the file by itself. Where that is said to be cut off, the same is asked once more with a zero
   * behind it: perhaps it is one byte too long. The first reading has given all that there is, and checked it.
   */
  async #superviseAlone(child: ChildProcess, format: CompressedFormat, fd: number): Promise<void> {
    try {
      await this.#supervise(child, format, { zeroBehind: false });
    } catch (error) {
      if (format !== 'gzip' || !CUT_OFF.test(messageOf(error)) || this.#failure !== null) throw error;
      const feed = createPipe(PIPE_BYTES);
      const { debianPackage } = PROGRAMS.gzip;
      const again = spawnProgram(requireTool('gzip', debianPackage), ['-tv'], feed.readFd, 'ignore');
      await this.#supervise(again, format, this.#feed(feed.writeFd, format, piecesOfFile(reopenFile(fd))));
    }
  }

  async #supervise(child: ChildProcess, format: CompressedFormat, fed: Fed): Promise<void> {
    const { uri, onWarning } = this.options;
    this.#children.add(child);
    this.#started += 1;
    let stderr = '';
    let failure: Error | null = null;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      // The first words of a program, and its last.
      stderr = stderr.length < STDERR_CHARACTERS_MAX ? stderr + text : stderr;
    });
    const end = await new Promise<{ status: number | null; signal: string | null }>((resolve) => {
      child.on('error', (error) => {
        failure = error;
      });
      child.on('close', (status, signal) => resolve({ status, signal }));
    });
    this.#children.delete(child);
    const { error, warning } = judgeEnd(format, uri, { ...end, ...fed, stderr, failure });
    if (error !== null) throw error;
    if (warning !== null) onWarning(warning);
  }

  /** A descriptor that gives what is left of a flow; the pump behind it is a task. */
  toPipe(flow: Flow): number {
    if ('fd' in flow.rest) return flow.rest.fd;
    const pipe = createPipe(PIPE_BYTES);
    this.#fds.add(pipe.readFd);
    this.#write(flow.whole ? Readable.from([]) : flow.rest.reader.rest(), pipe.writeFd);
    return pipe.readFd;
  }

  /** Writes all pieces into a pipe, whose end it closes. */
  #write(pieces: AsyncIterable<Uint8Array>, writeFd: number): void {
    const socket = new Socket({ fd: writeFd, readable: false, writable: true });
    this.#sockets.push(socket);
    this.task(pump(pieces, socket));
  }

  /** All bytes of a flow, in this process. */
  pieces(flow: Flow): AsyncGenerator<Uint8Array> {
    const { rest } = flow;
    if ('reader' in rest) return piecesOf(flow, () => rest.reader.rest());
    return piecesOf(flow, () => {
      // What reads the descriptor from now on closes it.
      this.#fds.delete(rest.fd);
      const socket = new Socket({ fd: rest.fd, readable: true, writable: false });
      this.#sockets.push(socket);
      return socketPieces(this.options.uri, socket);
    });
  }

  /** Takes over what another run has started. */
  adopt(other: Run): void {
    this.#adopted.push(other);
    this.task(other.ended());
  }

  /** Ends what still runs. Only once nobody reads the stream any more. Idempotent. */
  async stop(): Promise<void> {
    this.#failure ??= { error: new Error('stopped') };
    for (const wake of this.#wake.splice(0)) wake();
    for (const child of this.#children) child.kill('SIGKILL');
    for (const socket of this.#sockets) socket.destroy();
    for (const fd of this.#fds) closeSync(fd);
    this.#fds.clear();
    await Promise.all([...this.#over, ...this.#adopted.map((run) => run.stop())]);
  }
}

/** Another open file of the same content, at its start; also when its name has gone since. */
export function reopenFile(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, 'r');
}

/** The child has its own copy of `readFd`, which is closed here. */
function spawnProgram(path: string, args: readonly string[], readFd: number, writeFd: number | 'ignore'): ChildProcess {
  // Only what is needed of the environment: XZ_OPT, GZIP and their like change what the programs do and say.
  const env = { PATH: process.env.PATH, LC_ALL: 'C' };
  try {
    return spawnBound(path, args, { stdio: [readFd, writeFd, 'pipe'], env });
  } finally {
    closeSync(readFd);
  }
}

const HANGUPS: readonly unknown[] = ['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'];

/** A reader that has had enough closes its end: whether that was right is for it to say. */
async function pump(pieces: AsyncIterable<Uint8Array>, socket: Socket): Promise<void> {
  try {
    await pipeline(pieces, socket);
  } catch (error) {
    if (!HANGUPS.includes((error as { code?: unknown }).code)) throw error;
  }
}
