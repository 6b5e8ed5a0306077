// One target from opening to its final name, in a worker thread of its own: joins the ring, turns the core's steps into
// writes and waits, flushes and records progress, verifies, finishes. What fails here fails for this target only.
import { closeSync } from 'node:fs';
import { assert, codeOf, limits, messageOf, systemClock, UnderstudyError } from '../../base/mod.ts';
import { allocatePages, digestOf, futexWait, type Mapping, mapShared } from '../../linux/mod.ts';
import {
  AccessKind,
  Activity,
  ConsumerState,
  HEADER_BYTES,
  Header,
  mapRing,
  type Ring,
  RingHeader,
  RingState,
  reopen,
} from '../ring/mod.ts';
import { isAsBefore } from '../source/mod.ts';
import { openTarget, removeRecord, type Target } from '../target/mod.ts';
import { ConsumerCore, failureOf } from './core.ts';
import { Ledger } from './ledger.ts';
import { type ConsumerTask, Control, emptyResult, type TargetResult } from './options.ts';
import { planNeeds } from './plan.ts';
import { type Progress, ProgressKeeper } from './progress-keeper.ts';
import { type Seat, takeSeat } from './seat.ts';
import { Verifier } from './verifier.ts';

/** Ranges are zeroed in pieces of this size, so that an abort is heard in between. */
const ZERO_PIECE_BYTES = 64 * limits.MIB;

/** Runs one target to its end; never throws for operating errors: they are in the result. */
export function runConsumer(task: ConsumerTask, ringFd: number, control: Int32Array): TargetResult {
  const startedMs = performance.now();
  let error: TargetResult['error'] = null;
  const unready = awaitReady(ringFd, control);
  if (unready !== null) return { ...emptyResult(task.target.uri), error: unready };
  const session = new Session(task, ringFd, control);
  try {
    session.run();
  } catch (cause) {
    error = { code: codeOf(cause) ?? 'INTERNAL', message: messageOf(cause) };
    session.keepForResume();
  } finally {
    session.close();
  }
  const result = session.result();
  const resumable = error !== null && result.resumable;
  return { ...result, ok: error === null, error, resumable, seconds: (performance.now() - startedMs) / 1000 };
}

