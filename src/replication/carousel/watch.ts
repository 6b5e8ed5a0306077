// The main thread's eyes on a ring: is the producer alive, how far is everybody. Looks by timer; touches no data.
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, UnderstudyError } from '../../base/mod.ts';
import { busErrors, futexWakeAll, type Mapping } from '../../linux/mod.ts';
import { Control } from '../consumer/mod.ts';
import {
  AccessKind,
  activityNames,
  ConsumerState,
  ensureProducer,
  Header,
  LOOK_INTERVAL_MS,
  loseInterest,
  mapTables,
  type ProducerCommand,
  producerAlive,
  type Rendezvous,
  type Ring,
  type RingHeader,
  RingState,
  removeIfDeserted,
  removeRing,
} from '../ring/mod.ts';
import type { Member } from './crew.ts';
import type { CopyProgress, TargetProgress } from './options.ts';

/** Producers started in a row without one block read by them: something is wrong that another try will not mend. */
const STARTS_MAX = 5;
/** Time between two reports of progress. */
const PROGRESS_INTERVAL_MS = 200;
/** Longest time that a finished process waits for the producer, which has nobody left, to put everything away. */
const FAREWELL_MS_MAX = 500;

export class RingWatch {
  readonly #rendezvous: Rendezvous;
  readonly #command: ProducerCommand;
  #mapped: { mapping: Mapping; ring: Ring } | null = null;
  #starts = 0;
  #headAtStart = -1;
  #failure: UnderstudyError | null = null;

  readonly #sourceUri: string;

  /** `sourceUri`: as messages call it. */
  constructor(rendezvous: Rendezvous, command: ProducerCommand, sourceUri: string) {
    this.#sourceUri = sourceUri;
    this.#rendezvous = rendezvous;
    this.#command = command;
  }

  get header(): RingHeader {
    return this.#rendezvous.header;
  }

  /** The ring once it is ready, for looking at. */
  get ring(): Ring | null {
    if (this.#mapped === null && this.#rendezvous.header.get('state') === RingState.ready) {
      try {
        this.#mapped = mapTables(this.#rendezvous.fd);
      } catch (error) {
        // Those who need it fail by it.
        if (codeOf(error) !== 'RING_BROKEN') throw error;
      }
    }
    return this.#mapped?.ring ?? null;
  }

  /**
   * Sees to it that somebody reads: at the start, and whenever a producer has died. Whoever gets the lock byte starts
   * the
   * next one; a stream that can be read once has no next one.
   */
  ensureProducer(): void {
    const { header } = this.#rendezvous;
    // Its targets say so, each for itself; a new reader would find what this one found.
    if (busErrors() > 0) return;
    if (this.#failure !== null || header.get('state') >= RingState.failed || producerAlive(this.#rendezvous)) return;
    const head = header.get('head');
    if (head !== this.#headAtStart) this.#starts = 0;
    this.#headAtStart = head;
    const oneShot = header.get('state') === RingState.ready && header.get('access') === AccessKind.once;
    if (this.#starts >= STARTS_MAX || oneShot) {
      const why = oneShot
        ? `${this.#sourceUri}: the process that read it has died, and it can be read only once`
        : `${this.#sourceUri}: the process that reads it keeps dying`;
      this.#giveUp(new UnderstudyError('PRODUCER_FAILED', why));
      return;
    }
    if (ensureProducer(this.#rendezvous, this.#command)) this.#starts += 1;
  }

  /** Targets that were refused will not come; the first reading need not wait for them. */
  countArrivals(count: number): void {
    const { header } = this.#rendezvous;
    header.add('arrivals', count);
    header.add('bell', 1);
    futexWakeAll(header.words, Header.bell);
  }

  /** Said in the ring itself, so that everybody who waits there hears it. */
  #giveUp(error: UnderstudyError): void {
    this.#failure = error;
    const { header } = this.#rendezvous;
    header.setText('failure', `${error.code} ${error.message}`);
    header.set('state', RingState.failed);
    futexWakeAll(header.words, Header.state);
    header.add('news', 1);
    futexWakeAll(header.words, Header.news);
    // No producer is left to do it; whoever asks for this source next makes a new ring.
    removeRing(this.#rendezvous.path, this.#rendezvous.fd);
  }

  /** Looks until all members have ended. */
  async untilDone(members: readonly Member[], onProgress: () => void): Promise<void> {
    const done = new AbortController();
    void Promise.all(members.map((member) => member.result)).then(() => done.abort());
    let lookAt = 0;
    while (!done.signal.aborted) {
      // Cut short by the end: a timer that is merely left behind would keep the process for the rest of its time.
      await delay(PROGRESS_INTERVAL_MS, undefined, { signal: done.signal }).catch((error: unknown) => {
        if (!done.signal.aborted) throw error;
      });
      if (performance.now() >= lookAt) {
        this.ensureProducer();
        lookAt = performance.now() + LOOK_INTERVAL_MS;
      }
      onProgress();
    }
  }

  progress(members: readonly Member[]): CopyProgress {
    const ring = this.ring;
    return {
      blockBytes: ring?.geometry.blockBytes ?? 0,
      blocksTotal: ring?.get('blockCount') ?? 0,
      sizeKnown: ring?.get('sizeKnown') === 1,
      sourceBytes: ring?.getDouble('sourceBytes') ?? 0,
      bytesRead: ring?.getDouble('bytesRead') ?? 0,
      targets: members.map((member) => targetProgress(member, ring)),
    };
  }

  /**
   * Leaves the ring. If nobody else is in it, waits a moment for the producer to remove it, so that when we have ended
   * nothing of ours is left.
   */
  async leave(): Promise<void> {
    const { header } = this.#rendezvous;
    const ring = this.ring;
    loseInterest(this.#rendezvous);
    const deserted = ring?.entries.every((entry) => entry.get('state') === ConsumerState.free) ?? false;
    ring?.ringBell();
    const deadline = performance.now() + FAREWELL_MS_MAX;
    while (deserted && header.get('state') === RingState.ready && performance.now() < deadline) await delay(5);
    await removeIfDeserted(this.#rendezvous.path);
    // The producer may just have been kept from closing by our look.
    ring?.ringBell();
    this.#mapped?.mapping.unmap();
    this.#rendezvous.mapping.unmap();
  }
}

function targetProgress(member: Member, ring: Ring | null): TargetProgress {
  const { control, settled, task } = member;
  const index = Atomics.load(control, Control.entry) - 1;
  const entry = index >= 0 ? ring?.entry(index) : undefined;
  const activity = activityNames[Atomics.load(control, Control.activity)] ?? 'starting';
  const live = settled === null && entry !== undefined;
  return {
    uri: task.target.uri,
    state: settled === null ? activity : settled.ok ? 'done' : 'failed',
    startBlock: settled?.startBlock ?? (live ? entry.get('startBlock') : -1),
    blocksWanted: Atomics.load(control, Control.wanted),
    blocksLeft: live ? entry.get('blocksLeft') : settled?.ok === true ? 0 : Atomics.load(control, Control.wanted),
    blocksVerified: Atomics.load(control, Control.verified),
    detached: live && entry.get('state') === ConsumerState.detached && entry.get('blocksLeft') > 0,
  };
}
