// The shared memory of one carousel, as typed views over any buffer: a mapping of /dev/shm in real life, plain memory
// in property tests. Nothing here blocks or decides; it names and orders accesses (layout.ts says who may write what).
import { assert, limits } from '../../base/mod.ts';
import {
  BAD_RANGE_BYTES,
  ConsumerState,
  DIGEST_BYTES,
  ENTRY_BYTES,
  ENTRY_NAME_AT,
  ENTRY_NAME_BYTES,
  Entry,
  type Geometry,
  HEADER_BYTES,
  Header,
  HeaderDouble,
  type Offsets,
  offsetsOf,
  RingState,
  SLOT_ENTRY_BYTES,
  Slot,
  Text,
} from './layout.ts';
import { NeedSet } from './need-set.ts';
import { requireUncut, ringBroken, sealOf } from './seal.ts';

/** How sleepers are woken; real rings use futexes, rings in plain memory have no sleepers in other processes. */
export interface Signal {
  /** Sleeps while the word holds `expected`, at most `timeoutMs`; may return early. */
  wait(words: Int32Array, index: number, expected: number, timeoutMs: number): void;
  wakeAll(words: Int32Array, index: number): void;
}

export interface Digest {
  readonly lo: bigint;
  readonly hi: bigint;
}

export interface SlotEntry {
  readonly sequence: number;
  readonly block: number;
  readonly flags: number;
  readonly lengthBytes: number;
  /** Digest.lo of the bytes; 0 where a part of them could not be read. */
  readonly digestLo: bigint;
}

/** A slot's entry as it is found. */
export interface FoundSlot extends SlotEntry {
  /** A producer wrote it like this: no half of another one, no garbage. */
  readonly isWhole: boolean;
}

export interface BadRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Both halves of a double, which one alone would not tell. */
function doubleWords(value: number): number[] {
  return [...new Int32Array(Float64Array.of(value).buffer)];
}

/** The first page: all that can be used before the geometry is known. */
export class RingHeader {
  readonly words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: ArrayBuffer) {
    assert(buffer.byteLength >= HEADER_BYTES, 'a header page');
    this.words = new Int32Array(buffer, 0, 32 * 2);
    this.#doubles = new Float64Array(buffer, 0, HEADER_BYTES / 8);
    this.#bytes = new Uint8Array(buffer, 0, HEADER_BYTES);
  }

  get(word: keyof typeof Header): number {
    return Atomics.load(this.words, Header[word]);
  }

  set(word: keyof typeof Header, value: number): void {
    Atomics.store(this.words, Header[word], value);
  }

  add(word: keyof typeof Header, value: number): void {
    Atomics.add(this.words, Header[word], value);
  }

  getDouble(word: keyof typeof HeaderDouble): number {
    return this.#doubles[HeaderDouble[word]] ?? 0;
  }

  /** Aligned 8-byte stores do not tear on the machines supported; each double has one writer. */
  setDouble(word: keyof typeof HeaderDouble, value: number): void {
    this.#doubles[HeaderDouble[word]] = value;
  }

  getText(name: keyof typeof Text): string {
    const length = Math.max(0, Math.min(this.get(`${name}Length`), Text[name].bytes));
    return Buffer.from(this.#bytes.slice(Text[name].at, Text[name].at + length)).toString('utf8');
  }

  /** Cut to the room there is; texts are for people, except identity and fingerprint, which fit. */
  setText(name: keyof typeof Text, text: string): void {
    const bytes = Buffer.from(text, 'utf8').subarray(0, Text[name].bytes);
    this.#bytes.set(bytes, Text[name].at);
    this.set(`${name}Length`, bytes.byteLength);
  }
}

/** One consumer's row of the table. */
export class ConsumerEntry {
  readonly index: number;
  readonly #words: Int32Array;
  readonly #name: Uint8Array;

  constructor(buffer: ArrayBuffer, at: number, index: number) {
    this.index = index;
    this.#words = new Int32Array(buffer, at, ENTRY_NAME_AT / 4);
    this.#name = new Uint8Array(buffer, at + ENTRY_NAME_AT, ENTRY_NAME_BYTES);
  }

