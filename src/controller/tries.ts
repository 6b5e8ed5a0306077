// Tries of a step are counted in the store before the step begins, so that one that ends this process is counted as
// well. A step that has ended well is forgotten; what is left after a death is how often the step was begun, and how
// often it never ended.
import { codeOf } from '../base/mod.ts';
import type { Store } from '../store/mod.ts';
import { keys, type TryRecord } from './record.ts';
import { getRecord } from './records.ts';

/** A life that has lasted so long is not one of a process that dies at each start. */
const YOUNG_MS = 60_000;

export interface Try {
  /** Tries of this step since it last ended well, this one included. */
  readonly begun: number;
  /** Those before this one that never ended: the process died while they were under way. */
  readonly lost: number;
  /**
   * 'stopped': from outside; that is not a try. Never fails: what could not be written counts as a try that never
   * ended.
   */
  ended(how: 'well' | 'failed' | 'stopped'): Promise<void>;
}

export class Tries {
  readonly #store: Store;
  readonly #wall: () => number;
  readonly #bornMs: number;
  /** Steps that ended well when they were last begun in this life. */
  readonly #proven = new Map<string, string>();
  readonly #rested = new Set<string>();

  /** @param wall milliseconds since 1970 */
  constructor(store: Store, wall: () => number) {
    this.#store = store;
    this.#wall = wall;
    this.#bornMs = wall();
  }

  /** What is counted of a step that is about to begin; nothing is written. @throws STORE_FAILED, RECORD_UNUSABLE */
  async counted(key: string, step: string): Promise<{ readonly begun: number; readonly lost: number }> {
    return countOf((await getRecord<TryRecord>(this.#store, keys.tries(key)))?.value ?? null, step);
  }

  /**
   * Counts a try, durably when this resolves. A look that is repeated every few seconds and ended well the last time is
   * not counted once this process has lived for a minute: it cannot be what ends it at each start.
   * @param key of what is looked at, as in the queue @throws STORE_FAILED, STORE_CONFLICT, RECORD_UNUSABLE
   */
  async begin(key: string, step: string): Promise<Try> {
    if (this.#proven.get(key) === step && this.#wall() - this.#bornMs > YOUNG_MS) {
      const nothing = async (how: 'well' | 'failed' | 'stopped'): Promise<void> => {
        if (how !== 'well') this.#proven.delete(key);
      };
      return { begun: 1, lost: 0, ended: nothing };
    }
    this.#proven.delete(key);
    const record = await getRecord<TryRecord>(this.#store, keys.tries(key));
    const { begun, lost } = countOf(record?.value ?? null, step);
    const open: TryRecord = { step, begun: begun + 1, lost, open: true, atMs: this.#wall() };
    const revision = await this.#store.put(keys.tries(key), open, record?.revision ?? 0);
    return {
      begun: open.begun,
      lost,
      ended: async (how) => {
        try {
          if (how === 'well') {
            await this.#store.delete(keys.tries(key), revision);
            this.#proven.set(key, step);
          } else {
            const now = how === 'failed' ? open.begun : begun;
            await this.#store.put(keys.tries(key), { ...open, begun: now, open: false }, revision);
          }
        } catch (error) {
          // Another controller counts by now, or the store is away: this try then stays one that never ended.
          if (codeOf(error) === null) throw error;
        }
      },
    };
  }

  /** True once in this life for each key: what ended the process again and again is left alone for a while. */
  rests(key: string): boolean {
    if (this.#rested.has(key)) return false;
    this.#rested.add(key);
    return true;
  }

  /** Begins the count again: somebody has seen to what was wrong, or there is nothing left to try. */
  async forget(key: string): Promise<void> {
    this.#proven.delete(key);
    this.#rested.delete(key);
    const record = await this.#store.get<TryRecord>(keys.tries(key));
    if (record !== null) await this.#store.delete(record.key, record.revision);
  }
}

function countOf(record: TryRecord | null, step: string): { readonly begun: number; readonly lost: number } {
  if (record === null || record.step !== step) return { begun: 0, lost: 0 };
  return { begun: record.begun, lost: record.lost + (record.open ? 1 : 0) };
}
