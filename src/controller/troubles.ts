// Errors as they are told: each once, in the log and as an event, and again when it is another one or after all was
// well. The stack of a defect stands in the log alone.
import { inspect } from 'node:util';
import { codeOf, messageOf, shown } from '../base/mod.ts';

const SUBJECTS_MAX = 1000;
const STACK_LINES_MAX = 60;

export class Troubles {
  readonly #log: (line: string) => void;
  readonly #told = new Map<string, string>();

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  /** Writes the error to the log. @returns what an event is to say, or null when it was told before */
  tell(subject: string, error: unknown): { readonly text: string; readonly code: string } | null {
    const code = codeOf(error) ?? 'INTERNAL';
    const text = `${shown(subject)}: ${shown(messageOf(error))} (${code})`;
    // Times and counts in a message do not make it another one.
    const same = text.replace(/\d+/g, '#');
    if (this.#told.get(subject) === same) return null;
    if (this.#told.size >= SUBJECTS_MAX) this.#told.clear();
    this.#told.set(subject, same);
    this.#log(code === 'INTERNAL' ? `${text}\n${stackOf(error)}` : text);
    return { text, code };
  }

  /** The stack of a defect that is told as an event by somebody else. */
  log(subject: string, error: unknown): void {
    this.#log(`${shown(subject)}: ${shown(messageOf(error))}\n${stackOf(error)}`);
  }

  /** It was looked at, and nothing was wrong: the next error is told whatever it is. */
  well(subject: string): void {
    this.#told.delete(subject);
  }
}

/** With its causes; what would act on a terminal is written out. */
function stackOf(error: unknown): string {
  const lines = inspect(error, { depth: 2, breakLength: 120 }).split('\n');
  return lines
    .slice(0, STACK_LINES_MAX)
    .map((line) => `    ${shown(line)}`)
    .join('\n');
}
