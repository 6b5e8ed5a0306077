// One target from opening to its final name, in a worker thread of its own: joins the ring, turns the core's steps into
// writes and waits, flushes and records progress, verifies, finishes. What fails here fails for this target only.
import { closeSync } from 'node:fs';
import {
  assert,
  leavesNothingOfUse,
  limits,
  messageOf,
  resumeHelps,
  systemClock,
  toldOf,
  UnderstudyError,
} from '../../base/mod.ts';
import { allocatePages, digestOf, futexWait, type Mapping } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import { AccessKind, Activity, ConsumerState, mapRing, type Ring, RingState, reopen } from '../ring/mod.ts';
import { nameOfSource } from '../source/mod.ts';
import { openTarget, type ResumeRecord, type Target } from '../target/mod.ts';
import { awaitReady } from './await-ready.ts';
import { ConsumerCore } from './core.ts';
import { Ending, type EndingWorld } from './ending.ts';
import { failureOf } from './failure.ts';
import { HeldDevice } from './held-device.ts';
import { readPartitionsAgain } from './kernel-partitions.ts';
import { Ledger } from './ledger.ts';
import { type ConsumerTask, Control, emptyResult, type TargetResult } from './options.ts';
import { planNeeds } from './plan.ts';
import { type Progress, ProgressKeeper } from './progress-keeper.ts';
import { Rewrites } from './rewrites.ts';
import { awaitSeat, type Seat } from './seat.ts';
import { Verifier } from './verifier.ts';

/** Runs one target to its end; never throws for operating errors: they are in the result. */
export function runConsumer(task: ConsumerTask, ringFd: number, control: Int32Array): TargetResult {
  const startedMs = performance.now();
  let error: TargetResult['error'] = null;
  const unready = awaitReady(ringFd, control);
  if (unready !== null) return { ...emptyResult(task.target.uri), error: unready };
  let session: Session;
  try {
    session = new Session(task, ringFd, control);
  } catch (cause) {
    return { ...emptyResult(task.target.uri), error: toldOf(cause) };
  }
  try {
    session.run();
  } catch (cause) {
    error = toldOf(cause);
    session.keepForResume();
    session.discardUseless(error.code);
  } finally {
    session.close();
  }
  const result = session.result();
  const resumable = error !== null && result.resumable && resumeHelps(error.code);
  return { ...result, ok: error === null, error, resumable, seconds: (performance.now() - startedMs) / 1000 };
}

/** What one target is written through. */
type Parts = Pick<EndingWorld, 'target' | 'device' | 'held' | 'ledger' | 'verifier'>;

class Session {
  readonly #task: ConsumerTask;
  readonly #control: Int32Array;
  readonly #fd: number;
  readonly #ring: Ring;
  readonly #pages: Mapping[] = [];
  #target: Target | null = null;
  #ledger: Ledger | null = null;
  #seat: Seat | null = null;
  #keeper: ProgressKeeper | null = null;
  #ending: Ending | null = null;
  #arrived = false;
  #complete = false;
  #kernelPartitions: TargetResult['kernelPartitions'] = null;
  #readFailures = false;
  readonly #notes: string[] = [];

  constructor(task: ConsumerTask, ringFd: number, control: Int32Array) {
    this.#task = task;
    this.#control = control;
    this.#fd = reopen(ringFd);
    this.#ring = mapRing(this.#fd).ring;
  }

