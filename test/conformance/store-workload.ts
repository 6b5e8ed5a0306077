// A long story of changes to a store, the same for the same seed: the process that makes them and the test that looks what is
// left of them both know it. The change number N gets the revision N.
import { present, seededRandom } from '../../src/base/mod.ts';

export interface Step {
  /** null: deletes. */
  readonly value: { readonly step: number; readonly filling: string } | null;
  readonly key: string;
  readonly expected: number;
}

export interface Left {
  readonly key: string;
  readonly value: unknown;
  readonly revision: number;
}

const KEYS = 12;
/** Most values fit on a page; some take many, so that the log grows and is written back. */
const FILLINGS = [0, 10, 200, 3000, 3000, 150_000];

export class Workload {
  readonly #random;
  readonly #left = new Map<string, Left>();
  #steps = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  next(): Step {
    const { below } = this.#random;
    const key = `work/k${below(KEYS)}`;
    const remove = below(4) === 0;
    const filling = 'x'.repeat(present(FILLINGS[below(FILLINGS.length)], 'filling'));
    const expected = this.#left.get(key)?.revision ?? 0;
    this.#steps += 1;
    if (remove && expected > 0) {
      this.#left.delete(key);
      return { key, value: null, expected };
    }
    const value = { step: this.#steps, filling };
    this.#left.set(key, { key, value, revision: this.#steps });
    return { key, value, expected };
  }

  /** What is there after the steps so far, in the order of keys. */
  get left(): readonly Left[] {
    return [...this.#left.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}

export function leftAfter(seed: number, steps: number): readonly Left[] {
  const workload = new Workload(seed);
  for (let step = 0; step < steps; step += 1) workload.next();
  return workload.left;
}
