// Snapshots that several copies read: whoever asks while one is being read gets the same moment, and the last to leave removes it.
import { assert } from '../base/mod.ts';
import type { Snapshot } from './backend.ts';

interface Entry {
  readonly snapshot: Promise<Snapshot>;
  /** Null until it is made. */
  made: Snapshot | null;
  readers: number;
}

export class SharedSnapshots {
  readonly #make: (volume: string) => Promise<Snapshot>;
  readonly #entries = new Map<string, Entry>();

  constructor(make: (volume: string) => Promise<Snapshot>) {
    this.#make = make;
  }

  /** Lets `work` read one moment of a volume. */
  async read<T>(volume: string, work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    const entry = this.#enter(volume);
    try {
      return await work(await entry.snapshot);
    } finally {
      await this.#leave(volume, entry);
    }
  }

  #enter(volume: string): Entry {
    const found = this.#entries.get(volume);
    if (found !== undefined && found.made?.live !== false) {
      found.readers += 1;
      return found;
    }
    const entry: Entry = { snapshot: this.#make(volume), made: null, readers: 1 };
    this.#entries.set(volume, entry);
    entry.snapshot.then(
      (snapshot) => {
        entry.made = snapshot;
      },
      // Whoever waits for it hears why; nobody else is to wait for it.
      () => this.#forget(volume, entry),
    );
    return entry;
  }

  async #leave(volume: string, entry: Entry): Promise<void> {
    assert(entry.readers > 0, 'every reader leaves once');
    entry.readers -= 1;
    if (entry.readers > 0) return;
    this.#forget(volume, entry);
    await entry.made?.end();
  }

  #forget(volume: string, entry: Entry): void {
    if (this.#entries.get(volume) === entry) this.#entries.delete(volume);
  }
}
