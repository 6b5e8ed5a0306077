// Bytes that this process itself takes from somewhere (an HTTP server), on their way to the thread that reads them: through
// a pipe as they are, or through a decompressor. Started again when the reader wants the stream from its beginning.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { codeOf, messageOf, present, requireTool, spawnBound } from '../../base/mod.ts';
import { createPipe } from '../../linux/mod.ts';
import { STREAM_STATE, StreamControl, type StreamState } from '../device/stream-control.ts';
import type { ByteSource } from './byte-source.ts';
import { PROGRAMS, programEnvironment, type StreamHost, superviseChild } from './decompressor.ts';
import type { CompressedFormat } from './format.ts';

interface End {
  readonly state: StreamState;
  readonly message: string;
}

interface Run {
  readonly child: ChildProcess | null;
  readonly readFd: number;
  /** Stops the feeding. */
  stop(): void;
  /** How it ended, once nothing more will be written into the pipe. */
  readonly ended: Promise<End>;
}

/** How often the reader is told that the source, which bounds its own time, is still waited for. */
const STIR_INTERVAL_MS = 1000;

/** Feeding begins at once. @throws TOOL_MISSING */
export function hostFedStream(format: CompressedFormat | 'raw', source: ByteSource): StreamHost {
  const control = new StreamControl();
  const stir = (): void => control.stir();
  const tool = format === 'raw' ? null : requireTool(format, PROGRAMS[format].debianPackage);
  let run: Run | null = null;
  let generation = 0;

  function start(): void {
    const mine = generation;
    run = format === 'raw' ? feedPipe(source, stir) : feedProgram(format, present(tool, 'the program'), source, stir);
    void run.ended.then((end) => {
      if (mine === generation) control.publishEnd(end.state, end.message);
    });
    control.publishStart(mine, run.readFd);
  }

  async function stop(): Promise<void> {
    const old = run;
    run = null;
    if (old === null) return;
    old.stop();
    await old.ended;
    closeSync(old.readFd);
  }

  async function serve(): Promise<void> {
    for (;;) {
      const request = await control.nextRequest(generation);
      if (request === null) return;
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
      const child = run?.child ?? null;
      return child?.pid === undefined || child.exitCode !== null ? [] : [child.pid];
    },
    async close() {
      control.requestClose();
      await served;
    },
  };
}

function feedPipe(source: ByteSource, stir: () => void): Run {
  const pipe = createPipe();
  // The socket owns the descriptor from here on.
  const sink = new Socket({ fd: pipe.writeFd, readable: false, writable: true });
  const closed = once(sink, 'close').catch(() => undefined);
  const feeding = feed(source, sink, stir);
  return {
    child: null,
    readFd: pipe.readFd,
    stop: () => sink.destroy(),
    ended: feeding.then(async (failure) => {
      if (failure !== null) sink.destroy();
      await closed;
      return failure ?? { state: STREAM_STATE.ended, message: '' };
    }),
  };
}

function feedProgram(format: CompressedFormat, path: string, source: ByteSource, stir: () => void): Run {
  const pipe = createPipe();
  let child: ChildProcess;
  try {
    const env = programEnvironment();
    child = spawnBound(path, PROGRAMS[format].args, { stdio: ['pipe', pipe.writeFd, 'pipe'], env });
  } catch (error) {
    closeSync(pipe.readFd);
    throw error;
  } finally {
    closeSync(pipe.writeFd);
  }
  let end: End = { state: STREAM_STATE.broken, message: `${format} did not end` };
  const closed = superviseChild(child, format, (childEnd) => {
    end = childEnd;
  });
  const stdin = present(child.stdin, 'standard input of the program');
  const feeding = feed(source, stdin, stir).then((failure) => {
    // What the program makes of half an image is not asked.
    if (failure !== null) child.kill('SIGKILL');
    return failure;
  });
  return {
    child,
    readFd: pipe.readFd,
    stop: () => {
      stdin.destroy();
      child.kill('SIGKILL');
    },
    ended: closed.then(async () => {
      stdin.destroy();
      return (await feeding) ?? end;
    }),
  };
}

/** Writes all of the source; null when that worked, or when the other side wants no more. */
async function feed(source: ByteSource, sink: Writable, stir: () => void): Promise<End | null> {
  // A reader that has gone says so elsewhere: the program by its end, the thread by a request.
  sink.on('error', () => sink.destroy());
  let waiting = true;
  const timer = setInterval(() => {
    if (waiting) stir();
  }, STIR_INTERVAL_MS);
  try {
    for await (const chunk of source.open()) {
      stir();
      if (sink.destroyed) return null;
      waiting = false;
      if (!sink.write(chunk)) await drained(sink);
      waiting = true;
    }
    if (!sink.destroyed) sink.end();
    return null;
  } catch (error) {
    return { state: STREAM_STATE.failed, message: `${codeOf(error) ?? 'SOURCE_READ_FAILED'} ${messageOf(error)}` };
  } finally {
    clearInterval(timer);
  }
}

function drained(sink: Writable): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      sink.off('drain', go);
      sink.off('close', go);
      resolve();
    };
    sink.on('drain', go);
    sink.on('close', go);
    if (sink.destroyed) go();
  });
}
