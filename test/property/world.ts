// The simulated world: a ring in ordinary memory, time, and a scheduler that lets one actor take one step after the
// other, or interrupts a step at any access to a shared word to let others run. Everything follows from the scenario
// and its seed.
import { limits, type Random, seededRandom } from '../../src/base/mod.ts';
import {
  AccessKind,
  ConsumerState,
  type Geometry,
  Header,
  offsetsOf,
  Ring,
  type Signal,
} from '../../src/replication/ring/mod.ts';
import { BLOCK_BYTES, type Scenario } from './scenario.ts';
import { withEveryAccess } from './shared-access.ts';
import { SimulatedClock } from './simulated-device.ts';

/** A property of the protocol does not hold. */
export class Violation extends Error {}

/** Thrown at an access to a shared word: the process of the actor ends there. */
class Death extends Error {}

export abstract class Actor {
  abstract readonly name: string;
  /** It runs at this time or later; Infinity: until somebody wakes it. */
  readyAtMs = 0;
  /** Header word that it sleeps on, as on a futex. */
  sleepsOn: number | null = null;
  /** Accesses to shared words so far. */
  accesses = 0;
  /** Which of them were to change the word. */
  readonly stores: number[] = [];
  diesAtAccess = Number.POSITIVE_INFINITY;
  ended = false;

  /** One turn: at most one step of its core, and the wait that the step asked for. */
  abstract run(): void;
  /** What the kernel does for a process that has died. */
  abstract died(): void;
  abstract describe(): string;
}

const TURNS_MAX = 200_000;
/** Simulated time in which everything must have ended; targets at a tenth of the others' speed have minutes of work. */
const TIME_MS_MAX = 600_000;
/**
 * The same where actors are preempted, without the pauses that this makes: with everybody waiting for the one who is
 * away, many of those are more than all work. The slowest of 24,000 such scenarios had 15 seconds of it.
 */
const PREEMPTED_MS_MAX = 60_000;
/** Steps may interrupt steps that interrupted steps, but not without end. */
const NESTING_MAX = 3;

export type RingMaker = (buffer: ArrayBuffer, geometry: Geometry, signal: Signal) => Ring;

export const honestRing: RingMaker = (buffer, geometry, signal) => new Ring(buffer, geometry, signal);

