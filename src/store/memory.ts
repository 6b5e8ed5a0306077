// The store in memory, for simulation and tests. Nothing in it takes time or waits for anything but changes, so a simulation that
// owns the clock owns everything. What is stored outlives the stores that were opened on it, as a file outlives processes.
import { systemClock } from '../base/mod.ts';
import type { Backend, Row, RowChange } from './backend.ts';
import { Bell } from './bell.ts';
import type { Store } from './contract.ts';
import type { LeaseClock, LeaseRow } from './lease-rules.ts';
import { DELETIONS_KEPT } from './record-rules.ts';
import { BackedStore } from './store.ts';

export interface MemoryStoreOptions {
  /** @default the time since this process began */
  readonly clock?: LeaseClock;
  /** After so many further changes a deletion is forgotten. @default 100000 */
  readonly deletionsKept?: number;
}

/** What is stored; every store opened on it is like a process of its own on one file. */
export class StoreMemory {
  /** In the order of revisions: a change takes its key to the end. Deletions stay for a while, with null. */
  readonly #changes = new Map<string, RowChange>();
  readonly #leases = new Map<string, LeaseRow>();
  readonly #bell = new Bell();
  #revision = 0;

  open(options: MemoryStoreOptions = {}): Store {
    const deletionsKept = options.deletionsKept ?? DELETIONS_KEPT;
    const backend: Backend = {
      bell: this.#bell,
      lookMs: null,
      deletionsKept,
      get: async (key) => this.#row(key),
      list: async (prefix) => this.#rows(prefix),
      write: async (key, text, expected) => this.#write(key, text, expected, deletionsKept),
      changeAfter: async (prefix, after, deletedAfter) => ({
        now: this.#revision,
        change: this.#changeAfter(prefix, after, deletedAfter),
      }),
      changeLease: async (name, decide) => {
        const row = decide(this.#leases.get(name) ?? null);
        if (row !== null) this.#leases.set(name, row);
        return row;
      },
      close: async () => {},
    };
    return new BackedStore(backend, options.clock ?? { ...systemClock, era: 'process' });
  }

  #row(key: string): Row | null {
    const found = this.#changes.get(key);
    return found === undefined || found.text === null ? null : { ...found, text: found.text };
  }

  #rows(prefix: string): readonly Row[] {
    const keys = [...this.#changes.keys()].filter((key) => key.startsWith(prefix)).sort();
    return keys.map((key) => this.#row(key)).filter((row) => row !== null);
  }

  #write(key: string, text: string | null, expected: number, deletionsKept: number) {
    const found = this.#row(key)?.revision ?? 0;
    if (found !== expected) return { found };
    this.#revision += 1;
    this.#changes.delete(key);
    this.#changes.set(key, { key, text, revision: this.#revision });
    if (text === null) this.#forget(this.#revision - deletionsKept);
    return { revision: this.#revision };
  }

  #forget(upTo: number): void {
    for (const { key, text, revision } of this.#changes.values()) {
      if (revision > upTo) return;
      if (text === null) this.#changes.delete(key);
    }
  }

  #changeAfter(prefix: string, after: number, deletedAfter: number): RowChange | null {
    for (const change of this.#changes.values()) {
      if (change.revision <= after || !change.key.startsWith(prefix)) continue;
      if (change.text !== null || change.revision > deletedAfter) return change;
    }
    return null;
  }
}

/** A store with a memory of its own. */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  return new StoreMemory().open(options);
}
