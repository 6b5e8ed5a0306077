// The producer's decisions, one step at a time: which block is read next, when a slot may be overwritten, who is too slow.
// It never blocks and knows no process: the engine loop (engine.ts) waits where a step says so, and property tests drive
// steps directly. Everything that must outlive this process is in the ring; what is here is rebuilt from it at a start.
//
//   sequence:      tail            min cursor          head           claimed
//   ring:     ------|---------------|-------------------|--------------|----
//              may be overwritten    some still unread   being read in
import { assert, type Clock, type ErrorCode, limits, UnderstudyError } from '../../base/mod.ts';
import type { Completion, Device } from '../device/contract.ts';
import {
  type ConsumerEntry,
  ConsumerState,
  type Digest,
  nextInUnion,
  type Ring,
  ringBroken,
  SlotFlag,
  sequenceDelta,
} from '../ring/mod.ts';
import { SlowAccounts } from './slow-accounts.ts';

export type ProducerStep =
  /** Something was done; step again. */
  | { readonly wait: 'none' }
  /** Reads are in flight and nothing else can be done: reap. */
  | { readonly wait: 'reads' }
  /** Nothing to read, or no slot is free: sleep on the bell, which was `seen` before this step looked. */
  | { readonly wait: 'bell'; readonly seen: number; readonly timeoutMs: number }
  /** No consumer is registered and nothing is in flight: leave, if nobody is on the way in. */
  | { readonly wait: 'deserted'; readonly seen: number };

/** What the core needs of the world around it. */
export interface ProducerWorld {
  readonly clock: Clock;
  /**
   * Calls `free` if the process behind an entry is gone, while nobody else can take the entry (its lock byte is held).
   */
  ifDead(index: number, free: () => void): void;
  digest(bytes: Uint8Array): Digest;
  /** Blocks that may be read before the fastest consumer needs them, 1 or more; Infinity: as many as the ring holds. */
  readonly readAheadBlocks: number;
  /** Blocks the thread between retries of a failing read. */
  sleep(milliseconds: number): void;
  /** Called with the bytes of the first block, whenever it has been read. */
  frontRead?(data: Uint8Array): void;
}

interface Reading {
  readonly sequence: number;
  readonly block: number;
  readonly wantedBytes: number;
  completion: Completion | null;
}

/** Codes that concern one place of the source; every other read error ends the whole reading. */
const LOCAL_FAILURE: ErrorCode = 'SOURCE_READ_FAILED';

export class ProducerCore {
  readonly #ring: Ring;
  readonly #device: Device;
  readonly #world: ProducerWorld;
  readonly #slow: SlowAccounts;
  /** Blocks in the ring or on the way into it, with the sequence of their latest appearance. */
  readonly #onOffer = new Map<number, number>();
  readonly #blockOfSlot: number[] = [];
  readonly #reading: Reading[] = [];
  readonly #depth: number;
  readonly #zeros: Uint8Array;
  /** Words that only the producer writes, as it wrote them. */
  #head: number;
  #tail: number;
  /** Sequence after the last slot claimed for reading. */
  #claimed: number;
  #position: number;
  #livenessAtMs = Number.NEGATIVE_INFINITY;

