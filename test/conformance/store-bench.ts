// What the parts of the store's suite share: a world for each test, and how calls fail.
import { codeOf, type ErrorCode } from '../../src/base/mod.ts';
import type { LeaseClock, Store } from '../../src/store/mod.ts';

export interface StoreOptions {
  readonly clock?: LeaseClock;
  readonly deletionsKept?: number;
}

/** What is stored in one test. */
export interface StoreWorld {
  /** A store on it; the suite closes it. Several may be open at once, as those of several processes are. */
  open(options?: StoreOptions): Promise<Store>;
  dispose(): Promise<void>;
}

/** What a test makes is undone when it ends, however it ends. */
export class StoreBench {
  readonly #create: () => StoreWorld;
  #world: StoreWorld | null = null;
  #stores: Store[] = [];
  #ends: AbortController[] = [];

  constructor(create: () => StoreWorld) {
    this.#create = create;
  }

  /** A store on the one world of this test. */
  async open(options: StoreOptions = {}): Promise<Store> {
    this.#world ??= this.#create();
    const store = await this.#world.open(options);
    this.#stores.push(store);
    return store;
  }

  /** Aborted when the test ends, at the latest. */
  ending(): AbortController {
    const end = new AbortController();
    this.#ends.push(end);
    return end;
  }

  async clear(): Promise<void> {
    for (const end of this.#ends) end.abort();
    for (const store of this.#stores) await store.close();
    await this.#world?.dispose();
    this.#world = null;
    this.#stores = [];
    this.#ends = [];
  }
}

/** The code with which a call fails, or 'none'. */
export async function failure(call: () => unknown): Promise<ErrorCode | 'none'> {
  try {
    await call();
    return 'none';
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return code;
  }
}
