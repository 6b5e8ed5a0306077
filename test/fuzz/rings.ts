// A copy of one source to a few targets over a ring in ordinary memory, by the real cores, in which some words are
// overwritten at some moment: what another program of the same user does by mistake. Every copy is to end, and none may
// be called verified that is not the source.
import { limits, type Random, seededRandom, UnderstudyError } from '../../src/base/mod.ts';
import { ConsumerCore, type ConsumerStep } from '../../src/replication/consumer/core.ts';
import { Ledger } from '../../src/replication/consumer/ledger.ts';
import { ProducerCore } from '../../src/replication/producer/core.ts';
import { ConsumerState, type Digest, offsetsOf, Ring, RingState } from '../../src/replication/ring/mod.ts';
import { digestOf } from '../property/producer-actor.ts';
import { SimulatedClock, SimulatedDevice } from '../property/simulated-device.ts';

const BLOCK_BYTES = limits.PAGE_BYTES;
/** Nobody sleeps longer than a second, so that what still moves has moved by then. */
const TIME_MS_MAX = 120_000;
const STEPS_MAX = 50_000;
const IDLE_MS = 25;

export interface RingCase {
  readonly seed: number;
  /** Leaves out the looks at what is found, to show that the fuzzer sees their absence. */
  readonly trusting?: boolean;
}

export type RingOutcome = 'untouched' | 'right' | 'mismatch' | string;

/** A ring that believes what it finds. */
class TrustingRing extends Ring {
  override requireSound(): void {}
  override requireDescription(): void {}
  override slotEntry(sequence: number) {
    return { ...super.slotEntry(sequence), isWhole: true };
  }
}

interface Copy {
  readonly core: ConsumerCore;
  readonly ledger: Ledger;
  readonly target: Uint8Array;
  wait: ConsumerStep['wait'];
  end: string | null;
}

/** Plays one case; the ends of its copies. @throws Error when one hangs, or is called verified and is not the source */
export function playRing({ seed, trusting = false }: RingCase): readonly string[] {
  const world = new RingWorld(seed, trusting);
  for (let step = 0; step < STEPS_MAX; step++) {
    if (world.copies.every(({ end }) => end !== null)) return world.copies.map(({ end }) => end ?? '');
    if (step === world.harmAt) world.harm();
    world.step();
    if (world.clock.nowMs() > TIME_MS_MAX) break;
  }
  throw new Error(`case ${seed}: a copy hangs; ${world.told}`);
}

class RingWorld {
  readonly clock = new SimulatedClock();
  readonly copies: Copy[] = [];
  readonly harmAt: number;
  told = 'nothing was overwritten';
  last = '';
  readonly #random: Random;
  readonly #ring: Ring;
  readonly #content: Uint8Array;
  readonly #source: SimulatedDevice;
  #producer: ProducerCore | null = null;
  #reads = false;