  constructor(ring: Ring, device: Device, world: ProducerWorld) {
    this.#ring = ring;
    this.#device = device;
    this.#world = world;
    this.#slow = new SlowAccounts(ring, world.clock);
    this.#zeros = new Uint8Array(ring.geometry.blockBytes);
    this.#depth = Math.min(limits.READS_IN_FLIGHT, device.info.depth, ring.geometry.slotCount - 1);
    this.#head = ring.get('head');
    this.#tail = ring.get('tail');
    this.#claimed = this.#head;
    if (Math.abs(sequenceDelta(this.#head, this.#tail)) > ring.geometry.slotCount)
      throw ringBroken('its ends lie apart');
    this.#position = this.#positionAfterHead();
    // A predecessor may have died half-way through learning the size; `sizeKnown` is stored last, and says which half.
    if (ring.get('sizeKnown') === 0) ring.set('blockCount', ring.geometry.blockCapacity);
    this.#rebuild();
  }

  /**
   * Where the sweep goes on: what a dead producer had begun to read and not published would else wait for the next
   * sweep.
   */
  #positionAfterHead(): number {
    const last = (this.#ring.get('head') - 1) | 0;
    const entry = this.#ring.slotEntry(last);
    return this.#ring.get('sweeps') > 0 && entry.isWhole && entry.sequence === last ? entry.block + 1 : 0;
  }

  /** After another producer's death: what it published and nobody may lose is still on offer. */
  #rebuild(): void {
    const { slotCount } = this.#ring.geometry;
    const head = this.#ring.get('head');
    for (let back = slotCount; back >= 1; back--) {
      const sequence = (head - back) | 0;
      const entry = this.#ring.slotEntry(sequence);
      const unclaimed = sequenceDelta(sequence, this.#ring.get('tail')) >= 0;
      // A claimed slot may hold half a block, unless a consumer still stood before it: then nobody wrote into it.
      if (!entry.isWhole || entry.sequence !== sequence || (!unclaimed && !this.#isAwaited(sequence))) continue;
      this.#onOffer.set(entry.block, sequence);
      this.#blockOfSlot[(sequence >>> 0) & (slotCount - 1)] = entry.block;
    }
  }

  #isAwaited(sequence: number): boolean {
    return this.#ring.entries.some((entry) => entry.attached && sequenceDelta(sequence, entry.get('cursor')) >= 0);
  }

  /** @throws an error that ends the reading for everybody */
  step(): ProducerStep {
    this.#ring.requireOwn(this.#head, this.#tail);
    this.#reclaimDead();
    // Loaded before anything is looked at: whatever changes after this rings the bell past `seen`.
    const seen = this.#ring.get('bell');
    this.#collect(0);
    this.#publish();
    const progress = this.#fill();
    if (progress === 'full' && this.#reading.length === 0) {
      // Nothing moves until a slot is free: this time is on somebody's account.
      if (this.#holdUp()) return { wait: 'none' };
      return { wait: 'bell', seen, timeoutMs: limits.SLOW_BUDGET_MS / 5 };
    }
    this.#slow.recover();
    if (progress === 'read') return { wait: 'none' };
    if (this.#reading.length > 0) return { wait: 'reads' };
    if (progress === 'deserted') return { wait: 'deserted', seen };
    return { wait: 'bell', seen, timeoutMs: limits.WAIT_MS_MAX };
  }

  /** Waits for reads; call after a step that asks for it. */
  reap(timeoutMs: number): void {
    this.#collect(timeoutMs);
  }

  #reclaimDead(): void {
    const now = this.#world.clock.nowMs();
    if (now - this.#livenessAtMs < limits.LIVENESS_INTERVAL_MS) return;
    this.#livenessAtMs = now;
    for (const entry of this.#ring.entries) {
      if (entry.get('state') === ConsumerState.free) continue;
      this.#world.ifDead(entry.index, () => entry.set('state', ConsumerState.free));
    }
  }

  /** Reads as far ahead as slots and needs allow. */
  #fill(): 'read' | 'nothing' | 'full' | 'deserted' {
    const live = this.#ring.entries.filter((entry) => entry.get('state') !== ConsumerState.free);
    if (live.length === 0) return 'deserted';
    let progress: 'read' | 'nothing' | 'full' = 'nothing';
    while (this.#reading.length < this.#depth) {
      if (this.#isFarAhead()) break;
      const block = this.#nextNeeded();
      if (block === -1) break;
      if (!this.#claimSlot()) {
        progress = progress === 'read' ? 'read' : 'full';
        break;
      }
      this.#startRead(block);
      progress = 'read';
    }
    return progress;
  }

  /**
   * Whether even the fastest consumer has as much before it as is good. It goes on with that, rings the bell, and is
   * further: so nobody is kept waiting, and how far the slowest may fall behind is still the whole ring.
   */
  #isFarAhead(): boolean {
    if (this.#world.readAheadBlocks >= this.#ring.geometry.slotCount) return false;
    const attached = this.#ring.entries.filter((entry) => entry.attached);
    const ahead = attached.map((entry) => sequenceDelta(this.#claimed, entry.get('cursor')));
    return attached.length > 0 && Math.min(...ahead) >= this.#world.readAheadBlocks;
  }

  /**
   * The next block in sweep order that an attached consumer needs and will not find in the ring; -1 when there is none.
   */
  #nextNeeded(): number {
    const attached = this.#ring.entries.filter((entry) => entry.attached);
    if (attached.length === 0) return -1;
    // Each cursor is loaded before any bit of its consumer: a consumer clears its bit and then moves its cursor, so a
    // cursor beyond a block's sequence together with a bit still set means that it came later and really needs the
    // block.
    const cursors = attached.map((entry) => entry.get('cursor'));
    const sets = attached.map((entry) => this.#ring.needSet(entry.index));
    const needs = (block: number): boolean => {
      const offered = this.#onOffer.get(block);
      return sets.some(
        (set, index) => set.has(block) && (offered === undefined || sequenceDelta(offered, cursors[index] ?? 0) < 0),
      );
    };
    const count = this.#ring.get('blockCount');
    const search = (from: number, to: number): number => {
      for (let block = nextInUnion(sets, from, to); block !== -1; block = nextInUnion(sets, block + 1, to)) {
        if (needs(block)) return block;
      }
      return -1;
    };
    const ahead = search(this.#position, count);
    if (ahead !== -1) return ahead;
    // A stream that can be read once is never wound back; consumers that would need it are refused when they join.
    return this.#device.info.access === 'once' ? -1 : search(0, Math.min(this.#position, count));
  }

  /**
   * Claims the slot of the next sequence for overwriting. The claim (`tail`) is stored before the consumers are looked
   * at, and a joiner stores its cursor before it looks at `tail`: so either we see the joiner here and wait for it, or
   * it sees the claim and starts later.
   */
  #claimSlot(): boolean {
    const overwritten = (this.#claimed - this.#ring.geometry.slotCount) | 0;
    const tail = (overwritten + 1) | 0;
    if (sequenceDelta(tail, this.#tail) > 0) {
      this.#tail = tail;
      this.#ring.set('tail', tail);
    }
    return this.#holders(overwritten).length === 0;
  }

  /** Attached consumers that have not passed a sequence yet. */
  #holders(sequence: number): readonly ConsumerEntry[] {
    return this.#ring.entries.filter((entry) => entry.attached && sequenceDelta(entry.get('cursor'), sequence) <= 0);
  }

  /** Charges whoever keeps the ring full; true when that made room. */
  #holdUp(): boolean {
    // A stream that is read once never gives anything a second time, so nobody can be left behind.
    if (this.#device.info.access === 'once') return false;
    return this.#slow.hold(this.#holders((this.#claimed - this.#ring.geometry.slotCount) | 0));
  }

  #startRead(block: number): void {
    const { slotCount, blockBytes } = this.#ring.geometry;
    const sequence = this.#claimed;
    const slot = (sequence >>> 0) & (slotCount - 1);
    const before = this.#blockOfSlot[slot];
    if (before !== undefined && this.#onOffer.get(before) === ((sequence - slotCount) | 0))
      this.#onOffer.delete(before);
    this.#blockOfSlot[slot] = block;
    this.#onOffer.set(block, sequence);

    if (block < this.#position || this.#ring.get('sweeps') === 0) this.#ring.add('sweeps', 1);
    this.#position = block + 1;
    this.#ring.set('position', this.#position);
    this.#claimed = (sequence + 1) | 0;
    const wantedBytes = this.#ring.blockLength(block);
    this.#reading.push({ sequence, block, wantedBytes, completion: null });
    this.#device.submit({
      kind: 'read',
      tag: slot,
      offsetBytes: block * blockBytes,
      buffer: this.#ring.slotData(sequence, wantedBytes),
    });
  }

  #collect(timeoutMs: number): void {
    if (this.#reading.every((reading) => reading.completion !== null)) return;
    for (const completion of this.#device.reap(timeoutMs)) {
      const reading = this.#reading.find((one) => this.#tagOf(one) === completion.tag && one.completion === null);
      assert(reading !== undefined, 'a completion of a read in flight');
      reading.completion = completion;
    }
  }

  #tagOf(reading: Reading): number {
    return (reading.sequence >>> 0) & (this.#ring.geometry.slotCount - 1);
  }

  /** Publishes finished reads in the order in which they were started. */
  #publish(): void {
    for (let first = this.#reading[0]; first?.completion != null; first = this.#reading[0]) {
      const { completion } = first;
      let flags = 0;
      let bytes = completion.bytes;
      if (completion.error !== null) {
        if (completion.error.code !== LOCAL_FAILURE) throw completion.error;
        ({ bytes, flags } = this.#retry(first));
      }
      if (!this.#checkLength(first, bytes)) return;
      this.#reading.shift();
      this.#publishOne(first, bytes, flags);
    }
  }

  #publishOne(reading: Reading, bytes: number, readFlags: number): void {
    const data = this.#ring.slotData(reading.sequence, bytes);
    let flags = readFlags;
    let digestLo = 0n;
    if ((flags & SlotFlag.bad) === 0) {
      const digest = this.#world.digest(data);
      digestLo = digest.lo;
      const first = this.#ring.digest(reading.block);
      if (first === null) this.#ring.setDigest(reading.block, digest);
      else if (first.lo !== digest.lo || first.hi !== digest.hi) {
        this.#ring.set('sourceChanged', 1);
        throw new UnderstudyError(
          'SOURCE_CHANGED',
          `block ${reading.block} of the source changed between two readings`,
        );
      }
      if (Buffer.compare(data, this.#zeros.subarray(0, bytes)) === 0) flags |= SlotFlag.zero;
    }
    if (reading.block === 0 && (flags & SlotFlag.bad) === 0) this.#world.frontRead?.(data);
    const { sequence, block } = reading;
    this.#ring.setSlotEntry({ sequence, block, flags, lengthBytes: bytes, digestLo });
    this.#ring.setDouble('bytesRead', this.#ring.getDouble('bytesRead') + bytes);
    this.#head = (reading.sequence + 1) | 0;
    this.#ring.publishHead(this.#head);
  }

  /** False when the reading told where a stream ends and holds nothing itself. */
  #checkLength(reading: Reading, bytes: number): boolean {
    if (bytes === reading.wantedBytes) {
      this.#refuseEndless(reading.block);
      return true;
    }
    if (this.#ring.get('sizeKnown') === 1) {
      throw new UnderstudyError(
        'SOURCE_CHANGED',
        `the source ended ${reading.wantedBytes - bytes} bytes early in block ${reading.block}: it shrank while it was copied`,
      );
    }
    this.#learnSize(reading.block * this.#ring.geometry.blockBytes + bytes);
    if (bytes > 0) return true;
    this.#reading.length = 0;
    this.#claimed = reading.sequence;
    this.#onOffer.delete(reading.block);
    return false;
  }

  /** The tables are full and the end has not come: going on would pass a part for the whole. */
  #refuseEndless(block: number): void {
    const { blockCapacity, blockBytes } = this.#ring.geometry;
    if (this.#ring.get('sizeKnown') === 1 || block < blockCapacity - 1) return;
    throw new UnderstudyError(
      'SOURCE_TOO_LARGE',
      `the source has more than ${blockCapacity - 1} blocks of ${blockBytes} bytes; use a larger --block-size`,
    );
  }

  #learnSize(sourceBytes: number): void {
    if (sourceBytes === 0) throw new UnderstudyError('SOURCE_EMPTY', 'the source holds no bytes');
    this.#ring.setDouble('sourceBytes', sourceBytes);
    this.#ring.set('blockCount', Math.ceil(sourceBytes / this.#ring.geometry.blockBytes));
    this.#ring.sealSize();
    this.#ring.set('sizeKnown', 1);
    this.#ring.wakeConsumers();
  }

  /** A failed read is tried again with pauses, then piece by piece; pieces that stay unreadable become listed zeros. */
  #retry(reading: Reading): { bytes: number; flags: number } {
    while (this.#reading.some((one) => one.completion === null)) this.#collect(limits.IO_TIMEOUT_MS);
    const at = reading.block * this.#ring.geometry.blockBytes;
    for (const pauseMs of limits.READ_RETRY_DELAYS_MS) {
      this.#world.sleep(pauseMs);
      const completion = this.#readNow(at, this.#ring.slotData(reading.sequence, reading.wantedBytes));
      if (completion.error === null) return { bytes: completion.bytes, flags: 0 };
      if (completion.error.code !== LOCAL_FAILURE) throw completion.error;
    }
    const whole = this.#ring.slotData(reading.sequence, reading.wantedBytes);
    let flags = 0;
    for (let from = 0; from < whole.byteLength; from += limits.READ_SALVAGE_BYTES) {
      const piece = whole.subarray(from, Math.min(from + limits.READ_SALVAGE_BYTES, whole.byteLength));
      const completion = this.#readNow(at + from, piece);
      if (completion.error === null) {
        if (completion.bytes < piece.byteLength) return { bytes: from + completion.bytes, flags };
        continue;
      }
      if (completion.error.code !== LOCAL_FAILURE) throw completion.error;
      piece.fill(0);
      flags = SlotFlag.bad;
      this.#ring.addBadRange({ offsetBytes: at + from, lengthBytes: piece.byteLength });
    }
    return { bytes: reading.wantedBytes, flags };
  }

  #readNow(offsetBytes: number, buffer: Uint8Array): Completion {
    this.#device.submit({ kind: 'read', tag: 0, offsetBytes, buffer });
    for (;;) {
      const completion = this.#device.reap(limits.IO_TIMEOUT_MS)[0];
      if (completion !== undefined) return completion;
    }
  }
}