/** Waits until the producer has made the ring ready; its failure, or our own stop, comes back as an error. */
function awaitReady(ringFd: number, control: Int32Array): TargetResult['error'] {
  const page = mapShared(ringFd, HEADER_BYTES);
  const header = new RingHeader(page.buffer);
  try {
    for (let state = header.get('state'); state !== RingState.ready; state = header.get('state')) {
      if (Atomics.load(control, Control.abort) !== 0) return { code: 'INTERRUPTED', message: 'the copy was stopped' };
      if (state !== RingState.starting) {
        const failure = failureOf(header.getText('failure'));
        return { code: failure.code, message: failure.message };
      }
      futexWait(header.words, Header.state, state, limits.WAIT_MS_MAX);
    }
    return null;
  } finally {
    page.unmap();
  }
}

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
  #arrived = false;
  #verified = false;
  #digest: string | null = null;
  #readFailures = false;

  constructor(task: ConsumerTask, ringFd: number, control: Int32Array) {
    this.#task = task;
    this.#control = control;
    this.#fd = reopen(ringFd);
    this.#ring = mapRing(this.#fd).ring;
  }

  run(): void {
    const ring = this.#ring;
    const known = ring.get('sizeKnown') === 1 ? ring.getDouble('sourceBytes') : null;
    const end = this.#task.extent.endBytes;
    if (end !== null && known !== null && end > known) {
      throw new UnderstudyError('USAGE', `${end} bytes are asked for, the source has ${known}`);
    }
    const target = openTarget(this.#task.target, end ?? known, this.#task.resume);
    this.#target = target;
    const wholeDigest = this.#task.digest || this.#task.expect !== null;
    const ledger = new Ledger(ring, end ?? known ?? Number.POSITIVE_INFINITY, digestOf, wholeDigest);
    this.#ledger = ledger;
    const plan = planNeeds(this.#task, ring, target.recordPath, ledger);
    if (!this.#task.resume) removeRecord(target.recordPath);
    this.#seat = takeSeat(ring, this.#fd, { name: this.#task.target.uri, pace: this.#task.pace, needs: plan.needs });
    Atomics.store(this.#control, Control.entry, this.#seat.entry.index + 1);
    Atomics.store(this.#control, Control.wanted, plan.needs.count());
    this.#keeper = new ProgressKeeper(this.#task, ring, ledger, target, systemClock);
    const verifier = this.#makeVerifier(ledger, target);
    this.#copy(ledger, target, verifier, plan.samples);
    this.#complete(ledger, target, verifier);
  }

  #makeVerifier(ledger: Ledger, target: Target): Verifier | null {
    if (!this.#task.verify) return null;
    return new Verifier({
      device: target.device,
      ledger,
      blockBytes: this.#ring.geometry.blockBytes,
      blockCapacity: this.#ring.geometry.blockCapacity,
      digestOf,
      allocate: (bytes) => this.#allocate(bytes),
      checkpoint: (blocks) => {
        this.#checkAbort();
        Atomics.store(this.#control, Control.verified, blocks);
      },
    });
  }

  /** Everything that comes through the ring. */
  #copy(ledger: Ledger, target: Target, verifier: Verifier | null, samples: ReadonlySet<number>): void {
    const seat = this.#required(this.#seat);
    const observer = { blockWritten: this.#observe(ledger, samples) };
    const core = new ConsumerCore(
      this.#ring,
      seat.entry.index,
      target.device,
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
    this.#arrive();
    this.#refuseLate(core);
    this.#activity('copying');
    while (!this.#wait(core, verifier)) this.#checkAbort();
    // Out of the line, but still on the list: others and `copies` see that we verify.
    seat.entry.set('state', ConsumerState.detached);
    this.#ring.ringBell();
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
      case 'head':
        this.#required(this.#keeper).keep(false);
        if (verifier?.verifyOne() === true) return false;
        this.#activity('waiting');
        this.#ring.waitHead(step.seen, limits.WAIT_MS_MAX);
        this.#activity('copying');
        return false;
      case 'time':
        futexWait(this.#ring.words, 0, this.#ring.get('magic0'), Math.min(step.milliseconds, limits.WAIT_MS_MAX));
        return false;
      case 'done':
        return true;
    }
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

  /** Zeros, flush, verification, digest, the check that the source stood still, and the final name. */
  #complete(ledger: Ledger, target: Target, verifier: Verifier | null): void {
    const ring = this.#ring;
    // The part of a stream that was asked for may be complete before the stream has come to its end.
    const sourceBytes = ring.get('sizeKnown') === 1 ? ring.getDouble('sourceBytes') : Number.POSITIVE_INFINITY;
    const imageBytes = Math.min(this.#task.extent.endBytes ?? sourceBytes, sourceBytes);
    assert(Number.isFinite(imageBytes), 'a complete copy knows its size');
    const blockCount = Math.ceil(imageBytes / ring.geometry.blockBytes);
    ledger.zeros.deleteFrom(blockCount);
    this.#makeZeros(ledger, target);
    this.#activity('flushing');
    // A record is worth its price only when something long is still to come; without that the final name is next.
    if (verifier !== null || this.#task.digest) this.#required(this.#keeper).keep(true);
    else target.device.flush();
    if (verifier !== null) {
      this.#activity('verifying');
      verifier.verifyRest(blockCount);
      this.#verified = true;
    }
    if (this.#task.digest || this.#task.expect !== null) this.#checkDigest(ledger, target, blockCount);
    this.#checkSourceStood();
    target.finish(imageBytes);
    removeRecord(target.recordPath);
  }

  #makeZeros(ledger: Ledger, target: Target): void {
    if (target.readsZero) return;
    this.#activity('zeroing');
    const { blockBytes } = this.#ring.geometry;
    const { zeros } = ledger;
    for (let block = zeros.next(0); block !== -1; block = zeros.next(block)) {
      this.#checkAbort();
      const from = block;
      let bytes = 0;
      for (; block < zeros.blockCount && zeros.has(block) && bytes < ZERO_PIECE_BYTES; block++)
        bytes += ledger.lengthOf(block);
      target.device.zero(from * blockBytes, bytes);
    }
  }

  #checkDigest(ledger: Ledger, target: Target, blockCount: number): void {
    this.#activity('verifying');
    const page = this.#allocate(this.#ring.geometry.blockBytes);
    const hex = ledger.wholeDigest(blockCount, (block) => {
      this.#checkAbort();
      const buffer = page.subarray(0, ledger.lengthOf(block));
      target.device.submit({ kind: 'read', tag: 0, offsetBytes: block * this.#ring.geometry.blockBytes, buffer });
      for (;;) {
        const completion = target.device.reap(limits.IO_TIMEOUT_MS)[0];
        if (completion === undefined) continue;
        if (completion.error !== null) throw completion.error;
        return buffer.subarray(0, completion.bytes);
      }
    });
    this.#digest = `sha256:${hex}`;
    const { expect } = this.#task;
    if (expect !== null && expect.toLowerCase() !== hex) {
      throw new UnderstudyError('DIGEST_MISMATCH', `the image has sha256:${hex}, expected was sha256:${expect}`);
    }
  }

  /** Invariant: every block of a finished copy equals the source's block at one point in time. */
  #checkSourceStood(): void {
    const before = this.#ring.getText('fingerprint');
    const changed = this.#ring.get('sourceChanged') === 1 || !isAsBefore(this.#task.source, before);
    if (changed) throw new UnderstudyError('SOURCE_CHANGED', `${this.#task.source.uri} changed while it was copied`);
  }

  /** Makes what is written durable and says so in the record, so that `resume` can go on from here. Never throws. */
  keepForResume(): void {
    if (this.#keeper === null || !this.#task.resumable) return;
    try {
      this.#keeper.keep(true);
    } catch (error) {
      this.#keeper.spoil(messageOf(error));
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
      verified: this.#verified,
      digest: this.#digest,
      unreadable: this.#readFailures ? this.#ring.badRanges() : [],
      resumable: progress.resumable,
    };
  }

  /** Releases everything; the counters stay readable. */
  close(): void {
    if (this.#seat !== null) this.#seat.leave();
    if (!this.#arrived) this.#arrive();
    this.#target?.close();
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
      throw new UnderstudyError('SOURCE_CHANGED', `${this.#task.source.uri} changed while it was copied`);
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
