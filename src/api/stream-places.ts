// Places for readers of events. Each holds a connection and a watch, so there is an end to them; when all are taken,
// whoever has fewer than another gets one of that one's. A reader that is cut off goes on where it was.

/** Readers at the same time. */
export const STREAMS_MAX = 64;

export interface StreamPlace {
  /** Ends the stream: its place is needed. */
  readonly signal: AbortSignal;
  readonly leave: () => void;
}

export class StreamPlaces {
  readonly #max: number;
  /** By reader, the oldest first. */
  readonly #taken = new Map<string, Set<AbortController>>();

  constructor(max = STREAMS_MAX) {
    this.#max = max;
  }

  get count(): number {
    return [...this.#taken.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** null: there is none, and nobody has more than this reader would have. */
  take(reader: string): StreamPlace | null {
    if (this.count >= this.#max && !this.#makeRoom((this.#taken.get(reader)?.size ?? 0) + 1)) return null;
    const place = new AbortController();
    const own = this.#taken.get(reader) ?? new Set();
    this.#taken.set(reader, own.add(place));
    return { signal: place.signal, leave: () => this.#leave(reader, place) };
  }

  #makeRoom(wanted: number): boolean {
    let [most, size] = ['', wanted];
    for (const [reader, own] of this.#taken) if (own.size > size) [most, size] = [reader, own.size];
    const [oldest] = this.#taken.get(most) ?? [];
    if (oldest === undefined) return false;
    this.#leave(most, oldest);
    oldest.abort();
    return true;
  }

  #leave(reader: string, place: AbortController): void {
    const own = this.#taken.get(reader);
    own?.delete(place);
    if (own?.size === 0) this.#taken.delete(reader);
  }
}
