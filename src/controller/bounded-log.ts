// Records in the order of their making, never more than a bound. What is kept is counted where it is appended, in
// memory, so that the bound holds however many write at the same time; nothing is listed to be trimmed. One controller
// at a time writes a log.
import { codeOf, Turns } from '../base/mod.ts';
import type { Store, StoredRecord } from '../store/mod.ts';
import { listRecords } from './records.ts';

/** What shares a bound: the shelf has one, and each group on it has a smaller one. */
export interface Place {
  readonly shelf: string;
  readonly group: string;
}

export interface ShelfBound {
  readonly recordsMax: number;
  /** Of one group. A shelf that is full takes from its largest group, so that nobody pushes out what others have. */
  readonly groupMax: number;
}

export interface LogShape<T> {
  readonly prefix: string;
  readonly shelves: Readonly<Record<string, ShelfBound>>;
  readonly placeOf: (value: T) => Place;
  /** Keys sort by time, then by the number. */
  readonly keyOf: (atMs: number, number: number) => string;
}

export interface Kept {
  readonly key: string;
  readonly revision: number;
}

/** A store that an earlier version has filled beyond the bounds is brought back to them bit by bit. */
const REMOVED_MAX = 16;

class Shelf {
  readonly #bound: ShelfBound;
  /** The oldest of each group first. */
  readonly #groups = new Map<string, Kept[]>();
  #count = 0;

  constructor(bound: ShelfBound) {
    this.#bound = bound;
  }

  add(group: string, kept: Kept): void {
    const records = this.#groups.get(group) ?? [];
    records.push(kept);
    this.#groups.set(group, records);
    this.#count += 1;
  }

  /** Takes off what has to go before a record of the group is made. */
  makeRoom(group: string): readonly Kept[] {
    const gone: Kept[] = [];
    while (gone.length < REMOVED_MAX) {
      const full = (this.#groups.get(group)?.length ?? 0) >= this.#bound.groupMax;
      if (!full && this.#count < this.#bound.recordsMax) break;
      const oldest = this.#takeOldest(full ? group : this.#largest());
      if (oldest === null) break;
      gone.push(oldest);
    }
    return gone;
  }

  #takeOldest(group: string): Kept | null {
    const records = this.#groups.get(group) ?? [];
    const oldest = records.shift();
    if (records.length === 0) this.#groups.delete(group);
    if (oldest === undefined) return null;
    this.#count -= 1;
    return oldest;
  }

  #largest(): string {
    let largest = '';
    let most = 0;
    for (const [group, { length }] of this.#groups) {
      if (length > most) [largest, most] = [group, length];
    }
    return largest;
  }
}

export class BoundedLog<T> {
  readonly #store: Store;
  readonly #shape: LogShape<T>;
  readonly #shelves: ReadonlyMap<string, Shelf>;
  #begun: Promise<void> | null = null;
  /** One after the other: whoever makes room has it. */
  readonly #turns = new Turns();
  #newest = 0;
  #number = 0;

  constructor(store: Store, shape: LogShape<T>) {
    this.#store = store;
    this.#shape = shape;
    this.#shelves = new Map(Object.entries(shape.shelves).map(([name, bound]) => [name, new Shelf(bound)]));
  }

  /** @throws STORE_FAILED */
  append(atMs: number, value: T): Promise<Kept> {
    return this.#turns.take(() => this.#make(atMs, value));
  }

  /** Of the newest record; 0: there is none. */
  async revision(): Promise<number> {
    await this.#begin();
    return this.#newest;
  }

  /** Without records that cannot be used, which are told elsewhere. */
  async list(): Promise<readonly StoredRecord<T>[]> {
    return (await listRecords<T>(this.#store, this.#shape.prefix)).usable;
  }

  async #make(atMs: number, value: T): Promise<Kept> {
    await this.#begin();
    const { shelf: name, group } = this.#shape.placeOf(value);
    const shelf = this.#shelf(name);
    for (const { key, revision } of shelf.makeRoom(group)) await this.#remove(key, revision);
    const kept = await this.#put(atMs, value);
    shelf.add(group, kept);
    return kept;
  }

  #begin(): Promise<void> {
    this.#begun ??= this.#recall().catch((error: unknown) => {
      this.#begun = null;
      throw error;
    });
    return this.#begun;
  }

  async #recall(): Promise<void> {
    const found = await this.list();
    for (const { key, revision, value } of found) {
      const { shelf, group } = this.#shape.placeOf(value);
      this.#shelf(shelf).add(group, { key, revision });
      this.#newest = Math.max(this.#newest, revision);
    }
  }

  #shelf(name: string): Shelf {
    const shelf = this.#shelves.get(name);
    if (shelf === undefined) throw new Error(`there is no shelf ${name}`);
    return shelf;
  }

  /** Two processes or two lives in one millisecond must not fall on one key: a taken number is passed over. */
  async #put(atMs: number, value: T): Promise<Kept> {
    for (;;) {
      this.#number += 1;
      const key = this.#shape.keyOf(atMs, this.#number);
      try {
        const revision = await this.#store.put(key, value, 0);
        this.#newest = Math.max(this.#newest, revision);
        return { key, revision };
      } catch (error) {
        if (codeOf(error) !== 'STORE_CONFLICT') throw error;
      }
    }
  }

  /** By key alone: a record may have been written again since it was counted. */
  async #remove(key: string, revision: number): Promise<void> {
    try {
      await this.#store.delete(key, revision);
    } catch (error) {
      if (codeOf(error) !== 'STORE_CONFLICT') throw error;
      const found = await this.#store.get(key);
      if (found !== null) await this.#store.delete(key, found.revision);
    }
  }
}