  get(word: keyof typeof Entry): number {
    return Atomics.load(this.#words, Entry[word]);
  }

  set(word: keyof typeof Entry, value: number): void {
    Atomics.store(this.#words, Entry[word], value);
  }

  /** Moves `state` only if it still is `from`; returns whether it did. */
  moveState(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, Entry.state, from, to) === from;
  }

  get attached(): boolean {
    return this.get('state') === ConsumerState.attached;
  }

  /**
   * Keeps plain reads of slot bytes before it from being done after atomic loads behind it. An atomic load alone holds
   * back only what follows it (arm64); a read-modify-write, here of a word of the consumer's own that it leaves as it
   * is, both.
   */
  fence(): void {
    Atomics.add(this.#words, Entry.pid, 0);
  }

  get name(): string {
    const length = Math.max(0, Math.min(this.get('nameLength'), ENTRY_NAME_BYTES));
    return Buffer.from(this.#name.slice(0, length)).toString('utf8');
  }

  set name(text: string) {
    const bytes = Buffer.from(text, 'utf8').subarray(0, ENTRY_NAME_BYTES);
    this.#name.set(bytes);
    this.set('nameLength', bytes.byteLength);
  }
}

export class Ring extends RingHeader {
  readonly buffer: ArrayBuffer;
  readonly geometry: Geometry;
  readonly offsets: Offsets;
  readonly entries: readonly ConsumerEntry[];
  /** Bits set: blocks that certainly read as zeros. [producer, before `ready`] */
  readonly zeroMap: NeedSet;
  readonly #needSets: readonly NeedSet[];
  readonly #slotWords: Int32Array;
  readonly #digests: BigUint64Array;
  readonly #badRanges: Float64Array;
  readonly #signal: Signal;

  constructor(buffer: ArrayBuffer, geometry: Geometry, signal: Signal) {
    super(buffer);
    const offsets = offsetsOf(geometry);
    assert(buffer.byteLength >= offsets.tablesEnd, 'a buffer for the tables at least');
    this.buffer = buffer;
    this.geometry = geometry;
    this.offsets = offsets;
    this.#signal = signal;
    const indexes = Array.from({ length: limits.CONSUMERS_MAX }, (_, index) => index);
    this.entries = indexes.map((index) => new ConsumerEntry(buffer, offsets.consumersAt + index * ENTRY_BYTES, index));
    const bitmap = (at: number) =>
      new NeedSet(new Int32Array(buffer, at, offsets.bitmapBytes / 4), geometry.blockCapacity);
    this.zeroMap = bitmap(offsets.zeroMapAt);
    this.#needSets = indexes.map((index) => bitmap(offsets.needSetsAt + index * offsets.bitmapBytes));
    this.#slotWords = new Int32Array(buffer, offsets.slotsAt, (geometry.slotCount * SLOT_ENTRY_BYTES) / 4);
    this.#digests = new BigUint64Array(buffer, offsets.digestsAt, (geometry.blockCapacity * DIGEST_BYTES) / 8);
    this.#badRanges = new Float64Array(buffer, offsets.badRangesAt, (limits.BAD_RANGES_MAX * BAD_RANGE_BYTES) / 8);
  }

  entry(index: number): ConsumerEntry {
    const entry = this.entries[index];
    assert(entry !== undefined, 'a consumer index in bounds');
    return entry;
  }

  needSet(index: number): NeedSet {
    const set = this.#needSets[index];
    assert(set !== undefined, 'a consumer index in bounds');
    return set;
  }

  /** Bytes of a block that are image; the last one may be short. */
  blockLength(block: number): number {
    if (this.get('sizeKnown') === 0) return this.geometry.blockBytes;
    return Math.min(this.geometry.blockBytes, this.getDouble('sourceBytes') - block * this.geometry.blockBytes);
  }

  #slotIndex(sequence: number): number {
    return (sequence >>> 0) & (this.geometry.slotCount - 1);
  }

  slotData(sequence: number, lengthBytes: number): Uint8Array {
    const at = this.offsets.dataAt + this.#slotIndex(sequence) * this.geometry.blockBytes;
    return new Uint8Array(this.buffer, at, lengthBytes);
  }

  slotEntry(sequence: number): FoundSlot {
    const at = this.#slotIndex(sequence) * (SLOT_ENTRY_BYTES / 4);
    const words = this.#slotWords;
    const block = Atomics.load(words, at + Slot.block);
    const flags = Atomics.load(words, at + Slot.flags);
    const lengthBytes = Atomics.load(words, at + Slot.length);
    // The writer stores the sequence first, so it is loaded last: if it still is the old one, so was all the rest. A
    // detached consumer may look while the producer writes, and would else take one block's length for another's.
    const low = Atomics.load(words, at + Slot.digest);
    const high = Atomics.load(words, at + Slot.digest + 1);
    const check = Atomics.load(words, at + Slot.check);
    const found = Atomics.load(words, at + Slot.sequence);
    const { blockCapacity, blockBytes } = this.geometry;
    const inRange = block >= 0 && block < blockCapacity && lengthBytes > 0 && lengthBytes <= blockBytes;
    const isWhole = inRange && check === sealOf([found, block, flags, lengthBytes, low, high]);
    const digestLo = BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt(low >>> 0));
    return { sequence: found, block, flags, lengthBytes, digestLo, isWhole };
  }

  setSlotEntry(entry: SlotEntry): void {
    const at = this.#slotIndex(entry.sequence) * (SLOT_ENTRY_BYTES / 4);
    const words = this.#slotWords;
    Atomics.store(words, at + Slot.sequence, entry.sequence);
    Atomics.store(words, at + Slot.block, entry.block);
    Atomics.store(words, at + Slot.flags, entry.flags);
    Atomics.store(words, at + Slot.length, entry.lengthBytes);
    const low = Number(BigInt.asIntN(32, entry.digestLo));
    const high = Number(BigInt.asIntN(32, entry.digestLo >> 32n));
    Atomics.store(words, at + Slot.digest, low);
    Atomics.store(words, at + Slot.digest + 1, high);
    const check = sealOf([entry.sequence, entry.block, entry.flags, entry.lengthBytes, low, high]);
    Atomics.store(words, at + Slot.check, check);
  }

  /**
   * The digest of a block's first reading, or null before it. (One in 2^64 digests looks absent, and is taken again.)
   */
  digest(block: number): Digest | null {
    const lo = Atomics.load(this.#digests, block * 2);
    return lo === 0n ? null : { lo, hi: Atomics.load(this.#digests, block * 2 + 1) };
  }

  /** The low word, which says that there is a digest, comes last: a producer may die in between. */
  setDigest(block: number, digest: Digest): void {
    Atomics.store(this.#digests, block * 2 + 1, digest.hi);
    Atomics.store(this.#digests, block * 2, digest.lo);
  }

  badRanges(): readonly BadRange[] {
    const count = Math.min(Math.max(0, this.get('badRangeCount')), limits.BAD_RANGES_MAX);
    return Array.from({ length: count }, (_, index) => ({
      offsetBytes: this.#badRanges[index * 2] ?? 0,
      lengthBytes: this.#badRanges[index * 2 + 1] ?? 0,
    }));
  }

  /**
   * Adds a range once, however often it is read; neighbours are merged, and so is whatever the table has no room for.
   */
  addBadRange(range: BadRange): void {
    const end = range.offsetBytes + range.lengthBytes;
    const known = (one: BadRange): boolean =>
      one.offsetBytes <= range.offsetBytes && one.offsetBytes + one.lengthBytes >= end;
    if (this.badRanges().some(known)) return;
    const count = this.badRanges().length;
    const lastAt = (count - 1) * 2;
    const lastEnd = count > 0 ? (this.#badRanges[lastAt] ?? 0) + (this.#badRanges[lastAt + 1] ?? 0) : -1;
    if (lastEnd === range.offsetBytes || count === limits.BAD_RANGES_MAX) {
      const start = Math.min(this.#badRanges[lastAt] ?? 0, range.offsetBytes);
      this.#badRanges[lastAt] = start;
      this.#badRanges[lastAt + 1] = Math.max(lastEnd, end) - start;
      return;
    }
    this.#badRanges[count * 2] = range.offsetBytes;
    this.#badRanges[count * 2 + 1] = range.lengthBytes;
    this.set('badRangeCount', count + 1);
  }

  /** [producer, before `ready`] Seals all that does not change from then on, and the size if it is known. */
  seal(): void {
    this.set('sizeGiven', this.get('sizeKnown'));
    if (this.get('sizeKnown') === 1) this.sealSize();
    this.set('describedSeal', this.#described());
    this.set('seal', this.#constants());
  }

  /** [producer, before `sizeKnown`] */
  sealSize(): void {
    this.set('sizeSeal', this.#size());
  }

  /** Plain reads: a word that changes meanwhile is what is looked for. */
  #plain(...words: readonly (keyof typeof Header)[]): number[] {
    return words.map((word) => this.words[Header[word]] ?? 0);
  }

  #constants(): number {
    const words = this.#plain('magic0', 'magic1', 'layoutVersion', 'access', 'sizeGiven', 'describedSeal');
    const geometry = this.#plain('blockBytes', 'blockCapacity', 'slotCount');
    return sealOf(words, geometry, doubleWords(this.getDouble('gatherUntilMs')));
  }

  #size(): number {
    return sealOf(doubleWords(this.getDouble('sourceBytes')), this.#plain('blockCount'));
  }

  #described(): number {
    const texts = Buffer.from(`${this.getText('sourceIdentity')} ${this.getText('fingerprint')}`);
    return sealOf(this.zeroMap.words, texts);
  }

  /** What everybody rests on is as the producer wrote it. Cheap enough for every step. @throws RING_BROKEN */
  requireSound(): void {
    requireUncut();
    const [state = 0, seal, slotCount, blockBytes, capacity] = this.#plain(
      ...(['state', 'seal', 'slotCount', 'blockBytes', 'blockCapacity'] as const),
    );
    if (state < RingState.ready || state > RingState.closed) throw ringBroken(`its state is ${state}`);
    if (seal !== this.#constants()) throw ringBroken('what it says of the source has changed');
    const { geometry } = this;
    const same = slotCount === geometry.slotCount && blockBytes === geometry.blockBytes;
    if (!same || capacity !== geometry.blockCapacity) throw ringBroken('its geometry has changed');
    const [known, given, sizeSeal] = this.#plain('sizeKnown', 'sizeGiven', 'sizeSeal');
    if (known === 0 && given === 0) return;
    if (known !== 1 || sizeSeal !== this.#size()) throw ringBroken('the size of the source has changed');
  }

  /** [producer] Its own words are as it wrote them (so reads are plain). @throws RING_BROKEN */
  requireOwn(head: number, tail: number): void {
    this.requireSound();
    const [headNow, tailNow, known, count] = this.#plain('head', 'tail', 'sizeKnown', 'blockCount');
    if (headNow !== head || tailNow !== tail) throw ringBroken('its ends have moved');
    // Others may see the size half learned.
    if (known === 0 && count !== this.geometry.blockCapacity) throw ringBroken('the number of blocks has changed');
  }

  /**
   * The map of zeros and the names of the source, too: before they are used, and before a copy is called complete.
   * @throws RING_BROKEN
   */
  requireDescription(): void {
    this.requireSound();
    if (this.get('describedSeal') !== this.#described()) throw ringBroken('its map of zeros or its names have changed');
  }

  /** [consumer] After anything that the producer may be waiting for. */
  ringBell(): void {
    this.add('bell', 1);
    if (this.get('bellWaiter') !== 0) this.#signal.wakeAll(this.words, Header.bell);
  }

  /**
   * [producer] Sleeps until the bell rings. `seen` was loaded before the producer looked whether it has something to
   * do: a bell rung since then makes this return at once, so no wake-up is lost.
   */
  waitBell(seen: number, timeoutMs: number): void {
    this.set('bellWaiter', 1);
    this.#signal.wait(this.words, Header.bell, seen, timeoutMs);
    this.set('bellWaiter', 0);
  }

  /** [producer] Publishes everything up to the sequence. */
  publishHead(head: number): void {
    this.set('head', head);
    this.wakeConsumers();
  }

  /** [all] After anything that a consumer may be waiting for. */
  wakeConsumers(): void {
    this.add('news', 1);
    if (this.get('headWaiters') > 0) this.#signal.wakeAll(this.words, Header.news);
  }

  /** [consumer] Sleeps until there is news, as `waitBell`: `seen` was loaded before the consumer looked for work. */
  waitNews(seen: number, timeoutMs: number): void {
    this.add('headWaiters', 1);
    this.#signal.wait(this.words, Header.news, seen, timeoutMs);
    this.add('headWaiters', -1);
  }
}
