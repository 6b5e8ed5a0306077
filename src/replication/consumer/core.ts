// The consumer's side of the ring, one step at a time: which block is written next, when it counts as copied, what to
// do when the producer has gone on without us. It never blocks; the session (session.ts) waits where a step says so.
//
//   attached: takes blocks in sequence straight from their slots; the producer overwrites none that we have not passed.
//   detached: copies a slot into memory of its own, makes sure that it was whole, and writes that; holds up nobody.
import { assert, type Clock, limits, present, UnderstudyError } from '../../base/mod.ts';
import type { Completion, Device } from '../device/contract.ts';
import {
  type ConsumerEntry,
  ConsumerState,
  type FoundSlot,
  type Ring,
  RingState,
  ringBroken,
  SlotFlag,
  sequenceDelta,
} from '../ring/mod.ts';
import { failureOf } from './failure.ts';
import { OwnWords } from './own-words.ts';

export type ConsumerStep =
  | { readonly wait: 'none' }
  /** Writes are in flight and nothing else can be done: reap. */
  | { readonly wait: 'writes' }
  /** Nothing new in the ring: sleep on `head`, which was `seen` before this step looked. */
  | { readonly wait: 'news'; readonly seen: number }
  /** The rate limit: come again in so many milliseconds. */
  | { readonly wait: 'time'; readonly milliseconds: number }
  /** Every block of the need-set is written (not yet flushed). */
  | { readonly wait: 'done' };

export interface ConsumerOptions {
  /** Where to begin: the oldest block still in the ring, or the one published last (seed [0055]). */
  readonly join: 'oldest' | 'newest';
  /** Bytes of the image that this consumer wants; blocks are cut there. Infinity while unknown. */
  readonly endBytes: number;
  /** Zero blocks need no write: the target already reads as zeros wherever nothing was written. */
  readonly targetReadsZero: boolean;
  readonly onReadError: 'fail' | 'zero';
  /** Bytes a second, or null. */
  readonly limitRate: number | null;
}

/** Hears of each block once it is written from bytes that were whole. */
export interface BlockObserver {
  /**
   * `data` is valid during the call only, and only if `intact()` still says so after it was looked at: the producer may
   * go on without us at any moment. `bad`: what could not be read is zeros. Returns whether the block counts.
   */
  blockWritten(block: number, data: Uint8Array, bad: boolean, intact: () => boolean): boolean;
}

interface Item {
  readonly sequence: number;
  readonly block: number;
  readonly lengthBytes: number;
  readonly flags: number;
  /** `pass`: nothing to write; the cursor only moves on in order. */
  readonly kind: 'write' | 'zero' | 'pass';
  done: boolean;
}

interface PrivateWrite {
  readonly block: number;
  readonly data: Uint8Array;
  readonly flags: number;
  readonly bufferIndex: number;
}

const PRIVATE_WRITES_MAX = 2;

export class ConsumerCore {
  readonly #ring: Ring;
  readonly #entry: ConsumerEntry;
  readonly #own: OwnWords;
  readonly #device: Device;
  readonly #options: ConsumerOptions;
  readonly #observer: BlockObserver;
  readonly #clock: Clock;
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #depth: number;
  /** In sequence order; the first ones done are released. */
  readonly #items: Item[] = [];
  readonly #private = new Map<number, PrivateWrite>();
  readonly #privateBuffers: Uint8Array[] = [];
  /** Blocks that the target did not keep: whatever they hold is written, zeros too. */
  readonly #again = new Set<number>();
  #next = 0;
  #writing = 0;
  #blocksLeft: number;
  #started = false;
  #sizeLearned = false;
  /** [detached] Since when, and at which `head`, there was nothing to take. */
  #starved: { readonly head: number; readonly sinceMs: number } | null = null;
  #allowedAtMs = 0;

  constructor(
    ring: Ring,
    index: number,
    device: Device,
    options: ConsumerOptions,
    world: { clock: Clock; observer: BlockObserver; allocate(bytes: number): Uint8Array; writesInFlight: number },
  ) {
    this.#ring = ring;
    this.#entry = ring.entry(index);
    this.#own = new OwnWords(ring, index, world.clock);
    this.#device = device;
    this.#options = options;
    this.#observer = world.observer;
    this.#clock = world.clock;
    this.#allocate = world.allocate;
    this.#depth = Math.min(world.writesInFlight, device.info.depth);
    this.#blocksLeft = this.#own.count();
    this.#entry.set('blocksLeft', this.#blocksLeft);
  }

