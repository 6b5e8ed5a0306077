// Where processes that want the same source find each other: one file per source in a folder of the user, and locks on
// bytes of that file that say who is alive.
//
// Level-triggered: nobody trusts what a file claims about processes; locks are asked. A file without a living process
// behind it is removed by whoever meets it.
import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, limits, reasonOf, shortName, UnderstudyError } from '../../base/mod.ts';
import {
  isLockedByOther,
  type Mapping,
  mapShared,
  reserveSpace,
  tryLock,
  tryLockShared,
  unlock,
} from '../../linux/mod.ts';
import { HEADER_BYTES, LAYOUT_VERSION, LockByte, MAGIC, RingState } from './layout.ts';
import { RingHeader } from './ring.ts';

/** Time in which whoever holds the rendezvous lock does its few system calls, also on a machine that swaps. */
const RENDEZVOUS_MS_MAX = 20_000;
/** Neither through a link nor waiting for the other end of a pipe. */
const PLAINLY = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The ring file of a source; the identity itself may hold any characters. */
export function ringPath(folder: string, identity: string): string {
  return `${folder}/${shortName(identity)}.ring`;
}

/** An open ring file with a header page; `fd` holds `interest`, so the ring stays until it is closed. */
export interface Rendezvous {
  readonly path: string;
  readonly fd: number;
  readonly header: RingHeader;
  readonly mapping: Mapping;
  /** True for the one that made the file. */
  readonly created: boolean;
}

function openFresh(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT | PLAINLY, 0o600);
}

/** A second open file of the same inode: locks belong to open files, so each role has its own. */
export function reopen(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, constants.O_RDWR);
}

async function takeRendezvous(fd: number): Promise<void> {
  const deadline = performance.now() + RENDEZVOUS_MS_MAX;
  for (let waitMs = 1; !tryLock(fd, LockByte.rendezvous); waitMs = Math.min(waitMs * 2, 50)) {
    if (performance.now() > deadline) {
      throw new UnderstudyError(
        'PRODUCER_FAILED',
        'another copy of this source is starting or ending, and gets no further',
      );
    }
    await delay(waitMs);
  }
}

/**
 * Whether any process is behind the file: producer, consumer, or somebody on the way in. Hold `rendezvous`. Interest is
 * asked about first: nobody can take it meanwhile, and only who has it starts producers. The other way round a producer
 * could be started, and its starter leave, between the two questions.
 */
function isInhabited(fd: number): boolean {
  return isLockedByOther(fd, LockByte.interest) || isLockedByOther(fd, LockByte.producer);
}

type Content = 'empty' | 'ours' | 'foreign';

function contentOf(fd: number): Content {
  if (fstatSync(fd).size === 0) return 'empty';
  if (fstatSync(fd).size < HEADER_BYTES) return 'foreign';
  const mapping = mapShared(fd, HEADER_BYTES);
  const header = new RingHeader(mapping.buffer);
  const magic = header.get('magic0') === MAGIC[0] && header.get('magic1') === MAGIC[1];
  const ours = magic && header.get('layoutVersion') === LAYOUT_VERSION;
  mapping.unmap();
  return ours ? 'ours' : 'foreign';
}

/**
 * Joins the ring file at `path`, making it when there is none; stale ones are replaced.
 * @throws RING_VERSION when a living process of another version uses it
 */
