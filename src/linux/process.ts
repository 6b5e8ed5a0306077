// Signals that reach the process that was meant: a process descriptor (pidfd_open(2)) stays with its process, whereas a number
// may belong to another process by the time a signal is sent to it.
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { lastErrno, lastError, libc, SYSCALL } from './libc.ts';

/**
 * Sends SIGKILL to the process of this number if, once it is held and cannot be confused with another any more, `isMeant`
 * recognizes it.
 * @returns whether it was there, recognized and signalled
 * @throws SystemError EPERM for a process of somebody else
 */
export function killProcess(pid: number, isMeant: () => boolean): boolean {
  const fd = libc.syscall(SYSCALL.pidfdOpen, pid, 0, 0, 0, 0, 0);
  if (fd < 0) {
    if (lastErrno() === constants.errno.ESRCH) return false;
    throw lastError('pidfd_open');
  }
  try {
    // What /proc says now is about the process that is held: its number is not given to another before it has been reaped,
    // and after that the signal goes nowhere.
    if (!isMeant()) return false;
    if (libc.syscall(SYSCALL.pidfdSendSignal, fd, constants.signals.SIGKILL, 0, 0, 0, 0) === 0) return true;
    if (lastErrno() === constants.errno.ESRCH) return false;
    throw lastError('pidfd_send_signal');
  } finally {
    closeSync(fd);
  }
}
