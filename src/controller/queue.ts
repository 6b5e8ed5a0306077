// Level-triggered work: keys that want looking at, one worker a key at a time. What is asked for while a key is being
// worked on is done once more afterwards; nothing is lost and nothing piles up.
import { assert } from '../base/mod.ts';
import { asWorkOf, Uncaught } from './uncaught.ts';

/** When to look again by itself; null: only when asked. */
export type Work = (key: string, signal: AbortSignal) => Promise<{ readonly inMs: number } | null>;

const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30_000;

interface Entry {
  running: AbortController | null;
  /** Asked for while it was running. */
  again: boolean;
  /** Ends the sleep until the next look. */
  sleep: AbortController | null;
  failures: number;
}

export class WorkQueue {
  readonly #work: Work;
  readonly #failed: (key: string, error: unknown) => Promise<void>;
  readonly #pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly #entries = new Map<string, Entry>();
  readonly #active = new Set<Promise<void>>();
  #stopped = false;

  /**
   * @param failed tells an error of the work; what it throws itself is dropped
   * @param pause resolves after so many milliseconds, or at once when its signal says so
   */
  constructor(
    work: Work,
    failed: (key: string, error: unknown) => Promise<void>,
    pause: (milliseconds: number, signal: AbortSignal) => Promise<void>,
  ) {
    this.#work = work;
    this.#failed = failed;
    this.#pause = pause;
  }

  /** The key is looked at now, or again as soon as who works on it has finished. */
  add(key: string): void {
    if (this.#stopped) return;
    const entry = this.#entries.get(key) ?? { running: null, again: false, sleep: null, failures: 0 };
    this.#entries.set(key, entry);
    if (entry.running !== null) {
      entry.again = true;
      return;
    }
    entry.sleep?.abort();
    entry.sleep = null;
    const run = this.#run(key, entry);
    this.#active.add(run);
    void run.finally(() => this.#active.delete(run));
  }

  /** Stops what is being done for the key, so that it is looked at anew at once. */
  interrupt(key: string): void {
    const entry = this.#entries.get(key);
    if (entry?.running === null || entry === undefined) return;
    entry.again = true;
    entry.running.abort();
  }

  /**
   * What the work on the key has begun threw an error that nobody caught: the work ends with it. False when none is
   * under way.
   */
  fail(key: string, error: unknown): boolean {
    const running = this.#entries.get(key)?.running ?? null;
    running?.abort(new Uncaught(error));
    return running !== null;
  }

  /** Stops everything and resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const entry of this.#entries.values()) {
      entry.sleep?.abort();
      entry.running?.abort();
    }
    await Promise.allSettled([...this.#active]);
  }

  async #run(key: string, entry: Entry): Promise<void> {
    assert(entry.running === null, 'one worker a key');
    const abort = new AbortController();
    entry.running = abort;
    entry.again = false;
    let next: number | null;
    try {
      const again = await asWorkOf(key, () => this.#work(key, abort.signal));
      next = again?.inMs ?? null;
      entry.failures = 0;
    } catch (error) {
      const uncaught = abort.signal.reason instanceof Uncaught ? abort.signal.reason.cause : null;
      next = abort.signal.aborted && uncaught === null ? 0 : await this.#backOff(key, entry, uncaught ?? error);
    }
    entry.running = null;
    if (this.#stopped) return;
    if (entry.again) next = 0;
    if (next === null) this.#entries.delete(key);
    else void this.#later(key, entry, next);
  }

  async #later(key: string, entry: Entry, milliseconds: number): Promise<void> {
    const sleep = new AbortController();
    entry.sleep = sleep;
    await this.#pause(milliseconds, sleep.signal);
    if (!sleep.signal.aborted) this.add(key);
  }

  async #backOff(key: string, entry: Entry, error: unknown): Promise<number> {
    entry.failures += 1;
    // An error that cannot be told is no reason not to look again.
    await this.#failed(key, error).catch(() => undefined);
    return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (entry.failures - 1));
  }
}