  constructor(seed: number, trusting: boolean) {
    const random = seededRandom(seed);
    this.#random = random;
    const blockCount = 1 + random.below(14);
    this.harmAt = random.below(40);
    this.#content = new Uint8Array((blockCount - 1) * BLOCK_BYTES + 1 + random.below(BLOCK_BYTES));
    for (let block = 0; block < blockCount; block++) {
      if (random.below(4) === 0) continue;
      this.#content.fill(1 + ((seed + block) % 255), block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    }
    const known = random.below(3) > 0;
    const geometry = { blockBytes: BLOCK_BYTES, blockCapacity: blockCount + (known ? 0 : 4), slotCount: 4 };
    const buffer = new ArrayBuffer(offsetsOf(geometry).totalBytes);
    this.#ring = new (trusting ? TrustingRing : Ring)(buffer, geometry, { wait() {}, wakeAll() {} });
    this.#source = this.#device('source', this.#content.slice(), known);
    this.#describe(known);
    for (let index = 0; index < 1 + random.below(3); index++) this.#join(index);
  }

  #device(name: string, bytes: Uint8Array, sizeKnown: boolean): SimulatedDevice {
    const { clock, random } = { clock: this.clock, random: this.#random };
    // Streams are read one block at a time, as by their device.
    const depth = sizeKnown ? 2 : 1;
    const fixed = { access: 'random' as const, depth, serviceMs: 1, faults: [], watch: () => undefined };
    return new SimulatedDevice({ name, bytes, sizeKnown, clock, random, ...fixed });
  }

  #describe(known: boolean): void {
    const ring = this.#ring;
    const { blockBytes, blockCapacity, slotCount } = ring.geometry;
    for (const [word, value] of Object.entries({ blockBytes, blockCapacity, slotCount, blockCount: blockCapacity })) {
      ring.set(word as 'blockBytes', value);
    }
    ring.set('magic0', 7);
    ring.setDouble('sourceBytes', known ? this.#content.byteLength : 0);
    ring.set('sizeKnown', known ? 1 : 0);
    const zero = (block: number): boolean =>
      this.#content.subarray(block * blockBytes, (block + 1) * blockBytes).every((byte) => byte === 0);
    for (let block = 0; known && block < blockCapacity; block++) if (zero(block)) ring.zeroMap.add(block);
    ring.seal();
    ring.set('state', RingState.ready);
  }

  #join(index: number): void {
    const ring = this.#ring;
    const known = ring.get('sizeKnown') === 1;
    const target = new Uint8Array(this.#content.byteLength + BLOCK_BYTES).fill(0xa5);
    const ledger = new Ledger(ring, known ? this.#content.byteLength : Number.POSITIVE_INFINITY, digestOf, false);
    const needs = ring.needSet(index);
    needs.addRange(0, ring.geometry.blockCapacity);
    for (let block = ring.zeroMap.next(0); block !== -1; block = ring.zeroMap.next(block + 1)) {
      ledger.zeros.add(block);
      needs.delete(block);
    }
    const device = this.#device(`target ${index}`, target, true);
    const options = { join: 'oldest', onReadError: 'fail', limitRate: null, targetReadsZero: false } as const;
    const core = new ConsumerCore(
      ring,
      index,
      device,
      { ...options, endBytes: Number.POSITIVE_INFINITY },
      {
        clock: this.clock,
        observer: ledger,
        allocate: (bytes) => new Uint8Array(bytes),
        writesInFlight: 2,
      },
    );
    core.attach();
    this.copies.push({ core, ledger, target, wait: 'none', end: null });
  }

  /** One step of everybody; time goes on when nobody has anything to do. */
  step(): void {
    // Who is not always there leaves slots unread for a while.
    const isAway = (): boolean => this.#random.below(3) === 0;
    const moved = [this.#produce(), ...this.copies.map((copy) => isAway() || this.#consume(copy))];
    if (!moved.includes(true)) this.clock.advanceTo(this.clock.nowMs() + IDLE_MS);
  }

  #produce(): boolean {
    const ring = this.#ring;
    if (ring.get('state') === RingState.failed) return false;
    try {
      this.#producer ??= new ProducerCore(ring, this.#source, {
        clock: this.clock,
        ifDead: (index, free) => {
          if (this.copies[index]?.end !== null) free();
        },
        digest: digestOf,
        readAheadBlocks: Number.POSITIVE_INFINITY,
        sleep: (milliseconds) => this.clock.advanceTo(this.clock.nowMs() + milliseconds),
      });
      if (this.#reads) this.#producer.reap(1);
      const { wait } = this.#producer.step();
      this.#reads = wait === 'reads';
      return wait === 'none' || (wait === 'reads' && this.#source.nextDueMs <= this.clock.nowMs());
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      ring.setText('failure', `${error.code} ${error.message}`);
      ring.set('state', RingState.failed);
      return true;
    }
  }

  #consume(copy: Copy): boolean {
    if (copy.end !== null) return false;
    try {
      if (copy.wait === 'writes') copy.core.reap(1);
      copy.wait = copy.core.step().wait;
      if (copy.wait === 'done') copy.end = this.#finish(copy);
      return copy.wait === 'none' || copy.end !== null;
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      copy.end = error.code;
      return true;
    } finally {
      if (copy.end !== null) this.#ring.entry(this.copies.indexOf(copy)).set('state', ConsumerState.free);
    }
  }

  /** As the end of the session with --verify: zeros, the size, what is read back, a last look at the ring. */
  #finish({ ledger, target }: Copy): string {
    const ring = this.#ring;
    const { blockBytes } = ring.geometry;
    const imageBytes = ring.getDouble('sourceBytes');
    const blocks = Math.ceil(imageBytes / blockBytes);
    for (let block = 0; block < blocks; block++) {
      const bytes = target.subarray(block * blockBytes, Math.min((block + 1) * blockBytes, imageBytes));
      if (ledger.zeros.has(block)) bytes.fill(0);
      else if (!ledger.done.has(block) || !isSame(digestOf(bytes), ledger.digest(block))) return 'mismatch';
    }
    ring.requireDescription();
    const verified = target.subarray(0, imageBytes);
    if (Buffer.compare(verified, this.#content) === 0) return 'right';
    throw new Error(`a copy of ${verified.byteLength} bytes is called verified, and is not the source; ${this.told}`);
  }

  /**
   * Bytes of a slot that is published. (Where a byte is overwritten between its reading and its digest, it is taken for
   * the source's: nothing but a digest from elsewhere, --expect, could tell.)
   */
  #publishedData(): readonly [number, number] | null {
    const ring = this.#ring;
    const { blockBytes, slotCount } = ring.geometry;
    const [head, tail] = [ring.get('head'), ring.get('tail')];
    if (head <= tail) return null;
    const at = ring.offsets.dataAt + ((tail + this.#random.below(head - tail)) % slotCount) * blockBytes;
    return [at, at + blockBytes];
  }

  /** Some words of the ring, anywhere, as something else has left them. */
  harm(): void {
    const { buffer, offsets } = this.#ring;
    const random = this.#random;
    const areas = [
      [0, 256],
      [offsets.consumersAt, offsets.consumersAt + 2048],
      [offsets.slotsAt, offsets.slotsAt + 128],
      [offsets.zeroMapAt, offsets.zeroMapAt + 64],
      [offsets.digestsAt, offsets.digestsAt + 256],
      [offsets.needSetsAt, offsets.needSetsAt + 64],
      this.#publishedData() ?? [offsets.digestsAt, offsets.digestsAt + 256],
      [0, offsets.tablesEnd],
    ] as const;
    const [from = 0, to = 0] = areas[random.below(areas.length)] ?? [];
    const words = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    const count = random.below(8) === 0 ? (to - from) / 4 : 1 + random.below(3);
    const kind = random.below(5);
    for (let index = 0; index < count; index++) {
      const at = count > 3 ? from / 4 + index : Math.floor(from / 4) + random.below(Math.floor((to - from) / 4));
      const before = words[at] ?? 0;
      const other = words[Math.floor(from / 4) + random.below(Math.floor((to - from) / 4))] ?? 0;
      const values = [0, -1, before ^ (1 << random.below(32)), random.below(2 ** 31) - 2 ** 30, other, before + 1];
      words[at] = values[kind] ?? 0;
      this.last = `${at}: ${before} to ${words[at]}`;
    }
    this.told = `${count} words (the last: ${this.last}) from byte ${from} to ${to} were overwritten, kind ${kind}`;
  }
}

function isSame(one: Digest, other: Digest): boolean {
  return one.lo === other.lo && one.hi === other.hi;
}
