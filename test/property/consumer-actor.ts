// A consumer in the simulated world: what src/replication/consumer/session.ts does around the real core, one step a
// turn. It also checks what only an onlooker can: that nothing is written that is not wanted, and that a block which
// counts as copied is on the target, whole.
import { createHash } from 'node:crypto';
import type { ErrorCode } from '../../src/base/mod.ts';
import { limits, present, UnderstudyError } from '../../src/base/mod.ts';
import { ConsumerCore, type ConsumerStep } from '../../src/replication/consumer/core.ts';
import { Ledger } from '../../src/replication/consumer/ledger.ts';
import type { Device, Transfer } from '../../src/replication/device/contract.ts';
import { type ConsumerEntry, ConsumerState, NeedSet, type Ring } from '../../src/replication/ring/mod.ts';
import { HeldTarget } from './held-target.ts';
import { digestOf } from './producer-actor.ts';
import { BLOCK_BYTES, type ConsumerPlan } from './scenario.ts';
import { SimulatedDevice } from './simulated-device.ts';
import { Actor, type RingMaker, Violation, type World } from './world.ts';

export interface Breakage {
  readonly ring: RingMaker;
  readonly device: (device: Device) => Device;
}

/** Says when the cursor may still be moved up although the row is attached. */
class WatchedCore extends ConsumerCore {
  attaching = false;

  override attach(): void {
    this.attaching = true;
    super.attach();
    this.attaching = false;
  }
}

/** What a target gives back where it lost what was written. */
const LOST = 0x99;
/** What a target holds where nobody writes. */
const UNTOUCHED = 0xa5;

export class ConsumerActor extends Actor {
  readonly name: string;
  readonly plan: ConsumerPlan;
  result: 'done' | 'aborted' | 'dead' | ErrorCode | null = null;
  phase: 'away' | 'running' | 'lingering' | 'left' = 'away';
  endedAtMs = 0;
  detachments = 0;
  /** Times that the producer had gone back to the front when it joined. */
  joinedAfterWraps = 0;
  /** Standing still until nobody else is left. */
  stopped = false;
  readonly endBytes: number;
  readonly target: Uint8Array;
  readonly needs: NeedSet;
  readonly #world: World;
  readonly #breakage: Breakage;
  readonly #device: SimulatedDevice;
  #held: HeldTarget | null = null;
  #isEnding = false;
  #losses: number;
  readonly #counted = new Set<number>();
  #hasStopped = false;
  #ring: Ring | null = null;
  #entry: ConsumerEntry | null = null;
  #core: WatchedCore | null = null;
  #ledger: Ledger | null = null;
  #wait: ConsumerStep['wait'] = 'none';

