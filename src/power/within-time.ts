// One driver call: it ends by itself, or by its time-out, or by its caller.
import { type Call, UnderstudyError } from '../base/mod.ts';

/**
 * Runs `work` for at most `timeoutMs`. The work is given a signal that is aborted with the error that the caller gets, and
 * must look at it before each change that it makes: it may still be running when the caller has its answer.
 * @throws POWER_TIMEOUT, INTERRUPTED, and whatever the work throws
 */
export async function withinTime<T>(
  what: string,
  timeoutMs: number,
  call: Call,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const interrupt = (): void => end.abort(new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`));
  if (call.signal.aborted) interrupt();
  end.signal.throwIfAborted();
  call.signal.addEventListener('abort', interrupt, { once: true });
  const late = (): void => end.abort(new UnderstudyError('POWER_TIMEOUT', `${what}: not done within ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  const ended = new Promise<never>((_, reject) => {
    end.signal.addEventListener('abort', () => reject(end.signal.reason), { once: true });
  });
  try {
    return await Promise.race([work(end.signal), ended]);
  } finally {
    clearTimeout(timer);
    call.signal.removeEventListener('abort', interrupt);
  }
}
