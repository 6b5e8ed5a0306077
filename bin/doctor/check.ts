// One check: something is looked at, and what is found, or what stands in the way, becomes a line for people.
import { codeOf, messageOf, UnderstudyError } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';

/** What a look found: all is well, there is something to know, or it will not work. */
export interface Finding {
  readonly state: Check['state'];
  readonly detail: string;
  readonly remedy?: string;
}

export type Look = () => Promise<Finding | string> | Finding | string;

/** Beyond this a look has failed: whoever asks is a person who waits. */
const LOOK_MS_MAX = 45_000;

export function warning(detail: string, remedy: string): Finding {
  return { state: 'warning', detail, remedy };
}

export function failure(detail: string, remedy: string): Finding {
  return { state: 'failed', detail, remedy };
}

/**
 * @param remedy what to do when the look fails with an operating error
 * @throws INTERRUPTED; programmer errors pass through
 */
export async function checked(check: string, subject: string, remedy: string | null, look: Look): Promise<Check> {
  try {
    const found = await look();
    if (typeof found === 'string') return { check, subject, state: 'ok', detail: found, remedy: null };
    return { check, subject, state: found.state, detail: found.detail, remedy: found.remedy ?? null };
  } catch (error) {
    if (codeOf(error) === null && !isSystemError(error)) throw error;
    if (codeOf(error) === 'INTERRUPTED') throw error;
    return { check, subject, state: 'failed', detail: messageOf(error), remedy };
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

/** Ends with the person's patience, or with the look's own. */
export function patience(signal: AbortSignal): AbortSignal {
  if (signal.aborted) throw new UnderstudyError('INTERRUPTED', 'doctor was stopped');
  return AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS_MAX)]);
}
