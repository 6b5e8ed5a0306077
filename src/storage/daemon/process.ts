// The daemon as a process: at most one for a state folder, whoever starts it. It holds the lock of the folder through a file that
// it inherits, so the kernel says whether it lives, and the lock is free only when its last request to a disk is over: a
// successor can never overtake it. No process id is looked at.
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, messageOf, requireTool, UnderstudyError } from '../../base/mod.ts';
import { tryLock } from '../../linux/mod.ts';

const LOCK_BYTE = 0;
const LOG_CHARACTERS_MAX = 2000;
/** Longest path of a Unix socket: unix(7), sun_path. */
const SOCKET_PATH_BYTES_MAX = 107;

export interface DaemonPaths {
  readonly lock: string;
  readonly qmp: string;
  /** Where hosts and copies find exports, when the node does not listen on TCP. */
  readonly nbd: string;
  /** What the daemon said since it was started last. */
  readonly log: string;
}

/** @throws STORAGE_FAILED when the folder's name is too long for sockets in it */
export function daemonPaths(stateFolder: string): DaemonPaths {
  const paths = {
    lock: join(stateFolder, 'daemon.lock'),
    qmp: join(stateFolder, 'daemon.qmp'),
    nbd: join(stateFolder, 'nbd'),
    log: join(stateFolder, 'daemon.log'),
  };
  if (Buffer.byteLength(paths.qmp) <= SOCKET_PATH_BYTES_MAX) return paths;
  throw new UnderstudyError(
    'STORAGE_FAILED',
    `${stateFolder}: a Unix socket has a path of at most ${SOCKET_PATH_BYTES_MAX} bytes; use a folder with a shorter name`,
  );
}

/** Whether a daemon of this folder lives, one that ends just now included. */
export function daemonLives(paths: DaemonPaths): boolean {
  const fd = openLock(paths);
  const free = tryLock(fd, LOCK_BYTE);
  closeSync(fd);
  return !free;
}

/**
 * Starts the daemon in a session of its own, so that it goes on when we end, however we end. Does nothing when one lives.
 * @returns whether it was started; it listens a moment later
 * @throws TOOL_MISSING, STORAGE_FAILED
 */
export async function startDaemon(paths: DaemonPaths): Promise<boolean> {
  const program = requireTool('qemu-storage-daemon', 'qemu-system-common');
  const lock = openLock(paths);
  try {
    if (!tryLock(lock, LOCK_BYTE)) return false;
    const log = openSync(paths.log, 'w', 0o600);
    try {
      await spawnDetached(program, paths, lock, log);
    } finally {
      closeSync(log);
    }
    return true;
  } finally {
    // The child has the open file, and with it the lock.
    closeSync(lock);
  }
}

function spawnDetached(program: string, paths: DaemonPaths, lock: number, log: number): Promise<void> {
  const socket = `socket,id=control,server=on,wait=off,path=${paths.qmp.replaceAll(',', ',,')}`;
  const child = spawn(program, ['--chardev', socket, '--monitor', 'chardev=control'], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log, lock],
    env: { ...process.env, LC_ALL: 'C' },
  });
  child.unref();
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      reject(new UnderstudyError('STORAGE_FAILED', `${program} cannot be started: ${messageOf(cause)}`, { cause }));
    });
  });
}

function openLock({ lock }: DaemonPaths): number {
  try {
    return openSync(lock, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (cause) {
    throw new UnderstudyError('STORAGE_FAILED', `${lock} cannot be opened: ${messageOf(cause)}`, { cause });
  }
}

/** The end of what the daemon said, for an error. */
export function daemonLog({ log }: DaemonPaths): string {
  try {
    return readFileSync(log, 'utf8').trim().slice(-LOG_CHARACTERS_MAX);
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return '';
  }
}
