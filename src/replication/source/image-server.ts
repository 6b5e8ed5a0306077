// A qemu-nbd of our own for one image and one reader. It dies with this process, and ends when its reader leaves.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, watch } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, limits, spawnBound, UnderstudyError } from '../../base/mod.ts';
import { type BlockNode, graphName, qemuError, requireQemu, type ToolObjects } from './qemu.ts';

export interface ImageServer {
  /** Valid in this process only, in all its threads, and for one connection. */
  readonly uri: string;
  readonly helperPids: number[];
  /** Ends the server. Idempotent. */
  close(): Promise<void>;
}

export interface ImageServerOptions {
  readonly uri: string;
  readonly graph: BlockNode;
  readonly objects: ToolObjects;
  /** Empty but for the objects' files, of mode 0700; removed once the server listens. */
  readonly folder: string;
}

/** Linux's O_PATH, which Node.js does not name: a handle on a file itself, whatever happens to its names. */
const O_PATH = 0o10000000;
const STDERR_CHARACTERS_MAX = 8192;

/** @throws TOOL_MISSING, SOURCE_TIMEOUT, and whatever qemu-nbd complains about */
export async function serveImage(options: ImageServerOptions): Promise<ImageServer> {
  const { folder, objects, graph } = options;
  const socket = join(folder, 's');
  const pidFile = join(folder, 'pid');
  // --pid-file is written when the server listens. A connection made to find that out would be its one client.
  const args = ['--read-only', `--socket=${socket}`, `--pid-file=${pidFile}`, ...objects, graphName(graph)];
  const qemuNbd = requireQemu('qemu-nbd');
  const listening = watchFor(folder, pidFile);
  let child: ChildProcess;
  let socketFd: number;
  try {
    child = spawnBound(qemuNbd, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    try {
      await untilListening(child, listening.seen, options.uri);
      socketFd = openSync(socket, O_PATH);
    } catch (error) {
      await end(child);
      throw error;
    }
  } finally {
    listening.stop();
    // The socket keeps working through /proc without its name; so however this process dies, no folder stays behind.
    await rm(folder, { recursive: true, force: true });
  }
  let open = true;
  return {
    uri: `nbd+unix:///?socket=/proc/self/fd/${socketFd}`,
    get helperPids() {
      return child.pid === undefined || isOver(child) ? [] : [child.pid];
    },
    async close() {
      if (!open) return;
      open = false;
      await end(child);
      closeSync(socketFd);
    },
  };
}

function watchFor(folder: string, file: string): { seen: Promise<void>; stop(): void } {
  const watcher = watch(folder);
  const seen = new Promise<void>((resolve, reject) => {
    watcher.on('change', () => {
      // Not before its line is whole: until then qemu-nbd still looks at the file, and gives up when it has gone.
      if (existsSync(file) && readFileSync(file, 'latin1').endsWith('\n')) resolve();
    });
    watcher.on('error', reject);
  });
  return { seen, stop: () => watcher.close() };
}

function isOver(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || isOver(child)) return;
  const over = once(child, 'exit');
  // It only reads: there is nothing to finish.
  child.kill('SIGKILL');
  await over;
}

async function untilListening(child: ChildProcess, seen: Promise<void>, uri: string): Promise<void> {
  assert(child.stderr !== null, 'stderr is a pipe');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, STDERR_CHARACTERS_MAX);
  });
  const timer = new AbortController();
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', () => reject(qemuError(uri, stderr)));
    const late = setTimeout(() => {
      reject(new UnderstudyError('SOURCE_TIMEOUT', `${uri}: qemu-nbd did not start to serve it`));
    }, limits.IO_TIMEOUT_MS);
    timer.signal.addEventListener('abort', () => clearTimeout(late));
  });
  try {
    await Promise.race([seen, failed]);
  } finally {
    timer.abort();
  }
}
