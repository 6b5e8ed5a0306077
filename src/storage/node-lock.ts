// One storage node for a state folder, among all processes: a lock that the kernel drops when its holder dies.
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, UnderstudyError } from '../base/mod.ts';
import { tryLock } from '../linux/mod.ts';

const LOCK_BYTE = 2 ** 40;
/** A process that was killed is gone within this time, also on a busy machine. */
const PATIENCE_MS = 15_000;
const LOOK_MS = 50;

/** @returns what gives it up @throws STORAGE_FAILED when another process has it and keeps it */
export async function lockNode(path: string): Promise<() => void> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (cause) {
    throw new UnderstudyError('STORAGE_FAILED', `${path} cannot be opened: ${messageOf(cause)}`, { cause });
  }
  const deadline = performance.now() + PATIENCE_MS;
  while (!tryLock(fd, LOCK_BYTE)) {
    if (performance.now() > deadline) {
      closeSync(fd);
      // For people only: what it says of processes is never acted upon.
      const holder = readFileSync(path, 'utf8').trim();
      throw new UnderstudyError('STORAGE_FAILED', `another process (${holder}) runs the storage node of ${path}`);
    }
    await delay(LOOK_MS);
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `process ${process.pid}\n`, 0);
  return () => closeSync(fd);
}
