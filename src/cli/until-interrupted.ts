import { errorRegistry } from '../base/mod.ts';

/** Runs something that Ctrl-C stops; a second one ends the process at once. */
export async function untilInterrupted<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  let signals = 0;
  const interrupt = (): void => {
    signals += 1;
    // The first asks for an orderly end; a second means now.
    if (signals > 1) process.exit(errorRegistry.INTERRUPTED.exit);
    abort.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    return await use(abort.signal);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