  run(): void {
    const ring = this.#ring;
    ring.requireDescription();
    const known = ring.get('sizeKnown') === 1 ? ring.getDouble('sourceBytes') : null;
    const end = this.#task.extent.endBytes;
    if (end !== null && known !== null && end > known) {
      throw new UnderstudyError('USAGE', `${end} bytes were requested, but the source has only ${known}`);
    }
    const target = openTarget(this.#task.target, end ?? known, this.#task.resume);
    this.#target = target;
    // What is asked for of a stream may be more than it has.
    const held = this.#holdBack(target, known === null ? null : (end ?? known));
    const device = held ?? target.device;
    const wholeDigest = this.#task.digest || this.#task.expect !== null;
    const ledger = new Ledger(ring, end ?? known ?? Number.POSITIVE_INFINITY, digestOf, wholeDigest);
    for (const block of held?.blocks ?? []) ledger.unrecorded.add(block);
    this.#ledger = ledger;
    const plan = planNeeds(this.#task, ring, this.#reused(target), ledger);
    this.#keeper = new ProgressKeeper(this.#task, ring, ledger, target, systemClock);
    this.#keeper.begin();
    target.begin(end ?? known, known === null ? null : ledger.bytesOfAny(plan.needs));
    const wishes = { name: this.#task.target.uri, pace: this.#task.pace, needs: plan.needs };
    this.#seat = awaitSeat(ring, this.#fd, wishes, () => this.#queue());
    Atomics.store(this.#control, Control.entry, this.#seat.entry.index + 1);
    Atomics.store(this.#control, Control.wanted, plan.needs.count());
    const rewrites = new Rewrites(ring, ledger);
    const verifier = this.#makeVerifier(ledger, device, rewrites);
    const parts = { target, device, held, ledger, verifier };
    this.#ending = this.#makeEnding(parts, this.#keeper);
    this.#copy(this.#join(parts, plan.samples), verifier, this.#ending);
    this.#ending.complete();
    this.#complete = true;
  }

  /** What an interrupted copy left, and a note when it left nothing that can be gone on with. */
  #reused({ resumption }: Target): ResumeRecord | null {
    if (resumption === null || resumption.record !== null) return resumption?.record ?? null;
    this.#notes.push(`begins at the start: ${resumption.reason}`);
    return null;
  }

  /** Files get their name at the end; what is storage already must not look whole before it is. */
  #holdBack(target: Target, imageBytes: number | null): HeldDevice | null {
    if (this.#task.target.kind === 'file') return null;
    const { blockBytes } = this.#ring.geometry;
    return new HeldDevice(target.device, { blockBytes, imageBytes, allocate: (bytes) => this.#allocate(bytes) });
  }

  /** All rows are taken: nobody waits for us meanwhile, and we hear when it is in vain. */
  #queue(): void {
    if (!this.#arrived) this.#arrive();
    this.#activity('queued');
    this.#checkAbort();
    if (this.#ring.get('state') === RingState.failed) throw failureOf(this.#ring.getText('failure'));
  }

  #makeVerifier(ledger: Ledger, device: Device, rewrites: Rewrites): Verifier | null {
    if (!this.#task.verify) return null;
    return new Verifier({
      device,
      ledger,
      blockBytes: this.#ring.geometry.blockBytes,
      blockCapacity: this.#ring.geometry.blockCapacity,
      digestOf,
      allocate: (bytes) => this.#allocate(bytes),
      checkpoint: (blocks) => {
        this.#checkAbort();
        Atomics.store(this.#control, Control.verified, blocks);
      },
      bad: (block, why) => rewrites.note(block, why),
    });
  }

  #makeEnding(parts: Parts, keeper: ProgressKeeper): Ending {
    return new Ending({
      ...parts,
      task: this.#task,
      ring: this.#ring,
      keeper,
      allocate: (bytes) => this.#allocate(bytes),
      checkAbort: () => this.#checkAbort(),
      activity: (name) => this.#activity(name),
    });
  }

  /** Takes part in the reading from now on. */
  #join({ target, device, held, ledger }: Parts, samples: ReadonlySet<number>): ConsumerCore {
    const seat = this.#required(this.#seat);
    const observer = { blockWritten: this.#observe(ledger, samples) };
    const core = new ConsumerCore(
      this.#ring,
      seat.entry.index,
      device,
      {
        join: this.#task.join,
        endBytes: this.#task.extent.endBytes ?? Number.POSITIVE_INFINITY,
        targetReadsZero: target.readsZero,
        onReadError: this.#task.onReadError,
        limitRate: this.#task.limitRate,
      },
      {
        clock: systemClock,
        observer,
        allocate: (bytes) => this.#allocate(bytes),
        writesInFlight: limits.WRITES_IN_FLIGHT,
      },
    );
    core.attach();
    if (!this.#arrived) this.#arrive();
    this.#refuseLate(core);
    // Others have begun: a target that takes long for this, as for anything, is served apart.
    held?.begin();
    return core;
  }

  /** Everything that comes through the ring, and what has to come once more. */
  #copy(core: ConsumerCore, verifier: Verifier | null, ending: Ending): void {
    const { entry } = this.#required(this.#seat);
    for (;;) {
      this.#activity('copying');
      while (!this.#wait(core, verifier)) this.#checkAbort();
      // Out of the line, but still on the list: others and `copies` see that we verify.
      entry.set('state', ConsumerState.detached);
      this.#ring.ringBell();
      const again = ending.settle();
      if (again.length === 0) return;
      for (const block of again) core.again(block);
      core.attach();
    }
  }

  /** Turns one step into its wait; true when the core is done. */
  #wait(core: ConsumerCore, verifier: Verifier | null): boolean {
    const step = core.step();
    switch (step.wait) {
      case 'none':
        return false;
      case 'writes':
        core.reap(limits.WAIT_MS_MAX);
        this.#required(this.#keeper).keep(false);
        return false;
      case 'news':
        this.#required(this.#keeper).keep(false);
        if (this.#verifyInShadow(core, verifier)) return false;
        this.#activity('waiting');
        this.#ring.waitNews(step.seen, limits.WAIT_MS_MAX);
        this.#activity('copying');
        return false;
      case 'time':
        futexWait(this.#ring.words, 0, this.#ring.get('magic0'), Math.min(step.milliseconds, limits.WAIT_MS_MAX));
        return false;
      case 'done':
        return true;
    }
  }

  /** While there is nothing to write, one block is read back; false when there is none. */
  #verifyInShadow(core: ConsumerCore, verifier: Verifier | null): boolean {
    const looked = verifier?.verifyOne() ?? 'none';
    if (typeof looked === 'number') {
      core.again(looked);
      // What an interrupted copy goes on with must not have it.
      this.#required(this.#keeper).keep(true);
    }
    return looked !== 'none';
  }

  #observe(ledger: Ledger, samples: ReadonlySet<number>) {
    return (block: number, data: Uint8Array, bad: boolean, intact: () => boolean): boolean => {
      const before = samples.has(block) ? ledger.digest(block) : null;
      if (bad) this.#readFailures = true;
      if (!ledger.blockWritten(block, data, bad, intact)) return false;
      const after = ledger.digest(block);
      if (before !== null && (before.lo !== after.lo || before.hi !== after.hi)) {
        throw new UnderstudyError(
          'RESUME_SOURCE_DIFFERS',
          `block ${block} of the source is not what was copied before`,
        );
      }
      return true;
    };
  }

  /** A stream that is read once cannot give a joiner what has gone by. */
  #refuseLate(core: ConsumerCore): void {
    if (this.#ring.get('access') !== AccessKind.once) return;
    const entry = this.#required(this.#seat).entry;
    const cursor = entry.get('cursor');
    const head = this.#ring.get('head');
    const first =
      cursor === head
        ? head === 0
          ? 0
          : this.#ring.slotEntry((head - 1) | 0).block + 1
        : this.#ring.slotEntry(cursor).block;
    const missing = this.#ring.needSet(entry.index).next(0);
    if (core.blocksLeft > 0 && missing !== -1 && missing < first) {
      throw new UnderstudyError(
        'SOURCE_NOT_REWINDABLE',
        `the source can be read only once, and its first ${first} blocks have gone by; start all its copies together`,
      );
    }
  }

  /** Makes what is written durable and says so in the record, so that `resume` can go on from here. Never throws. */
  keepForResume(): void {
    if (this.#keeper === null || !this.#task.resumable || this.#ledger?.done.count() === 0) return;
    try {
      this.#keeper.keep(true);
    } catch (error) {
      this.#keeper.spoil(messageOf(error));
    }
  }

  /**
   * After a failure: a target that has nothing to go on with is left as if never begun. What an earlier copy left
   * stays, unless the failure says that it is of no use either.
   */
  discardUseless(code: string): void {
    const target = this.#target;
    if (target === null) return;
    const goesOn = target.resumption?.record != null || this.#keeper?.progress.resumable === true;
    if (goesOn && !leavesNothingOfUse(code)) return;
    try {
      target.discard();
    } catch (error) {
      this.#notes.push(`what the copy left could not be removed: ${messageOf(error)}`);
    }
  }

  result(): Omit<TargetResult, 'ok' | 'error' | 'seconds'> {
    const ledger = this.#ledger;
    const progress: Progress = this.#keeper?.progress ?? { resumable: false };
    return {
      uri: this.#task.target.uri,
      startBlock: this.#seat?.startBlock ?? -1,
      bytesCopied: ledger?.bytesCopied ?? 0,
      bytesZeroed: ledger !== null && this.#seat !== null ? ledger.bytesZeroed : 0,
      bytesReused: ledger?.bytesReused ?? 0,
      verified: this.#ending?.verified ?? false,
      digest: this.#ending?.digest ?? null,
      unreadable: this.#readFailures ? this.#ring.badRanges() : [],
      resumable: progress.resumable,
      notes: [...this.#notes, ...(this.#target?.notes ?? []), ...(this.#keeper?.notes ?? [])],
      gpt: this.#ending?.gpt ?? null,
      kernelPartitions: this.#kernelPartitions,
    };
  }

  /** Releases everything; the counters stay readable. */
  close(): void {
    if (this.#seat !== null) this.#seat.leave();
    if (!this.#arrived) this.#arrive();
    this.#target?.close();
    if (this.#complete) this.#kernelPartitions = readPartitionsAgain(this.#task.target);
    closeSync(this.#fd);
    // Nothing of the ring or of the pages is touched after this but for the result, which reads both: unmapped by exit.
  }

  #arrive(): void {
    this.#arrived = true;
    this.#ring.add('arrivals', 1);
    this.#ring.ringBell();
  }

  #activity(activity: keyof typeof Activity): void {
    this.#seat?.entry.set('activity', Activity[activity]);
    Atomics.store(this.#control, Control.activity, Activity[activity]);
  }

  #checkAbort(): void {
    if (Atomics.load(this.#control, Control.abort) !== 0) {
      throw new UnderstudyError('INTERRUPTED', 'the copy was stopped');
    }
    if (this.#ring.get('state') === RingState.failed && this.#ring.get('sourceChanged') === 1) {
      throw new UnderstudyError('SOURCE_CHANGED', `${nameOfSource(this.#task.source.uri)} changed while it was copied`);
    }
  }

  #allocate(bytes: number): Uint8Array {
    const mapping = allocatePages(Math.ceil(bytes / limits.PAGE_BYTES) * limits.PAGE_BYTES);
    this.#pages.push(mapping);
    return new Uint8Array(mapping.buffer, 0, bytes);
  }

  #required<T>(value: T | null): T {
    assert(value !== null, 'set earlier in run()');
    return value;
  }
}
