// Whether a machine is there, told by three witnesses that do not depend on each other: the lock that its process
// holds, its monitor, and the processes of this computer. Only when all three say no is it off.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { errnoOf } from '../../base/mod.ts';
import { isLockedByOther, killProcess, tryLock } from '../../linux/mod.ts';

/** The one byte of the lock file that counts. */
const LOCK_BYTE = 0;

/** A UUID (RFC 9562, version 8) that belongs to this folder's machine of this host, however the folder is spelled. */
export function uuidOf(folder: string, host: string): string {
  const hex = createHash('sha256').update(`${folder}\0${host}`).digest('hex');
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `a${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return parts.join('-');
}

function openLock(path: string, flags: string): number | null {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Whether somebody holds the lock: a machine, or who is about to start it. Asked without taking it. */
export function isLocked(path: string): boolean {
  const fd = openLock(path, 'r+');
  if (fd === null) return false;
  try {
    return isLockedByOther(fd, LOCK_BYTE);
  } finally {
    closeSync(fd);
  }
}

/**
 * The lock, as a descriptor that the machine's process is to inherit, or null when it is taken. The kernel drops it
 * when all copies of the descriptor are closed, however their processes end.
 */
export function takeLock(path: string): number | null {
  const fd = openSync(path, 'a+', 0o600);
  if (tryLock(fd, LOCK_BYTE)) return fd;
  closeSync(fd);
  return null;
}

function argumentsOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch (error) {
    // It has ended since it was listed.
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return [];
    throw error;
  }
}

/** Two arguments in a row that nobody else gives: who only mentions the machine has them in one, or not so. */
function isMachine(pid: string, uuid: string): boolean {
  const args = argumentsOf(pid);
  return args.some((argument, index) => argument === '-uuid' && args[index + 1] === uuid);
}

/** Processes of the machine with this UUID. Its number alone never tells a process. */
export function machineProcesses(uuid: string): readonly number[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  return pids.filter((pid) => isMachine(pid, uuid)).map(Number);
}

/** SIGKILL to every process of the machine. @throws SystemError EPERM */
export function killMachine(uuid: string): void {
  for (const pid of machineProcesses(uuid)) killProcess(pid, () => isMachine(String(pid), uuid));
}
