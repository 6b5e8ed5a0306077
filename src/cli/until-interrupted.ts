import { closeSync, openSync } from 'node:fs';
import { endingSignals, errorRegistry } from '../base/mod.ts';

/**
 * Runs something that Ctrl-C, SIGTERM and the end of the terminal stop in good order. A second Ctrl-C or SIGTERM ends
 * the process at once; a second SIGHUP does not, because shell and kernel both send one when a terminal goes.
 * @param onHangUp what SIGHUP does instead, unless the terminal has gone. @default it stops, too
 */
export async function untilInterrupted<T>(
  use: (signal: AbortSignal) => Promise<T>,
  onHangUp: (() => void) | null = null,
): Promise<T> {
  const abort = new AbortController();
  const hadTerminal = onHangUp !== null && hasTerminal();
  const interrupt = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && onHangUp !== null && hasTerminal() === hadTerminal) {
      onHangUp();
      return;
    }
    if (abort.signal.aborted && signal !== 'SIGHUP') process.exit(errorRegistry.INTERRUPTED.exit);
    abort.abort();
  };
  const signals = endingSignals();
  for (const signal of signals) process.on(signal, interrupt);
  try {
    return await use(abort.signal);
  } finally {
    // After a hang-up another one may come until the very end, which is near.
    const kept = abort.signal.aborted ? 'SIGHUP' : null;
    for (const signal of signals) if (signal !== kept) process.off(signal, interrupt);
  }
}

/** Whether there is a controlling terminal, and it has not gone (tty(4), ENXIO). */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