export async function meet(path: string, quorum: number): Promise<Rendezvous> {
  for (;;) {
    const fd = openFresh(path);
    try {
      await takeRendezvous(fd);
      // Between open and lock the file may have been removed by its last user: then this one is nobody's, and we try
      // again.
      if (fstatSync(fd).nlink === 0) {
        closeSync(fd);
        continue;
      }
      const content = contentOf(fd);
      if (content !== 'empty' && !isUsable(fd, content)) {
        unlinkSync(path);
        closeSync(fd);
        continue;
      }
      if (content === 'empty') reserveHeader(fd);
      const mapping = mapShared(fd, HEADER_BYTES);
      const header = new RingHeader(mapping.buffer);
      if (content === 'empty') initialiseHeader(header, quorum);
      tryLockShared(fd, LockByte.interest);
      unlock(fd, LockByte.rendezvous);
      return { path, fd, header, mapping, created: content === 'empty' };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

/**
 * Reserved, not only promised: whoever wrote to a page for which there is no memory would get SIGBUS. @throws
 * RING_MEMORY
 */
function reserveHeader(fd: number): void {
  try {
    reserveSpace(fd, 0, HEADER_BYTES);
  } catch (cause) {
    const errno = errnoOf(cause) ?? '';
    const message = `shared memory has no room for a ring: ${reasonOf(errno)}; make room`;
    throw new UnderstudyError('RING_MEMORY', message, { cause });
  }
}

function isUsable(fd: number, content: Content): boolean {
  const inhabited = isInhabited(fd);
  if (content === 'foreign') {
    if (inhabited) {
      throw new UnderstudyError(
        'RING_VERSION',
        'another version of this program is copying this source; wait until it has ended, or use that version',
      );
    }
    return false;
  }
  const mapping = mapShared(fd, HEADER_BYTES);
  const state = new RingHeader(mapping.buffer).get('state');
  mapping.unmap();
  // A failed or closed ring is not joined even while others still read their error from it.
  return inhabited && state !== RingState.failed && state !== RingState.closed;
}

function initialiseHeader(header: RingHeader, quorum: number): void {
  header.set('magic0', MAGIC[0]);
  header.set('magic1', MAGIC[1]);
  header.set('layoutVersion', LAYOUT_VERSION);
  header.set('quorum', quorum);
  header.setDouble('startedAtMs', Date.now());
}

export interface ProducerCommand {
  /** Script of the producer. */
  readonly program: string;
  /** JSON; a URL in it may hold a password, so it travels in the environment, which only the user can read. */
  readonly options: string;
  /** What the producer gets as standard input. */
  readonly stdin: number | 'ignore';
}

/** Environment variable that carries ProducerCommand.options. */
export const PRODUCER_OPTIONS = 'UNDERSTUDY_PRODUCER_OPTIONS';

/**
 * Starts a producer when there is none: takes its lock byte on an open file of its own and lets a detached child
 * inherit that open file, so the lock passes to the child with no moment in between. Two processes that both find no
 * producer cannot both get the byte. Returns whether one was started.
 */
export function ensureProducer(rendezvous: Rendezvous, command: ProducerCommand): boolean {
  if (isLockedByOther(rendezvous.fd, LockByte.producer)) return false;
  const fd = reopen(rendezvous.fd);
  try {
    if (!tryLock(fd, LockByte.producer)) return false;
    const log = process.env.UNDERSTUDY_PRODUCER_LOG;
    const logFd = log === undefined ? null : openSync(log, 'a', 0o600);
    // Node.js reads those certificates at each start, which takes longer than all the rest of it; the producer itself
    // makes no TLS connection.
    const { NODE_EXTRA_CA_CERTS: _, ...environment } = process.env;
    const child = spawn(process.execPath, [command.program], {
      env: { ...environment, [PRODUCER_OPTIONS]: command.options },
      detached: true,
      stdio: [command.stdin, 'ignore', logFd ?? 'ignore', fd],
      cwd: '/',
    });
    // A failure to start shows as a free lock at the next look; the event must merely not go unheard.
    child.on('error', () => child.unref());
    child.unref();
    if (logFd !== null) closeSync(logFd);
    return true;
  } finally {
    closeSync(fd);
  }
}

export function producerAlive(rendezvous: Rendezvous): boolean {
  return isLockedByOther(rendezvous.fd, LockByte.producer);
}

/**
 * Gives up interest: from now on the producer may remove the ring. Said explicitly, because a mapping keeps its open
 * file, and with it the lock, alive beyond the close of the descriptor.
 */
export function loseInterest(rendezvous: Rendezvous): void {
  unlock(rendezvous.fd, LockByte.interest);
  closeSync(rendezvous.fd);
}

/**
 * [producer] Removes the ring if nobody is interested: under the rendezvous lock, so that a joiner either is seen here
 * or finds the file gone and makes a new one. `fd` is an open file that holds no other locks. Returns whether it is
 * removed.
 */
export function tryClose(path: string, fd: number, header: RingHeader): boolean {
  if (!tryLock(fd, LockByte.rendezvous)) return false;
  if (!tryLock(fd, LockByte.interest)) {
    unlock(fd, LockByte.rendezvous);
    return false;
  }
  header.set('state', RingState.closed);
  removeFile(path, fd);
  return true;
}

/**
 * Unlinks a ring that is of no use any more, waiting for the rendezvous lock: without it a joiner could have replaced
 * the file between our look and our unlinking, and its new ring would go instead. Blocks the thread for as long as
 * others hold the lock, which is for a few system calls; gives up with the file in place when that never ends.
 */
export function removeRing(path: string, fd: number): void {
  const deadline = performance.now() + RENDEZVOUS_MS_MAX;
  const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));
  while (!tryLock(fd, LockByte.rendezvous)) {
    if (performance.now() > deadline) return;
    Atomics.wait(nobodyWakes, 0, 0, 5);
  }
  removeFile(path, fd);
  unlock(fd, LockByte.rendezvous);
}

/**
 * The last look of whoever leaves: after a producer's death nobody else would remove the file. Waits for the rendezvous
 * lock, because two that leave together and merely try it would each take the other for a reason to let the file be.
 */
export async function removeIfDeserted(path: string): Promise<void> {
  const fd = openExisting(path);
  if (fd === null) return;
  try {
    await takeRendezvous(fd);
    if (!isInhabited(fd)) removeFile(path, fd);
  } finally {
    closeSync(fd);
  }
}

/** Unlinks the path if it still names the open file. Hold `rendezvous`. */
function removeFile(path: string, fd: number): void {
  try {
    if (lstatSync(path).ino === fstatSync(fd).ino) unlinkSync(path);
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
  }
}

/** Removes what crashed processes left behind; living rings are left alone. */
export function sweepStale(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('.ring')) continue;
    const path = `${folder}/${name}`;
    const fd = openExisting(path);
    if (fd === null) continue;
    // Somebody at the rendezvous is somebody alive: nothing to sweep.
    if (tryLock(fd, LockByte.rendezvous) && !isInhabited(fd)) removeFile(path, fd);
    closeSync(fd);
  }
}

/** Opens a ring file for looking at; null when it is gone. */
export function openExisting(path: string): number | null {
  try {
    return openSync(path, constants.O_RDWR | PLAINLY);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    throw cause;
  }
}

/** Longest time between two looks at who is alive. */
export const LOOK_INTERVAL_MS = limits.LIVENESS_INTERVAL_MS;
