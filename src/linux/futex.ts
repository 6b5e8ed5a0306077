// futex(2) on words in shared memory. Not FUTEX_PRIVATE_FLAG: the waiters are other processes.

import { constants } from 'node:os';
import { assert } from '../base/mod.ts';
import { lastErrno, lastError, libc, SYSCALL } from './libc.ts';
import { addressOf, allocatePages } from './mapping.ts';

const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const { EAGAIN, EINTR, ETIMEDOUT } = constants.errno;

const wakeAll = 0x7fff_ffff;
/** One timespec a thread: a thread waits on one word at a time. */
const timespecMapping = allocatePages(4096);
const timespec = new BigInt64Array(timespecMapping.buffer, 0, 2);
const timespecAddress = addressOf(new Uint8Array(timespecMapping.buffer));

function wordAddress(words: Int32Array, index: number): bigint {
  assert(index >= 0 && index < words.length, 'futex word in bounds');
  return addressOf(new Uint8Array(words.buffer, words.byteOffset + index * 4, 4));
}

/**
 * Sleeps until somebody wakes the word, or it no longer holds `expected`, or the time is over; spurious returns happen,
 * so the caller looks at the word again. Blocks the thread: worker threads only. `timeoutMs` is 0 or more.
 */
export function futexWait(words: Int32Array, index: number, expected: number, timeoutMs: number): void {
  timespec[0] = BigInt(Math.floor(timeoutMs / 1000));
  timespec[1] = BigInt(Math.floor((timeoutMs % 1000) * 1e6));
  const result = libc.syscall(
    SYSCALL.futex,
    wordAddress(words, index),
    FUTEX_WAIT,
    expected >>> 0,
    timespecAddress,
    0,
    0,
  );
  if (result === 0) return;
  const errno = lastErrno();
  if (errno !== EAGAIN && errno !== EINTR && errno !== ETIMEDOUT) throw lastError('futex wait');
}

/** Wakes every waiter of the word, in all processes. */
export function futexWakeAll(words: Int32Array, index: number): void {
  if (libc.syscall(SYSCALL.futex, wordAddress(words, index), FUTEX_WAKE, wakeAll, 0, 0, 0) < 0) {
    throw lastError('futex wake');
  }
}
