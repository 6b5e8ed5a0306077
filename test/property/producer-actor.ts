// A producer in the simulated world: the loop of src/replication/producer/engine.ts around the real core, one step a turn,
// and its successors. It also watches every read: what is it for, and whose unread slot does it overwrite?
import { createHash } from 'node:crypto';
import { limits, messageOf, UnderstudyError } from '../../src/base/mod.ts';
import type { Transfer } from '../../src/replication/device/contract.ts';
import { ProducerCore, type ProducerStep } from '../../src/replication/producer/core.ts';
import { type Digest, type Ring, RingState, sequenceDelta } from '../../src/replication/ring/mod.ts';
import { BLOCK_BYTES } from './scenario.ts';
import { SimulatedDevice } from './simulated-device.ts';
import { Actor, type RingMaker, Violation, type World } from './world.ts';

export function digestOf(bytes: Uint8Array): Digest {
  const hash = createHash('md5').update(bytes).digest();
  return { lo: hash.readBigUInt64LE(0), hi: hash.readBigUInt64LE(8) };
}

/** What the producer's onlooker asks of a consumer. */
interface Reader {
  readonly name: string;
  /** The sequence from which on no slot may be overwritten, or null when it holds none. */
  heldCursor(): number | null;
  /** So many reads were started. */
  readStarted(count: number): void;
}

export class ProducerActor extends Actor {
  readonly name = 'producer';
  /** What ended the reading for everybody. */
  failure: UnderstudyError | null = null;
  deaths = 0;
  /** Reads started of each block. */
  readonly reads: number[];
  /** All reads started, without retries. */
  readsStarted = 0;
  /** Reads of the block that changes, started after it had changed. */
  readsAfterChange = 0;
  readonly #world: World;
  readonly #makeRing: RingMaker;
  readonly #consumers: readonly Reader[];
  /** Sequence of the latest reading of each block that was published or still may be. */
  readonly #latest = new Map<number, number>();
  #lastBlock = -1;
  #changed = false;
  #changeAtRead = Number.POSITIVE_INFINITY;
  #ring: Ring | null = null;
  #device: SimulatedDevice | null = null;
  #core: ProducerCore | null = null;
  #wait: ProducerStep['wait'] = 'none';

  constructor(world: World, consumers: readonly Reader[], makeRing: RingMaker) {
    super();
    this.#world = world;
    this.#consumers = consumers;
    this.#makeRing = makeRing;
    this.reads = new Array<number>(world.scenario.blockCount).fill(0);
    this.diesAtAccess = world.scenario.producerDeaths[0] ?? Number.POSITIVE_INFINITY;
  }

  override describe(): string {
    return `${this.readsStarted} reads, ${this.deaths} deaths, waits for ${this.#wait}`;
  }

  override run(): void {
    try {
      this.#ring ??= this.#world.makeRing(this.#makeRing);
      this.#device ??= this.#open();
      this.#core ??= this.#start(this.#ring, this.#device);
      if (this.sleepsOn !== null) {
        this.sleepsOn = null;
        this.#ring.set('bellWaiter', 0);
      }
      if (this.#wait === 'reads') this.#core.reap(limits.WAIT_MS_MAX);
      this.#wait = 'none';
      this.#follow(this.#core.step(), this.#ring, this.#device);
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      this.#fail(error);
    }
  }

  override died(): void {
    const { random, clock, scenario } = this.#world;
    this.deaths += 1;
    this.#device?.abandon();
    this.#ring = null;
    this.#device = null;
    this.#core = null;
    this.#wait = 'none';
    // What it published its successor knows; what it was reading is lost.
    const head = this.#world.ring.get('head');
    for (const [block, sequence] of this.#latest) if (sequenceDelta(sequence, head) >= 0) this.#latest.delete(block);
    this.diesAtAccess = this.accesses + (scenario.producerDeaths[this.deaths] ?? Number.POSITIVE_INFINITY);
    this.readyAtMs = clock.nowMs() + random.below(600);
  }

  #open(): SimulatedDevice {
    const { scenario, source, clock, random } = this.#world;
    return new SimulatedDevice({
      name: 'source',
      bytes: source,
      access: scenario.access,
      sizeKnown: scenario.sizeKnown,
      depth: scenario.access === 'random' ? 4 : 1,
      serviceMs: scenario.readMs,
      clock,
      random,
      faults: scenario.faults.map(({ block, times }) => ({
        code: 'SOURCE_READ_FAILED' as const,
        offsetBytes: block * BLOCK_BYTES,
        lengthBytes: BLOCK_BYTES,
        times: times ?? Number.POSITIVE_INFINITY,
      })),
      watch: (transfer) => this.#world.unobserved(() => this.#watch(transfer)),
    });
  }

  #start(ring: Ring, device: SimulatedDevice): ProducerCore {
    this.#lastBlock = -1;
    return new ProducerCore(ring, device, {
      clock: this.#world.clock,
      ifDead: (index, free) => {
        if (!this.#world.locks.has(index)) free();
      },
      digest: digestOf,
      readAheadBlocks: this.#world.scenario.readAheadBlocks ?? Number.POSITIVE_INFINITY,
      sleep: (milliseconds) => this.#world.clock.advanceTo(this.#world.clock.nowMs() + milliseconds),
    });
  }

  #follow(step: ProducerStep, ring: Ring, device: SimulatedDevice): void {
    const nowMs = this.#world.clock.nowMs();
    this.#wait = step.wait;
    this.readyAtMs = nowMs;
    switch (step.wait) {
      case 'none':
        return;
      case 'reads':
        this.readyAtMs = Math.max(nowMs, device.nextDueMs);
        return;
      case 'bell':
        this.#sleepOnBell(ring, step.seen, step.timeoutMs);
        return;
      case 'deserted':
        this.#sleepOnBell(ring, step.seen, limits.WAIT_MS_MAX / 5);
        return;
    }
  }