export class World {
  readonly scenario: Scenario;
  readonly clock = new SimulatedClock();
  readonly random: Random;
  readonly geometry: Geometry;
  /** What the source held at the start: what every finished copy must hold. */
  readonly content: Uint8Array;
  /** What the source holds now. */
  readonly source: Uint8Array;
  /** Rows of the consumer table whose lock byte is held. */
  readonly locks = new Set<number>();
  readonly actors: Actor[] = [];
  /** Times that a producer went back to the front of the source. */
  wraps = 0;
  /** For checks: not the view of any actor. */
  readonly ring: Ring;
  readonly #buffer: ArrayBuffer;
  readonly #signal: Signal;
  /** Actors in the middle of a step; the last one runs. */
  #stack: Actor[] = [];
  #observed = false;
  #untilPreemption = Number.POSITIVE_INFINITY;
  #turns = 0;
  #pausedMs = 0;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.random = seededRandom(scenario.seed);
    this.content = contentOf(scenario, this.random);
    this.source = this.content.slice();
    const blockCapacity = scenario.blockCount + (scenario.sizeKnown ? 0 : scenario.spareBlocks);
    this.geometry = { blockBytes: BLOCK_BYTES, blockCapacity, slotCount: scenario.slotCount };
    this.#buffer = new ArrayBuffer(offsetsOf(this.geometry).totalBytes);
    this.#signal = {
      wait() {
        throw new Violation('a core blocked');
      },
      wakeAll: (_words, index) => this.#wake(index),
    };
    this.ring = this.makeRing(honestRing);
    this.#describeSource();
  }

  makeRing(maker: RingMaker): Ring {
    return maker(this.#buffer, this.geometry, this.#signal);
  }

  #describeSource(): void {
    const { ring, scenario, content, geometry } = this;
    ring.set('blockBytes', geometry.blockBytes);
    ring.set('blockCapacity', geometry.blockCapacity);
    ring.set('slotCount', geometry.slotCount);
    ring.set('blockCount', geometry.blockCapacity);
    ring.set('access', AccessKind[scenario.access]);
    ring.setDouble('sourceBytes', scenario.sizeKnown ? content.byteLength : 0);
    ring.set('sizeKnown', scenario.sizeKnown ? 1 : 0);
    for (const word of ['head', 'tail', 'position'] as const)
      ring.set(word, word === 'position' ? 0 : scenario.startSequence);
    ring.seal();
    ring.set('state', 1);
  }

  /** Runs until `isOver`; `nudge` is asked for help when nobody can run, and says whether it helped. */
  run(isOver: () => boolean, nudge: () => boolean): void {
    this.#drawPreemption();
    const timeMsMax = this.scenario.preemptEvery === 0 ? TIME_MS_MAX : PREEMPTED_MS_MAX;
    withEveryAccess(
      (isStore) => this.#onAccess(isStore),
      () => {
        while (!isOver()) {
          if (nudge()) continue;
          if (!this.#turn(Number.POSITIVE_INFINITY)) throw new Violation(`nobody can run any more\n${this.describe()}`);
          if (this.#turns > TURNS_MAX) throw new Violation(`no end after ${this.#turns} turns\n${this.describe()}`);
          if (this.clock.nowMs() - this.#pausedMs > timeMsMax)
            throw new Violation(`no end in time\n${this.describe()}`);
        }
      },
    );
  }

  /** Looks at shared words without being seen: no actor is interrupted or dies. */
  unobserved<T>(look: () => T): T {
    const before = this.#observed;
    this.#observed = false;
    try {
      return look();
    } finally {
      this.#observed = before;
    }
  }

  /**
   * Puts an actor to sleep on a header word, unless the word has changed: as futex wait, which gives up when the time
   * is over.
   */
  sleep(actor: Actor, word: keyof typeof Header, seen: number, timeoutMs: number): void {
    if (this.unobserved(() => this.ring.get(word)) !== seen) return;
    actor.sleepsOn = Header[word];
    actor.readyAtMs = this.scenario.wakesOnly === true ? Number.POSITIVE_INFINITY : this.clock.nowMs() + timeoutMs;
  }

  /** One turn of an actor; false when nobody is going to be ready until then. */
  #turn(untilMs: number): boolean {
    const free = this.actors.filter((actor) => !actor.ended && !this.#stack.includes(actor));
    const nextMs = Math.min(...free.map((actor) => actor.readyAtMs));
    if (nextMs === Number.POSITIVE_INFINITY || nextMs > untilMs) return false;
    this.clock.advanceTo(nextMs);
    const ready = free.filter((actor) => actor.readyAtMs <= this.clock.nowMs());
    const actor = ready[this.random.below(ready.length)];
    if (actor === undefined) return false;
    this.#turns += 1;
    this.#runOne(actor);
    return true;
  }

  #runOne(actor: Actor): void {
    const observed = this.#observed;
    this.#stack.push(actor);
    this.#observed = true;
    try {
      actor.run();
    } catch (error) {
      if (!(error instanceof Death)) throw error;
      this.#observed = false;
      actor.sleepsOn = null;
      actor.diesAtAccess = Number.POSITIVE_INFINITY;
      actor.died();
    } finally {
      this.#stack.pop();
      this.#observed = observed;
    }
  }

  #onAccess(isStore: boolean): void {
    const actor = this.#stack.at(-1);
    if (!this.#observed || actor === undefined) return;
    actor.accesses += 1;
    if (isStore) actor.stores.push(actor.accesses);
    if (actor.accesses >= actor.diesAtAccess) throw new Death();
    this.#untilPreemption -= 1;
    if (this.#untilPreemption > 0) return;
    this.#drawPreemption();
    if (this.#stack.length > NESTING_MAX) return;
    // Mostly a moment, sometimes long enough for the others to go round the ring.
    const kind = this.random.below(20);
    const away = kind === 0 ? { turns: 500, ms: 1500 } : kind < 4 ? { turns: 60, ms: 20 } : { turns: kind % 4, ms: 0 };
    const fromMs = this.clock.nowMs();
    for (let turns = away.turns; turns >= 0 && this.#turn(fromMs + away.ms); turns--);
    // A pause within a pause is part of it.
    if (this.#stack.length === 1) this.#pausedMs += this.clock.nowMs() - fromMs;
  }

  #drawPreemption(): void {
    const { preemptEvery } = this.scenario;
    this.#untilPreemption = preemptEvery === 0 ? Number.POSITIVE_INFINITY : 1 + this.random.below(2 * preemptEvery);
  }

  #wake(index: number): void {
    for (const actor of this.actors) {
      if (actor.sleepsOn === index) actor.readyAtMs = Math.min(actor.readyAtMs, this.clock.nowMs());
    }
  }

  /** Where everybody is: what a failing run shows. */
  describe(): string {
    return this.unobserved(() => {
      const words = ['head', 'tail', 'position', 'sweeps', 'bell', 'blockCount', 'sizeKnown'] as const;
      const rows = this.ring.entries
        .filter((entry) => entry.get('state') !== ConsumerState.free)
        .map((entry) => {
          const left = this.ring.needSet(entry.index).count();
          return `  row ${entry.index}: state ${entry.get('state')}, cursor ${entry.get('cursor')}, ${left} blocks left`;
        });
      return [
        `at ${this.clock.nowMs()} ms, ${this.#turns} turns`,
        words.map((word) => `${word} ${this.ring.get(word)}`).join(', '),
        ...rows,
        ...this.actors.map((actor) => `  ${actor.name}: ${actor.describe()}, ready at ${actor.readyAtMs} ms`),
      ].join('\n');
    });
  }
}

function contentOf(scenario: Scenario, random: Random): Uint8Array {
  const bytes = new Uint8Array((scenario.blockCount - 1) * BLOCK_BYTES + scenario.lastBytes);
  for (let block = 0; block < scenario.blockCount; block++) {
    if (random.next() < scenario.zeroShare) continue;
    // Every block differs from every other in each of its bytes' neighbourhoods, so that no mix goes unseen.
    const from = block * BLOCK_BYTES;
    const to = Math.min(from + BLOCK_BYTES, bytes.byteLength);
    for (let at = from; at < to; at++) bytes[at] = 1 + ((block * 31 + (at >>> 6) * 7 + at) % 251);
  }
  return bytes;
}

/** Longest sleeps of the loops around the cores. */
export const WAIT_MS = limits.WAIT_MS_MAX;
