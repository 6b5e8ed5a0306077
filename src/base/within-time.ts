// One piece of work that ends by itself, by its time-out, or by its caller.
import type { ErrorCode } from './errors.ts';
import { UnderstudyError } from './errors.ts';

export interface TimeLimit {
  /** 1 and up. */
  readonly timeoutMs: number;
  /** Of the error when the time is over: DIRECTOR_TIMEOUT. */
  readonly code: ErrorCode;
  /** Says what is being done: "admit web2"; asked when it failed, so that it can say how far it came. */
  readonly what: () => string;
}

/**
 * Runs `work` until the time is over or the signal ends it. The work is given a signal that is aborted with the error that the
 * caller gets; it has to look at it before each change that it makes, because it may still be running when the caller has
 * its answer.
 * @throws the limit's code, INTERRUPTED, and whatever the work throws
 */
export async function withinTime<T>(
  limit: TimeLimit,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const interrupt = (): void => {
    end.abort(new UnderstudyError('INTERRUPTED', `${limit.what()}: stopped by its caller`));
  };
  if (signal.aborted) interrupt();
  end.signal.throwIfAborted();
  const late = (): void => {
    end.abort(new UnderstudyError(limit.code, `${limit.what()}: not done within ${limit.timeoutMs} ms`));
  };
  const timer = setTimeout(late, limit.timeoutMs);
  signal.addEventListener('abort', interrupt, { once: true });
  const ended = new Promise<never>((_, reject) => {
    end.signal.addEventListener('abort', () => reject(end.signal.reason), { once: true });
  });
  try {
    return await Promise.race([work(end.signal), ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', interrupt);
  }
}
