// What baselines have learned, kept over restarts of the agent: the rhythm of a week takes weeks to learn. One file, whole at every instant.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../base/mod.ts';
import { type BaselineMemory, parseBaselineMemory, wayOf } from '../detection/mod.ts';
import type { AgentSignal } from './protocol.ts';

const FILE = 'learned.json';
const VERSION = 1;
/** What is older says little of today. */
const AGE_MS_MAX = 30 * 24 * 3600 * 1000;

export class Learned {
  readonly #path: string | null;
  readonly #say: (line: string) => void;
  readonly #memories = new Map<string, BaselineMemory>();
  #complained = false;

  /** @param folder null: it lasts as long as the process */
  constructor(folder: string | null, say: (line: string) => void) {
    this.#path = folder === null ? null : join(folder, FILE);
    this.#say = say;
    this.#read();
  }

  /** What is known of a signal that is judged in this way. @param nowMs since 1970 */
  of(signal: AgentSignal, nowMs: number): BaselineMemory | null {
    const memory = this.#memories.get(wayOf(signal));
    // Of the future: the clock was set back since, and nothing would be taken until it has caught up.
    if (memory === undefined || memory.lastMs > nowMs || nowMs - memory.lastMs > AGE_MS_MAX) return null;
    return memory;
  }

  keep(signal: AgentSignal, memory: BaselineMemory): void {
    this.#memories.set(wayOf(signal), memory);
  }

  /** A folder that cannot be written is said once: what is learned then ends with the process. */
  save(): void {
    if (this.#path === null || this.#memories.size === 0) return;
    try {
      const text = JSON.stringify({ version: VERSION, learned: Object.fromEntries(this.#memories) });
      writeFileSync(`${this.#path}.new`, text, { mode: 0o600 });
      renameSync(`${this.#path}.new`, this.#path);
    } catch (error) {
      this.#complain('written', error);
    }
  }

  #read(): void {
    if (this.#path === null) return;
    try {
      const { version, learned }: Record<string, unknown> = JSON.parse(readFileSync(this.#path, 'utf8')) ?? {};
      if (version !== VERSION || typeof learned !== 'object' || learned === null) return;
      for (const [key, value] of Object.entries(learned)) {
        const memory = parseBaselineMemory(value);
        if (memory !== null) this.#memories.set(key, memory);
      }
    } catch (error) {
      // What is not JSON is from a disk that lost it; it is learned anew.
      if (error instanceof SyntaxError || errnoOf(error) === 'ENOENT') return;
      this.#complain('read', error);
    }
  }

  #complain(what: string, error: unknown): void {
    const errno = errnoOf(error);
    if (errno === null) throw error;
    if (!this.#complained)
      this.#say(`warning: ${this.#path} cannot be ${what}: ${errno}; what is learned ends with this agent`);
    this.#complained = true;
  }
}
