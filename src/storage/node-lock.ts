// One storage node for a state folder, among all processes: a lock that the kernel drops when its holder dies.
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, messageOf, UnderstudyError } from '../base/mod.ts';
import { tryLock } from '../linux/mod.ts';

const LOCK_BYTE = 2 ** 40;
/** A process that was killed is gone within this time, also on a busy machine. */
const PATIENCE_MS = 15_000;
const LOOK_MS = 50;

export interface NodeLock {
  /** @throws STATE_LOST when the file is not there any more, or is another one: another node may have that */
  check(): void;
  release(): void;
}

/** @throws STORAGE_FAILED when another process has it and keeps it */
export async function lockNode(path: string): Promise<NodeLock> {
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
  return { check: () => checkPlace(fd, path), release: () => closeSync(fd) };
}

function checkPlace(fd: number, path: string): void {
  const held = fstatSync(fd);
  try {
    const there = statSync(path);
    if (there.dev === held.dev && there.ino === held.ino) return;
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
  }
  throw new UnderstudyError(
    'STATE_LOST',
    `${path} was removed or replaced while it was in use: nothing is done any more; end this process, and then run ` +
      '"understudy recover"',
  );
}
