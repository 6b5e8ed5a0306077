// Errors as they are told: each once, as an event, and again when it is another one or after all was well. The stack of
// a defect stands in the log alone.
import { inspect } from 'node:util';
import { codeOf, messageOf, shown } from '../base/mod.ts';

const SUBJECTS_MAX = 1000;
const STACK_LINES_MAX = 60;

interface Told {
  readonly text: string;
  readonly code: string;
  /** Of a defect; null: it is an operating error. */
  readonly stack: string | null;
}

export class Troubles {
  readonly #told = new Map<string, string>();

  /** @returns what an event is to say, or null when it was told before */
  tell(subject: string, error: unknown): Told | null {
    const code = codeOf(error) ?? 'INTERNAL';
    const text = `${shown(subject)}: ${shown(messageOf(error))} (${code})`;
    // Times and counts in a message do not make it another one.
    const same = text.replace(/\d+/g, '#');
    if (this.#told.get(subject) === same) return null;
    if (this.#told.size >= SUBJECTS_MAX) this.#told.clear();
    this.#told.set(subject, same);
    return { text, code, stack: code === 'INTERNAL' ? stackOf(error) : null };
  }

  /** It was looked at, and nothing was wrong: the next error is told whatever it is. @returns whether one was told */
  well(subject: string): boolean {
    return this.#told.delete(subject);
  }
}

/** A defect as the log tells it. */
export function defectOf(subject: string, error: unknown): { message: string; code: 'INTERNAL'; stack: string } {
  return { message: `${shown(subject)}: ${shown(messageOf(error))}`, code: 'INTERNAL', stack: stackOf(error) };
}

/** With its causes; what would act on a terminal is written out. */
function stackOf(error: unknown): string {
  const lines = inspect(error, { depth: 2, breakLength: 120 }).split('\n');
  return lines
    .slice(0, STACK_LINES_MAX)
    .map((line) => shown(line))
    .join('\n');
}
