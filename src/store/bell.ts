// Wakes those who wait for a change. Rings are counted: whoever looked at the store before a ring and waits after it does not
// sleep through it.

export class Bell {
  #rings = 0;
  readonly #sleepers = new Set<() => void>();

  /** To be taken before looking, and given to `wait`. */
  get rings(): number {
    return this.#rings;
  }

  ring(): void {
    this.#rings += 1;
    for (const wake of [...this.#sleepers]) wake();
  }

  /** Resolves after a ring since `rings`, when the signal ends it, or after a while. @param whileMs null: no such bound */
  wait(rings: number, signal: AbortSignal, whileMs: number | null): Promise<void> {
    if (rings !== this.#rings || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = whileMs === null ? undefined : setTimeout(wake, whileMs);
      const sleepers = this.#sleepers;
      function wake(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        sleepers.delete(wake);
        resolve();
      }
      signal.addEventListener('abort', wake);
      sleepers.add(wake);
    });
  }
}
