/** Monotonic time; injected where tests and simulations own time. */
export interface Clock {
  /** Milliseconds since an arbitrary start, never going back. */
  nowMs(): number;
}

export const systemClock: Clock = { nowMs: () => performance.now() };
