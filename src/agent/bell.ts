/** Lets one waiter be woken early; a ring that nobody waits for is kept for the next waiter. */
export class Bell {
  #rung = false;
  #wake: (() => void) | null = null;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Waits until the time is up or the signal ends it; a ring ends it too, but not before `leastMs` have passed. */
  async wait(leastMs: number, mostMs: number, signal: AbortSignal): Promise<void> {
    await pause(leastMs, signal);
    if (!this.#rung)
      await pause(mostMs - leastMs, signal, (wake) => {
        this.#wake = wake;
      });
    this.#wake = null;
    this.#rung = false;
  }
}

/** Ends when the time is up, when the signal is given, or when somebody calls what `onWait` is handed. */
export function pause(ms: number, signal: AbortSignal, onWait?: (wake: () => void) => void): Promise<void> {
  if (signal.aborted || ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
    onWait?.(end);
  });
}