  constructor(world: World, index: number, plan: ConsumerPlan, breakage: Breakage) {
    super();
    const { content, random, scenario, geometry, clock } = world;
    this.name = `consumer ${index}`;
    this.plan = plan;
    this.#losses = scenario.access === 'once' ? 0 : plan.losses;
    this.#world = world;
    this.#breakage = breakage;
    const size = content.byteLength;
    this.endBytes = plan.endShare === null ? size : 1 + Math.floor(plan.endShare * (size - 1));
    this.target = new Uint8Array(this.endBytes + BLOCK_BYTES).fill(plan.targetReadsZero ? 0 : UNTOUCHED);
    this.needs = new NeedSet(new Int32Array(Math.ceil(geometry.blockCapacity / 64) * 2), geometry.blockCapacity);
    const wanted = plan.endShare === null ? geometry.blockCapacity : Math.ceil(this.endBytes / BLOCK_BYTES);
    // Until its length is known a stream is wanted to its end: only reading past the last block tells where that is.
    const holesBelow = scenario.sizeKnown ? wanted : scenario.blockCount - 1;
    for (let block = 0; block < wanted; block++) {
      if (block >= holesBelow || random.next() < plan.needShare) this.needs.add(block);
    }
    if (plan.holdsBack) for (const block of [0, Math.ceil(this.endBytes / BLOCK_BYTES) - 1]) this.needs.add(block);
    const badBlock = plan.badBlock;
    this.#device = new SimulatedDevice({
      name: this.name,
      // Some disks are exactly as large as their image.
      bytes: plan.holdsBack && index % 2 === 0 ? this.target.subarray(0, this.endBytes) : this.target,
      access: 'random',
      sizeKnown: true,
      depth: 4,
      serviceMs: plan.writeMs,
      clock,
      random,
      faults:
        badBlock === null
          ? []
          : [{ code: 'TARGET_WRITE_FAILED', offsetBytes: badBlock * BLOCK_BYTES, lengthBytes: BLOCK_BYTES, times: 1 }],
      watch: (transfer) => world.unobserved(() => this.#watch(transfer)),
    });
    this.readyAtMs = plan.joinAtRead === 0 ? 0 : Number.POSITIVE_INFINITY;
    if (plan.fate.kind === 'dies') this.diesAtAccess = plan.fate.atAccess;
    if (scenario.consumers.length > limits.CONSUMERS_MAX) throw new RangeError('more consumers than rows');
  }

  override describe(): string {
    return `row ${this.#entry?.index}, ${this.phase}, result ${this.result}, waits for ${this.#wait}, ${this.accesses} accesses`;
  }

  readStarted(count: number): void {
    if (count >= this.plan.joinAtRead) this.comeNow();
  }

  /** It waits for its moment to join. */
  get isToCome(): boolean {
    return this.phase === 'away' && this.readyAtMs === Number.POSITIVE_INFINITY;
  }

  comeNow(): void {
    if (this.phase === 'away') this.readyAtMs = Math.min(this.readyAtMs, this.#world.clock.nowMs());
  }

  /** Nobody else is left: a stopped one goes on. */
  resume(): void {
    this.stopped = false;
    this.readyAtMs = this.#world.clock.nowMs();
  }

  /** The sequence from which on no slot may be overwritten, or null when it holds none. */
  heldCursor(): number | null {
    if (this.phase !== 'running' || this.#core === null || this.#core.attaching || this.#entry === null) return null;
    const entry = this.#world.ring.entry(this.#entry.index);
    return entry.attached ? entry.get('cursor') : null;
  }

  override run(): void {
    try {
      if (this.phase === 'away') this.#join();
      else if (this.phase === 'running') this.#goOn();
      else this.#leave('done');
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      this.#leave(error.code);
    }
  }

  override died(): void {
    this.#device.abandon();
    this.#held?.check();
    if (this.#entry !== null) this.#world.locks.delete(this.#entry.index);
    this.#end('dead');
  }

  /** As takeSeat and the beginning of the session. */
  #join(): void {
    const { world, plan } = { world: this.#world, plan: this.plan };
    const ring = world.makeRing(this.#breakage.ring);
    this.#ring = ring;
    if (ring.get('state') === 2) {
      this.#end('PRODUCER_FAILED');
      return;
    }
    const entry = ring.entries.find((one) => one.get('state') === ConsumerState.free && !world.locks.has(one.index));
    this.#entry = present(entry, 'a free row');
    world.locks.add(this.#entry.index);
    const needSet = ring.needSet(this.#entry.index);
    for (const [index, word] of this.needs.words.entries()) Atomics.store(needSet.words, index, word);
    this.#entry.set('pace', plan.pace ? 1 : 0);
    this.#entry.set('detachments', 0);
    this.#entry.set('startBlock', -1);
    const end = plan.endShare === null ? null : this.endBytes;
    const known = ring.get('sizeKnown') === 1 ? ring.getDouble('sourceBytes') : null;
    const ledger = new Ledger(ring, end ?? known ?? Number.POSITIVE_INFINITY, digestOf, plan.needShare === 1);
    this.#ledger = ledger;
    const options = { ...plan, endBytes: end ?? Number.POSITIVE_INFINITY };
    this.#core = new WatchedCore(ring, this.#entry.index, this.#open(end ?? known, ledger), options, {
      clock: world.clock,
      observer: {
        blockWritten: (block, data, bad, intact) => {
          const counts = ledger.blockWritten(block, data, bad, intact);
          if (counts) world.unobserved(() => this.#checkCounted(block, bad));
          return counts;
        },
      },
      allocate: (bytes) => new Uint8Array(bytes),
      writesInFlight: plan.writesInFlight,
    });
    this.phase = 'running';
    this.readyAtMs = world.clock.nowMs();
    this.#core.attach();
    this.joinedAfterWraps = world.wraps;
  }

  /** As the session opens its target. */
  #open(imageBytes: number | null, ledger: Ledger): Device {
    const device = this.#breakage.device(this.#device);
    if (!this.plan.holdsBack) return device;
    this.#held = new HeldTarget(this.name, device, this.target.subarray(0, this.endBytes), imageBytes);
    for (const block of this.#held.device.blocks) ledger.unrecorded.add(block);
    return this.#held.device;
  }

  /** Some block that counted is not on the target after all; false when none is left that could be lost. */
  #lose(core: WatchedCore): boolean {
    const losable = [...this.#counted].filter((block) => !this.#isHeld(block));
    const block = losable[this.#world.random.below(Math.max(1, losable.length))];
    if (this.#losses === 0 || block === undefined) return false;
    this.#losses -= 1;
    this.#counted.delete(block);
    const from = block * BLOCK_BYTES;
    this.target.fill(LOST, from, Math.min(from + BLOCK_BYTES, this.endBytes));
    present(this.#ledger, 'a ledger').forget(block);
    core.again(block);
    return true;
  }

  #isHeld(block: number): boolean {
    return present(this.#ledger, 'a ledger').unrecorded.has(block);
  }

  #goOn(): void {
    const { fate } = this.plan;
    if (fate.kind === 'aborts' && this.accesses >= fate.atAccess) {
      this.#leave('aborted');
      return;
    }
    if (fate.kind === 'stops' && !this.#hasStopped && this.accesses >= fate.atAccess) {
      this.#hasStopped = true;
      this.stopped = fate.forMs === null;
      this.readyAtMs = fate.forMs === null ? Number.POSITIVE_INFINITY : this.#world.clock.nowMs() + fate.forMs;
      // Whoever wakes a stopped process finds it stopped.
      this.sleepsOn = null;
      return;
    }
    const core = present(this.#core, 'a running core');
    const ring = present(this.#ring, 'a ring');
    if (this.#wait === 'news') ring.add('headWaiters', -1);
    if (this.#wait === 'writes') core.reap(limits.WAIT_MS_MAX);
    this.sleepsOn = null;
    this.#wait = 'none';
    this.#follow(core.step(), ring);
  }

  #follow(step: ConsumerStep, ring: Ring): void {
    const nowMs = this.#world.clock.nowMs();
    this.#wait = step.wait;
    this.readyAtMs = nowMs;
    switch (step.wait) {
      case 'none':
        return;
      case 'writes':
        // What is held back is there at once.
        if (this.#device.inFlight.length > 0) this.readyAtMs = Math.max(nowMs, this.#device.nextDueMs);
        return;
      case 'news':
        if (this.#lose(present(this.#core, 'a running core'))) {
          this.#wait = 'none';
          return;
        }
        ring.add('headWaiters', 1);
        this.#world.sleep(this, 'news', step.seen, limits.WAIT_MS_MAX);
        return;
      case 'time':
        this.readyAtMs = nowMs + step.milliseconds;
        return;
      case 'done':
        this.#finish(ring);
        return;
    }
  }

  /** As the end of the session: out of the line, but on the list for a while. */
  #finish(ring: Ring): void {
    this.#note();
    present(this.#entry, 'a row').set('state', ConsumerState.detached);
    ring.ringBell();
    const core = present(this.#core, 'a core');
    if (this.#lose(core)) {
      core.attach();
      this.#wait = 'none';
      return;
    }
    if (ring.get('sourceChanged') === 1) {
      this.#leave('SOURCE_CHANGED');
      return;
    }
    this.#isEnding = true;
    this.#held?.release(this.endBytes);
    this.#world.unobserved(() => this.#checkFinished(ring));
    this.phase = 'lingering';
    this.readyAtMs = this.#world.clock.nowMs() + this.#world.random.below(100);
    this.endedAtMs = this.#world.clock.nowMs();
  }

  #leave(result: NonNullable<ConsumerActor['result']>): void {
    const entry = present(this.#entry, 'a row');
    this.#note();
    entry.set('state', ConsumerState.free);
    this.#world.locks.delete(entry.index);
    present(this.#ring, 'a ring').ringBell();
    this.#device.abandon();
    this.#end(result);
  }

  #note(): void {
    if (this.#entry !== null) this.detachments = this.#world.unobserved(() => this.#entry?.get('detachments') ?? 0);
  }

  #end(result: NonNullable<ConsumerActor['result']>): void {
    this.result = result;
    this.phase = 'left';
    this.ended = true;
  }

  #watch(transfer: Transfer): void {
    // What the consumer's core does is watched, not what comes before and after it.
    if (this.#core === null || this.#isEnding) return;
    const block = transfer.offsetBytes / BLOCK_BYTES;
    const entry = present(this.#entry, 'a row');
    const writing = this.#device.inFlight.some((one) => one.offsetBytes === transfer.offsetBytes);
    if (writing) throw new Violation(`${this.name} writes block ${block} twice at a time`);
    if (!this.#world.ring.needSet(entry.index).has(block)) {
      throw new Violation(`${this.name} writes block ${block}, which it does not need`);
    }
    if (transfer.offsetBytes + transfer.buffer.byteLength > this.endBytes) {
      throw new Violation(`${this.name} writes beyond the end of its image`);
    }
  }

  /** What a block must be on the target: the source's bytes, with zeros where they could not be read. */
  #wanted(block: number, bad: boolean): Uint8Array {
    const from = block * BLOCK_BYTES;
    const wanted = this.#world.content.slice(from, Math.min(from + BLOCK_BYTES, this.endBytes));
    if (!bad) return wanted;
    for (const { offsetBytes, lengthBytes } of this.#world.ring.badRanges()) {
      const first = Math.max(0, offsetBytes - from);
      const last = Math.max(0, offsetBytes + lengthBytes - from);
      if (first < wanted.byteLength) wanted.fill(0, first, last);
    }
    return wanted;
  }

  readonly #badBlocks = new Set<number>();

  #checkCounted(block: number, bad: boolean): void {
    if (this.#counted.has(block)) throw new Violation(`${this.name} counted block ${block} twice`);
    this.#counted.add(block);
    // A block that was lost is read again, and this time it may be readable, or not.
    if (bad) this.#badBlocks.add(block);
    else this.#badBlocks.delete(block);
    this.#held?.check();
    if (!this.#isHeld(block)) this.#checkBlock(block);
  }

  #checkBlock(block: number): void {
    const wanted = this.#wanted(block, this.#badBlocks.has(block));
    const from = block * BLOCK_BYTES;
    if (Buffer.compare(this.target.subarray(from, from + wanted.byteLength), wanted) === 0) return;
    throw new Violation(`${this.name} counts block ${block} as copied, and its target holds other bytes`);
  }

  #checkFinished(ring: Ring): void {
    const blockCount = Math.ceil(this.endBytes / BLOCK_BYTES);
    const untouched = this.plan.targetReadsZero ? 0 : UNTOUCHED;
    for (let block = 0; block < blockCount; block++) {
      if (this.needs.has(block)) {
        if (!this.#counted.has(block)) throw new Violation(`${this.name} is done without block ${block}`);
        this.#checkBlock(block);
        continue;
      }
      const part = this.target.subarray(block * BLOCK_BYTES, Math.min((block + 1) * BLOCK_BYTES, this.endBytes));
      if (part.some((byte) => byte !== untouched)) throw new Violation(`${this.name} wrote block ${block} unasked`);
    }
    if (this.target.subarray(this.endBytes).some((byte) => byte !== untouched)) {
      throw new Violation(`${this.name} wrote beyond its end`);
    }
    if (this.plan.needShare === 1) this.#checkWholeDigest(ring, blockCount);
  }

  #checkWholeDigest(ring: Ring, blockCount: number): void {
    const image = this.target.subarray(0, this.endBytes);
    const ledger = present(this.#ledger, 'a ledger');
    const digest = ledger.wholeDigest(blockCount, (block) => {
      const from = block * BLOCK_BYTES;
      return image.subarray(from, from + Math.min(ledger.lengthOf(block), ring.geometry.blockBytes));
    });
    if (digest !== createHash('sha256').update(image).digest('hex')) {
      throw new Violation(`${this.name} has taken another digest than that of its target`);
    }
  }
}
