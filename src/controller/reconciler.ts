// The contract of reconcilers: given a name, one reads everything, does one idempotent step, and says when to look
// again.
import type { Journal } from './journal.ts';
import type { Context } from './parts.ts';
import type { Tries, Try } from './tries.ts';
import type { World } from './world.ts';

/** null: only when asked. `failed`: what was tried has failed, and was told where it belongs. */
export type Again = { readonly inMs: number; readonly failed?: boolean } | null;

export interface Look {
  readonly context: Context;
  readonly world: World;
  readonly journal: Journal;
  readonly tries: Tries;
  /** As in the queue: "engagement/wiki-1". */
  readonly key: string;
  /** The key without its kind; '' where the kind is all. */
  readonly name: string;
}

/** One kind of name. It remembers nothing. */
export interface Reconciler {
  /** What the next look will do; null: there is nothing to do. Its tries are counted together. */
  readonly step: (look: Look) => Promise<string | null>;
  /** @param attempt the count of tries of this step, this one included */
  readonly run: (look: Look, attempt: Pick<Try, 'begun'>) => Promise<Again>;
  /** Asked before each try: 'run', or what is to be instead of one, because the step was tried too often. */
  readonly exhausted: (look: Look, counted: Pick<Try, 'begun' | 'lost'>) => Promise<Again | 'run'>;
}
