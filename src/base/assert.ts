import { AssertionError } from 'node:assert';

/** A programmer error: it ends a command, and in a running controller the step or the request in which it happens. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError({ message });
}

/** For an index that the surrounding code has already bounded. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionError({ message: `${what} is absent` });
  return value;
}
