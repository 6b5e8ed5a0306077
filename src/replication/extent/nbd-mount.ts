// One nbdfuse(1): start, wait until it serves, watch, unmount.
//
// It ends in each of these ways, and never leaves a mount behind:
// - close(): fusermount3 -u, upon which nbdfuse says goodbye to the server and exits;
// - the server hangs or dies: nbdfuse is killed, which makes the kernel fail what is being read, so that no tool stays
//   stuck in an uninterruptible read;
// - this process dies: the kernel kills nbdfuse (spawnBound), and a guard, a shell that waits for the end of a pipe that
//   only we hold, unmounts. nbdfuse's own "auto_unmount" asks once and gives up when that one try is refused, and it never
//   tries when nbdfuse dies while its fusermount3 is still mounting.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { limits, requireTool, runTool, spawnBound, UnderstudyError } from '../../base/mod.ts';
import { createPipe } from '../../linux/mod.ts';

const STDERR_CHARS_MAX = 4096;
/** nbdfuse needs a round trip to the server to end; a dead server must not hold us longer. */
const EXIT_WAIT_MS = 2000;

/** Tries for 10 s: the mount that has to go may not even be there yet when the first try is made. */
const GUARD_SCRIPT = `read _
tries=0
until fusermount3 -u -z "$1" || [ $tries -ge 100 ]; do
  tries=$((tries + 1))
  sleep 0.1
done`;

export interface NbdMount {
  readonly filePath: string;
  /** Why the view came to an end before it was closed. */
  readonly failure: UnderstudyError | null;
  close(): Promise<void>;
}

class Mount implements NbdMount {
  readonly filePath: string;
  failure: UnderstudyError | null = null;
  readonly exited: Promise<void>;
  readonly #uri: string;
  readonly #mountPoint: string;
  readonly #child: ChildProcess;
  readonly #guard: ChildProcess;
  #deadline: NodeJS.Timeout | undefined;
  #closing = false;
  #stderr = '';

  constructor(uri: string, mountPoint: string, child: ChildProcess) {
    this.#uri = uri;
    this.#mountPoint = mountPoint;
    this.filePath = `${mountPoint}/nbd`;
    this.#child = child;
    this.#guard = startGuard(mountPoint);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.#stderr.length < STDERR_CHARS_MAX) this.#stderr += text;
    });
    this.exited = new Promise((resolve) => {
      child.on('error', (cause) => {
        this.#fail(new UnderstudyError('TOOL_MISSING', 'nbdfuse could not be started', { cause }));
        resolve();
      });
      child.on('exit', () => {
        if (!this.#closing) this.#fail(this.#unavailable());
        resolve();
      });
    });
  }

  /** Gives the source up when the time is over, whatever somebody is waiting for. */
  limit(timeoutMs: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#fail(new UnderstudyError('SOURCE_TIMEOUT', `${this.#uri} did not answer within ${timeoutMs / 1000} s`));
      this.#child.kill('SIGKILL');
    }, timeoutMs);
  }

  async close(): Promise<void> {
    clearTimeout(this.#deadline);
    this.#closing = true;
    const unmounted = await runTool(requireTool('fusermount3', 'fuse3'), ['-u', '-z', this.#mountPoint]);
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_WAIT_MS);
    await this.exited;
    clearTimeout(killer);
    this.#guard.kill('SIGKILL');
    // fusermount3 also fails when nothing is mounted any more, so only the mount table tells.
    const table = await readFile('/proc/self/mountinfo', 'utf8');
    if (table.includes(` ${this.#mountPoint} `)) {
      throw new UnderstudyError('SOURCE_UNAVAILABLE', `${this.#mountPoint} stayed mounted: ${unmounted.stderr.trim()}`);
    }
  }

  #fail(failure: UnderstudyError): void {
    this.failure ??= failure;
  }

  #unavailable(): UnderstudyError {
    const line = this.#stderr.split('\n').find((text) => text.trim() !== '');
    return new UnderstudyError('SOURCE_UNAVAILABLE', `${this.#uri} cannot be read: ${line ?? 'nbdfuse ended'}`);
  }
}

/** Unmounts when this process dies. A session of its own keeps it out of the way of Ctrl-C. */
function startGuard(mountPoint: string): ChildProcess {
  const args = ['-c', GUARD_SCRIPT, 'understudy-unmount-guard', mountPoint];
  const guard = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  // Its absence costs only what it guards against.
  guard.on('error', () => {});
  guard.stdin?.on('error', () => {});
  guard.unref();
  (guard.stdin as Socket | null)?.unref();
  return guard;
}

/**
 * Mounts an NBD export as the file `nbd` in an empty folder, read-only.
 * @throws SOURCE_UNAVAILABLE, SOURCE_TIMEOUT, TOOL_MISSING
 */
export async function mountNbd(uri: string, mountPoint: string, timeoutMs: number): Promise<NbdMount> {
  const nbdfuse = requireTool('nbdfuse', 'libnbd-bin');
  requireTool('fusermount3', 'fuse3');
  // nbdfuse writes its process id when the mount is ready. A pipe in place of a file tells that moment without polling.
  const ready = createPipe();
  const args = ['-r', '-P', '/proc/self/fd/3', mountPoint, uri];
  let child: ChildProcess;
  try {
    child = spawnBound(nbdfuse, args, { stdio: ['ignore', 'ignore', 'pipe', ready.writeFd] });
  } catch (cause) {
    closeSync(ready.readFd);
    throw cause;
  } finally {
    closeSync(ready.writeFd);
  }
  const mount = new Mount(uri, mountPoint, child);
  mount.limit(Math.min(timeoutMs, limits.IO_TIMEOUT_MS));
  const socket = new Socket({ fd: ready.readFd, readable: true, writable: false });
  try {
    await Promise.race([firstData(socket), mount.exited]);
  } finally {
    socket.destroy();
  }
  if (mount.failure !== null) {
    await mount.close();
    throw mount.failure;
  }
  mount.limit(timeoutMs);
  return mount;
}

/** Resolves with the first bytes; the end or failure of a pipe is told by the process at its other end. */
function firstData(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('data', () => resolve());
    socket.once('error', reject);
  });
}
