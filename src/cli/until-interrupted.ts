import { endingSignals, errorRegistry } from '../base/mod.ts';

/**
 * Runs something that Ctrl-C, SIGTERM and the end of the terminal stop in good order. A second Ctrl-C or SIGTERM ends the process at
 * once; a second SIGHUP does not, because shell and kernel both send one when a terminal goes.
 */
export async function untilInterrupted<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
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
