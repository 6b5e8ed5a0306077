// Errors that nobody catches: thrown by a timer, by a listener, by an "error" event that nobody listens to, or in a
// promise that nobody awaits. Node.js tells the process of them; who began what they were thrown in is known by the
// context that Node.js carries along.
import { AsyncLocalStorage } from 'node:async_hooks';
import { messageOf } from '../base/mod.ts';

const context = new AsyncLocalStorage<string>();

/** Aborts the work that began what threw it: it would wait for what never comes. */
export class Uncaught extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), { cause: cause ?? new Error(`${cause} was thrown`) });
  }
}

/**
 * Does the work so that `whose` tells its subject, in everything that it begins. @param subject "service/wiki",
 * "request GET /v1/status"
 */
export function asWorkOf<T>(subject: string, work: () => T): T {
  return context.run(subject, work);
}

/** Whose work threw the error that the process is told of; null: not known. */
export function whose(): string | null {
  return context.getStore() ?? null;
}
