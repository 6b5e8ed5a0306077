// A daemon as a process: at most one for a lock file, whoever starts it. It holds the lock through a file that it
// inherits, so the kernel says whether it lives, and the lock is free only when its last request to a disk is over: a
// successor can never overtake it. No process id is looked at.
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, limits, messageOf, requireTool, UnderstudyError } from '../../base/mod.ts';
import { killProcess, tryLock } from '../../linux/mod.ts';

const LOCK_BYTE = 0;
/** What was killed is gone within this time, also on a busy machine. */
const KILL_TIMEOUT_MS = 15_000;
const LOOK_MS = 10;
const LOG_CHARACTERS_MAX = 2000;
/** Longest path of a Unix socket: unix(7), sun_path. */
const SOCKET_PATH_BYTES_MAX = 107;

export interface DaemonPaths {
  readonly lock: string;
  readonly qmp: string;
  /** What the daemon said since it was started last. */
  readonly log: string;
}

/**
 * @param name what its files are called: `daemon` is the one that holds the volumes
 * @throws STORAGE_FAILED when the folder's name is too long for sockets in it
 */
export function daemonPaths(stateFolder: string, name = 'daemon'): DaemonPaths {
  const paths = {
    lock: join(stateFolder, `${name}.lock`),
    qmp: join(stateFolder, `${name}.qmp`),
    log: join(stateFolder, `${name}.log`),
  };
  if (Buffer.byteLength(paths.qmp) <= SOCKET_PATH_BYTES_MAX) return paths;
  throw new UnderstudyError(
    'STORAGE_FAILED',
    `${stateFolder}: a Unix socket has a path of at most ${SOCKET_PATH_BYTES_MAX} bytes; use a folder with a shorter name`,
  );
}

/**
 * Where clients on this machine find the exports of the daemon that holds the volumes: the only place where it listens.
 */
export function volumesSocket(stateFolder: string): string {
  return join(stateFolder, 'nbd');
}

/** How a daemon is started. */
export interface Launch {
  /** Of qemu-storage-daemon(1), after those of its control connection. */
  readonly args: readonly string[];
  /**
   * Strangers reach it: what it writes and how many files it has open is bounded, and it has no rights beyond those of
   * its user. @default false
   */
  readonly exposed?: boolean;
  /** An open file that the daemon has as number `INHERITED_FILE`; it is closed here, whatever comes of the start. */
  readonly file?: number;
}

/** What a daemon knows the file by that it was given. */
export const INHERITED_FILE = 4;

/** Whether a daemon of these paths lives, one that ends just now included. */
export function daemonLives(paths: DaemonPaths): boolean {
  const fd = openLock(paths);
  const free = tryLock(fd, LOCK_BYTE);
  closeSync(fd);
  return !free;
}

/**
 * Starts the daemon in a session of its own, so that it goes on when we end, however we end. Does nothing when one
 * lives.
 * @param launch asked under the lock: from then on nobody else starts one
 * @returns whether it was started; it listens a moment later
 * @throws TOOL_MISSING, STORAGE_FAILED
 */
export async function startDaemon(paths: DaemonPaths, launch: () => Promise<Launch>): Promise<boolean> {
  const program = requireTool('qemu-storage-daemon', 'qemu-system-common');
  const lock = openLock(paths);
  try {
    if (!tryLock(lock, LOCK_BYTE)) return false;
    // One of these paths that does not hold this lock: its folder was removed, and nobody can reach it any more. Two
    // daemons on one disk must not be.
    await killDaemon(paths);
    const { file, ...command } = await launch();
    try {
      await spawnLogged(commandOf(program, paths, command), paths, file === undefined ? [lock] : [lock, file]);
    } finally {
      if (file !== undefined) closeSync(file);
    }
    return true;
  } finally {
    // The child has the open file, and with it the lock.
    closeSync(lock);
  }
}

/** What strangers can make a daemon write: each connection that it refuses is a line in its log. */
const LOG_BYTES_MAX = 256 * limits.KIB;
const OPEN_FILES_MAX = 4096;

function controlArgument({ qmp }: DaemonPaths): string {
  return `socket,id=control,server=on,wait=off,path=${qmp.replaceAll(',', ',,')}`;
}

function commandOf(program: string, paths: DaemonPaths, { args, exposed = false }: Launch): readonly string[] {
  const command = [program, '--chardev', controlArgument(paths), '--monitor', 'chardev=control', ...args];
  if (!exposed) return command;
  // A write beyond the bound fails and ends nothing: the signal that would end the process is ignored (setrlimit(2),
  // RLIMIT_FSIZE).
  const bounds = [`--fsize=${LOG_BYTES_MAX}`, `--nofile=${OPEN_FILES_MAX}`, '--core=0'];
  const ignore = [requireTool('env', 'coreutils'), '--ignore-signal=XFSZ'];
  return [requireTool('prlimit', 'util-linux'), ...bounds, ...withoutRights(), ...ignore, ...command];
}

/** Root is a user as others are without its capabilities (capabilities(7)). */
function withoutRights(): readonly string[] {
  const ofRoot = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'];
  const rights = process.geteuid?.() === 0 ? ofRoot : [];
  return [requireTool('setpriv', 'util-linux'), '--no-new-privs', ...rights, '--'];
}

async function spawnLogged(
  command: readonly string[],
  paths: DaemonPaths,
  inherited: readonly number[],
): Promise<void> {
  const log = openSync(paths.log, 'w', 0o600);
  try {
    await spawnDetached(command, ['ignore', log, log, ...inherited]);
  } finally {
    closeSync(log);
  }
}

function spawnDetached(command: readonly string[], stdio: ('ignore' | number)[]): Promise<void> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    cwd: '/',
    detached: true,
    stdio,
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

/**
 * Kills a daemon that holds nothing, if one lives, and waits until it is gone: one that waits for another daemon does
 * not end when it is told to. It is recognized by an argument that nobody else has. One that is started meanwhile is
 * left alone.
 * @throws STORAGE_FAILED when it is still there after the time-out
 */
export async function killDaemon(paths: DaemonPaths): Promise<void> {
  const control = controlArgument(paths);
  const isMeant = (pid: number): boolean => argumentsOf(pid).includes(control);
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isMeant(pid));
  for (const pid of pids) killProcess(pid, () => isMeant(pid));
  await eventuallyGone(paths, () => pids.every((pid) => !isMeant(pid)));
}

/**
 * Daemons of a state folder that run, whether they can still be reached or not: also those whose sockets were removed
 * with their folder.
 */
export function daemonsOf(stateFolder: string): readonly number[] {
  const prefix = controlArgument({ lock: '', log: '', qmp: `${stateFolder}/` });
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && argumentsOf(pid).some((argument) => argument.startsWith(prefix)));
}

/** The same, when nobody starts another one: returns when the lock is free. */
export async function endDaemon(paths: DaemonPaths): Promise<void> {
  await killDaemon(paths);
  await eventuallyGone(paths, () => !daemonLives(paths));
}

async function eventuallyGone({ qmp }: DaemonPaths, isGone: () => boolean): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  while (!isGone()) {
    if (performance.now() > deadline) {
      throw new UnderstudyError('STORAGE_FAILED', `the daemon of ${qmp} was killed and is still there`);
    }
    await delay(LOOK_MS);
  }
}

function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch (error) {
    // It has ended since it was listed.
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return [];
    throw error;
  }
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