  #sleepOnBell(ring: Ring, seen: number, timeoutMs: number): void {
    ring.set('bellWaiter', 1);
    this.#world.sleep(this, 'bell', seen, timeoutMs);
    if (this.sleepsOn === null) ring.set('bellWaiter', 0);
  }

  /** As `fail` of the engine. */
  #fail(error: UnderstudyError): void {
    this.failure = error;
    this.ended = true;
    const ring = this.#world.makeRing(this.#makeRing);
    ring.setText('failure', `${error.code} ${messageOf(error)}`);
    ring.set('state', RingState.failed);
    ring.wakeConsumers();
  }

  #watch(transfer: Transfer): void {
    const { ring, scenario } = this.#world;
    const block = Math.floor(transfer.offsetBytes / BLOCK_BYTES);
    const slot = (transfer.buffer.byteOffset - ring.offsets.dataAt) / BLOCK_BYTES;
    const head = ring.get('head');
    const sequence = (head + ((Math.floor(slot) - head) & (scenario.slotCount - 1))) | 0;
    if (this.#latest.get(block) === sequence) return;
    this.#checkNobodyLosesASlot((sequence - scenario.slotCount) | 0);
    // Without interruptions nothing changes between the decision to read and the read: it must be for somebody.
    if (scenario.preemptEvery === 0) {
      this.#checkSomebodyNeeds(block);
      this.#checkSomebodyIsNear(sequence);
    }
    this.#latest.set(block, sequence);
    this.#account(block);
  }

  #checkNobodyLosesASlot(overwritten: number): void {
    for (const consumer of this.#consumers) {
      const cursor = consumer.heldCursor();
      if (cursor === null || sequenceDelta(cursor, overwritten) > 0) continue;
      throw new Violation(`${consumer.name} has not passed ${overwritten}, which is overwritten`);
    }
  }

  #checkSomebodyNeeds(block: number): void {
    const { ring } = this.#world;
    const latest = this.#latest.get(block);
    const needed = ring.entries.some((entry) => {
      if (!entry.attached || !(ring.needSet(entry.index).has(block) || ring.get('sizeKnown') === 0)) return false;
      return latest === undefined || sequenceDelta(latest, entry.get('cursor')) < 0;
    });
    if (!needed) throw new Violation(`block ${block} is read, and everybody who needs it will find it in the ring`);
  }

  #checkSomebodyIsNear(sequence: number): void {
    const { ring, scenario } = this.#world;
    const ahead = ring.entries
      .filter((entry) => entry.attached)
      .map((entry) => sequenceDelta(sequence, entry.get('cursor')));
    if (Math.min(...ahead) < (scenario.readAheadBlocks ?? Number.POSITIVE_INFINITY)) return;
    throw new Violation(`${sequence} is read, and even the fastest consumer is ${Math.min(...ahead)} behind it`);
  }

  #account(block: number): void {
    this.readsStarted += 1;
    if (block < this.reads.length) this.reads[block] = (this.reads[block] ?? 0) + 1;
    if (block <= this.#lastBlock) {
      this.#world.wraps += 1;
      if (this.#world.scenario.access === 'once')
        throw new Violation(`block ${block} of a stream was asked for too late`);
    }
    this.#lastBlock = block;
    for (const consumer of this.#consumers) consumer.readStarted(this.readsStarted);
    this.#changeSource(block);
  }

  #changeSource(block: number): void {
    const { change } = this.#world.scenario;
    if (change === null) return;
    if (this.#changeAtRead === Number.POSITIVE_INFINITY && this.reads.every((count) => count > 0)) {
      // Those in flight may still get the old bytes: the change comes after as many further reads as can be in flight.
      this.#changeAtRead = this.readsStarted + limits.READS_IN_FLIGHT + change.afterReads;
    }
    if (!this.#changed && this.readsStarted >= this.#changeAtRead) {
      this.#changed = true;
      const at = change.block * BLOCK_BYTES;
      this.#world.source[at] = (this.#world.source[at] ?? 0) ^ 0xff;
    }
    if (this.#changed && block === change.block) this.readsAfterChange += 1;
  }
}