  get blocksLeft(): number {
    return this.#blocksLeft;
  }

  /**
   * Takes part from now on. The cursor is stored before `tail` is looked at, and the producer stores `tail` before it
   * looks at cursors: either it sees us and waits, or we see its claim and start behind it.
   */
  attach(): void {
    const head = this.#ring.get('head');
    let cursor = this.#ring.get('tail');
    if (this.#options.join === 'newest' && !this.#started && head !== 0) cursor = (head - 1) | 0;
    this.#own.moveCursor(cursor);
    this.#entry.set('state', ConsumerState.attached);
    // Once is enough: from here on the producer waits for the cursor that it sees.
    const tail = this.#ring.get('tail');
    if (sequenceDelta(tail, cursor) > 0) {
      cursor = tail;
      this.#own.moveCursor(cursor);
    }
    this.#next = cursor;
    this.#starved = null;
    this.#ring.add('needRevision', 1);
    this.#ring.ringBell();
  }

  /** @throws the producer's failure, or the target's */
  step(): ConsumerStep {
    // Before anything is looked at: whatever changes later makes news.
    const news = this.#ring.get('news');
    if (this.#ring.get('state') !== RingState.failed) this.#ring.requireSound();
    this.#learnSize();
    this.#collect(0);
    this.#release();
    if (this.#blocksLeft === 0 && this.#writing === 0) return { wait: 'done' };
    this.#checkProducer();
    this.#own.require();
    return this.#entry.attached ? this.#stepAttached(news) : this.#stepDetached(news);
  }

  /**
   * Wants a block again that counted as copied and that the target does not hold. Call while none of its writes is in
   * flight, and `attach` after it when the core was done. To the producer its bit looks like a joiner's.
   */
  again(block: number): void {
    this.#again.add(block);
    if (this.#own.wants(block)) return;
    this.#own.add(block);
    this.#countDown(-1);
    this.#ring.add('needRevision', 1);
    this.#ring.ringBell();
  }

  /** Waits for writes; call after a step that asks for it. */
  reap(timeoutMs: number): void {
    this.#collect(timeoutMs);
  }

  #checkProducer(): void {
    if (this.#ring.get('state') !== RingState.failed) return;
    throw failureOf(this.#ring.getText('failure'));
  }

  /** A stream's end tells its length; what was asked for beyond it does not exist. */
  #learnSize(): void {
    if (this.#sizeLearned || this.#ring.get('sizeKnown') === 0) return;
    this.#sizeLearned = true;
    this.#countDown(this.#own.deleteFrom(this.#ring.get('blockCount')));
  }

  #countDown(blocks: number): void {
    this.#blocksLeft -= blocks;
    assert(this.#blocksLeft >= 0, 'no block counted twice');
    this.#entry.set('blocksLeft', this.#blocksLeft);
  }

  #stepAttached(news: number): ConsumerStep {
    const head = this.#ring.get('head');
    const ahead = sequenceDelta(head, this.#next);
    if ((ahead < 0 || ahead > this.#ring.geometry.slotCount) && this.#entry.attached) {
      throw ringBroken(`its end is ${ahead} blocks ahead`);
    }
    let moved = false;
    while (sequenceDelta(head, this.#next) > 0 && this.#writing < this.#depth) {
      const took = this.#take(this.#next);
      if (took === 'detached') return { wait: 'none' };
      if (typeof took === 'number')
        return this.#writing > 0 ? { wait: 'writes' } : { wait: 'time', milliseconds: took };
      if (took === 'later') return { wait: 'writes' };
      this.#next = (this.#next + 1) | 0;
      moved = true;
    }
    if (moved) return { wait: 'none' };
    return this.#writing > 0 ? { wait: 'writes' } : { wait: 'news', seen: news };
  }

  /** One slot in sequence: `later` while it needs the target to itself, milliseconds while the rate forbids it. */
  #take(sequence: number): 'taken' | 'later' | 'detached' | number {
    const slot = this.#ring.slotEntry(sequence);
    if (slot.sequence !== sequence || !slot.isWhole || !this.#hasItsDigest(slot)) {
      // Only the producer's going on without us can change a slot that we have not passed.
      if (this.#entry.attached) throw ringBroken(`the entry of slot ${sequence} is not what was written`);
      return 'detached';
    }
    if (!this.#started) {
      this.#started = true;
      this.#entry.set('startBlock', slot.block);
    }
    const lengthBytes = Math.min(
      slot.lengthBytes,
      this.#options.endBytes - slot.block * this.#ring.geometry.blockBytes,
    );
    const item = { sequence, block: slot.block, lengthBytes, flags: slot.flags };
    const inFlight = this.#items.some((one) => one.block === slot.block && one.kind !== 'pass');
    if (!this.#own.wants(slot.block) || inFlight) {
      this.#items.push({ ...item, kind: 'pass', done: true });
      return 'taken';
    }
    this.#refuseBad(slot.block, slot.flags);
    if ((slot.flags & SlotFlag.zero) !== 0 && !this.#again.has(slot.block)) {
      if (this.#writing > 0) return 'later';
      this.#makeZero(slot.block, lengthBytes);
      this.#items.push({ ...item, kind: 'zero', done: true });
      return 'taken';
    }
    const pauseMs = this.#pauseForRate(lengthBytes);
    if (pauseMs > 0) return pauseMs;
    this.#items.push({ ...item, kind: 'write', done: false });
    this.#write(sequence & 0x7fff_ffff, slot.block, this.#ring.slotData(sequence, lengthBytes));
    return 'taken';
  }

  /** The table of digests, from which verification goes, says the same of the block as its slot. */
  #hasItsDigest({ block, flags, digestLo }: FoundSlot): boolean {
    return (flags & SlotFlag.bad) !== 0 || (this.#ring.digest(block)?.lo ?? 0n) === digestLo;
  }

  #refuseBad(block: number, flags: number): void {
    if ((flags & SlotFlag.bad) === 0 || this.#options.onReadError === 'zero') return;
    const at = block * this.#ring.geometry.blockBytes;
    const range = this.#ring.badRanges().find((one) => one.offsetBytes + one.lengthBytes > at);
    const where = range === undefined ? `block ${block}` : `${range.lengthBytes} bytes at ${range.offsetBytes}`;
    throw new UnderstudyError('SOURCE_READ_FAILED', `the source cannot be read at ${where}, also after retries`);
  }

  #makeZero(block: number, lengthBytes: number): void {
    if (this.#options.targetReadsZero) return;
    this.#device.zero(block * this.#ring.geometry.blockBytes, lengthBytes);
  }

  /** Milliseconds to wait before so many bytes may be written; books them when that is 0. */
  #pauseForRate(bytes: number): number {
    const rate = this.#options.limitRate;
    if (rate === null) return 0;
    const now = this.#clock.nowMs();
    if (now < this.#allowedAtMs) return Math.ceil(this.#allowedAtMs - now);
    // At most a tenth of a second may be caught up after a pause, so that the limit holds over short times too.
    this.#allowedAtMs = Math.max(this.#allowedAtMs, now - 100) + (bytes / rate) * 1000;
    return 0;
  }

  #write(tag: number, block: number, buffer: Uint8Array): void {
    this.#writing += 1;
    this.#device.submit({ kind: 'write', tag, offsetBytes: block * this.#ring.geometry.blockBytes, buffer });
  }

  #collect(timeoutMs: number): void {
    if (this.#writing === 0) return;
    for (const completion of this.#device.reap(timeoutMs)) this.#finished(completion);
  }

  #finished(completion: Completion): void {
    this.#writing -= 1;
    if (completion.error !== null) throw completion.error;
    const own = this.#private.get(completion.tag);
    if (own !== undefined) {
      this.#private.delete(completion.tag);
      this.#copied(own.block, own.data, own.flags, () => true);
      return;
    }
    const item = this.#items.find((one) => (one.sequence & 0x7fff_ffff) === completion.tag && one.kind === 'write');
    present(item, 'the item of a completed write').done = true;
  }

  /**
   * Releases slots in order. Whether we are still attached is asked after the write has completed: as long as we are,
   * the producer has not touched the slot, so what was written was whole. If not, the target may hold half of another
   * block there; the bit stays set and the block is written again.
   */
  #release(): void {
    let released = false;
    while (this.#items[0]?.done === true) {
      const item = present(this.#items.shift(), 'the first item');
      if (!this.#entry.attached) continue;
      if (item.kind !== 'pass') {
        const data = this.#ring.slotData(item.sequence, item.lengthBytes);
        this.#copied(item.block, data, item.flags, () => this.#isStillAttached());
      }
      this.#own.moveCursor((item.sequence + 1) | 0);
      released = true;
    }
    if (released) this.#ring.ringBell();
  }

  /** After bytes of a slot were looked at: whether they were still ours to look at. */
  #isStillAttached(): boolean {
    this.#entry.fence();
    return this.#entry.attached;
  }

  #copied(block: number, data: Uint8Array, flags: number, intact: () => boolean): void {
    if (!this.#observer.blockWritten(block, data, (flags & SlotFlag.bad) !== 0, intact)) return;
    if (this.#own.delete(block)) this.#countDown(1);
  }

  #stepDetached(news: number): ConsumerStep {
    // Writes from slots that we no longer own are waited for and forgotten.
    if (this.#items.length > 0) return this.#writing > 0 ? { wait: 'writes' } : { wait: 'none' };
    const others = this.#ring.entries.some((one) => one.attached && one.index !== this.#entry.index);
    if (!others) {
      if (this.#writing > 0) return { wait: 'writes' };
      this.attach();
      return { wait: 'none' };
    }
    if (this.#private.size >= PRIVATE_WRITES_MAX) return { wait: 'writes' };
    const head = this.#ring.get('head');
    const took = this.#takeCopy(head);
    if (typeof took === 'number') return this.#writing > 0 ? { wait: 'writes' } : { wait: 'time', milliseconds: took };
    if (took === 'taken') {
      this.#starved = null;
      return { wait: 'none' };
    }
    if (this.#writing > 0) return { wait: 'writes' };
    // Nothing for us in what came since, or nothing came for long (whoever holds the ring full may have stopped for
    // good): as fast as the others again, so waiting in line costs them nothing, and shows who holds up whom.
    const nowMs = this.#clock.nowMs();
    this.#starved ??= { head, sinceMs: nowMs };
    if (this.#starved.head !== head || nowMs - this.#starved.sinceMs >= limits.SLOW_BUDGET_MS) {
      this.attach();
      return { wait: 'none' };
    }
    return { wait: 'news', seen: news };
  }

  /** Copies the newest needed block out of the ring; newest, because it has longest before it is overwritten. */
  #takeCopy(head: number): 'taken' | 'nothing' | number {
    const { slotCount } = this.#ring.geometry;
    for (let back = 1; back < slotCount; back++) {
      const sequence = (head - back) | 0;
      if (sequenceDelta(this.#ring.get('tail'), sequence) > 0) return 'nothing';
      const slot = this.#ring.slotEntry(sequence);
      // Written meanwhile, or not wanted. (A detached consumer may meet half of an entry.)
      if (!slot.isWhole || slot.sequence !== sequence || !this.#own.wants(slot.block)) continue;
      if (this.#isWritingPrivately(slot.block) || !this.#hasItsDigest(slot)) continue;
      const cut = this.#options.endBytes - slot.block * this.#ring.geometry.blockBytes;
      const lengthBytes = Math.min(slot.lengthBytes, cut);
      const pauseMs = this.#pauseForRate(lengthBytes);
      if (pauseMs > 0) return pauseMs;
      const bufferIndex = this.#freeBuffer();
      const data = present(this.#privateBuffers[bufferIndex], 'a private buffer').subarray(0, lengthBytes);
      data.set(this.#ring.slotData(sequence, lengthBytes));
      this.#entry.fence();
      // The producer claims a slot (tail) before it touches it: unclaimed after the copy means untouched during it.
      if (sequenceDelta(this.#ring.get('tail'), sequence) > 0) return 'nothing';
      this.#refuseBad(slot.block, slot.flags);
      this.#private.set(sequence & 0x7fff_ffff, { block: slot.block, data, flags: slot.flags, bufferIndex });
      this.#write(sequence & 0x7fff_ffff, slot.block, data);
      return 'taken';
    }
    return 'nothing';
  }

  #isWritingPrivately(block: number): boolean {
    return [...this.#private.values()].some((write) => write.block === block);
  }

  #freeBuffer(): number {
    const used = new Set([...this.#private.values()].map((write) => write.bufferIndex));
    let index = 0;
    while (used.has(index)) index += 1;
    this.#privateBuffers[index] ??= this.#allocate(this.#ring.geometry.blockBytes);
    return index;
  }
}
