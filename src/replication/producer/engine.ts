// The producer's worker thread: opens the source, makes the ring ready (or takes over a running one), and turns the
// steps
// of the core into reads and waits until nobody wants anything any more.
import { closeSync } from 'node:fs';
import { assert, codeOf, limits, systemClock, toldOf, UnderstudyError } from '../../base/mod.ts';
import { digestOf, futexWait, futexWakeAll, isLockedByOther, type Mapping, tryLock, unlock } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import {
  Header,
  LockByte,
  mapRing,
  offsetsOf,
  type Ring,
  type RingHeader,
  RingState,
  removeRing,
  reopen,
  tryClose,
} from '../ring/mod.ts';
import {
  contentsText,
  currentFingerprint,
  judgeContents,
  LOOK_BYTES,
  nameOfSource,
  openPrepared,
  type SourceDescriptor,
} from '../source/mod.ts';
import { ProducerCore, type ProducerStep } from './core.ts';
import { HugePages } from './huge-pages.ts';
import { chooseGeometry, describeSource, lookAtFront, mapZeros, reserveRing } from './initialise.ts';
import { type DirectMode, type ProducerOptions, RING_FD } from './options.ts';

/** Time that the consumers of the first invocation have to arrive before the sweep starts without them. */
const QUORUM_MS_MAX = 10_000;

/** In place of what the front of a source shows, as a clause. */
const NOT_SEEN = 'has not been looked at';

interface Opened {
  readonly device: Device;
  readonly ring: Ring;
  readonly mapping: Mapping;
}

/** Reads until nobody is left. @throws what ends the reading for everybody; the ring then still says `ready` */
export function produce(options: ProducerOptions, descriptor: SourceDescriptor, header: RingHeader): void {
  if (header.get('state') > RingState.ready) {
    // Between the look of whoever started us and now the ring has ended. It is never revived: others read their error
    // there.
    removeRing(options.ringPath, RING_FD);
    return;
  }
  const { device, ring, mapping } = open(options, descriptor, header);
  // The lock on the producer's byte belongs to the inherited open file; questions about others are asked from another.
  const askFd = reopen(RING_FD);
  try {
    const core = new ProducerCore(ring, device, {
      clock: systemClock,
      ifDead: (index, free) => ifDead(askFd, index, free),
      digest: digestOf,
      readAheadBlocks: device.info.cached
        ? Math.max(1, limits.CACHED_AHEAD_BYTES / ring.geometry.blockBytes)
        : Number.POSITIVE_INFINITY,
      sleep: (milliseconds) => sleepOn(ring, milliseconds),
      frontRead: (data) => tellContents(header, data, device.info.sizeBytes),
    });
    const { dataAt, totalBytes } = offsetsOf(ring.geometry);
    const pages = new HugePages(mapping.buffer, dataAt, totalBytes - dataAt);
    const before = device.fingerprint();
    let lookAtMs = performance.now() + limits.LIVENESS_INTERVAL_MS;
    awaitQuorum(ring, askFd);
    while (!wait(core, core.step(), { ring, pages, askFd, ringPath: options.ringPath })) {
      if (performance.now() < lookAtMs) continue;
      lookAtMs = performance.now() + limits.LIVENESS_INTERVAL_MS;
      if (device.fingerprint() !== before) {
        ring.set('sourceChanged', 1);
        throw new UnderstudyError(
          'SOURCE_CHANGED',
          `${nameOfSource(options.source.uri)} was written while it was copied`,
        );
      }
    }
  } catch (error) {
    if (codeOf(error) === 'SOURCE_NOT_REWINDABLE') letFinish(ring);
    throw error;
  } finally {
    device.close();
    closeSync(askFd);
    mapping.unmap();
  }
}

/**
 * Nothing can be read any more, and all that is wrong is that some targets came too late: those that find the rest of
 * theirs in the ring take it first. Ends when all have taken what there is, or none takes anything for a while.
 */
function letFinish(ring: Ring): void {
  const head = ring.get('head');
  let before = '';
  let deadline = 0;
  for (;;) {
    const seen = ring.get('bell');
    const cursors = ring.entries.filter((entry) => entry.attached).map((entry) => entry.get('cursor'));
    if (cursors.every((cursor) => cursor === head)) return;
    if (String(cursors) !== before) deadline = performance.now() + limits.IO_TIMEOUT_MS;
    before = String(cursors);
    if (performance.now() > deadline) return;
    ring.waitBell(seen, limits.WAIT_MS_MAX);
  }
}

/** Frees a row under the lock of its byte: meanwhile its owner is certainly dead, and no joiner takes it. */
function ifDead(fd: number, index: number, free: () => void): void {
  if (!tryLock(fd, LockByte.consumer + index)) return;
  free();
  unlock(fd, LockByte.consumer + index);
}

interface Surroundings {
  readonly ring: Ring;
  readonly pages: HugePages;
  /** An open file of the ring that holds no locks. */
  readonly askFd: number;
  readonly ringPath: string;
}

/** Waits as the step says; true when the ring is closed and the producer is to end. */
function wait(core: ProducerCore, step: ProducerStep, { ring, pages, askFd, ringPath }: Surroundings): boolean {
  switch (step.wait) {
    case 'none':
      return false;
    case 'reads':
      if (!pages.convertOne()) core.reap(limits.WAIT_MS_MAX);
      return false;
    case 'bell':
      if (!pages.convertOne()) ring.waitBell(step.seen, step.timeoutMs);
      return false;
    case 'deserted':
      if (tryClose(ringPath, askFd, ring)) return true;
      ring.waitBell(step.seen, limits.WAIT_MS_MAX / 5);
      return false;
  }
}

/**
 * The first invocation may bring several targets: reading starts when all have arrived, so that none comes late; and
 * when the time is over for which it wants others to be waited for. When everybody has left instead (all targets were
 * refused, or the copies were stopped or killed), there is nothing to wait for. A producer that follows a dead one
 * waits for the rest of that time.
 */
function awaitQuorum(ring: Ring, askFd: number): void {
  const deadlineMs = performance.now() + QUORUM_MS_MAX;
  for (;;) {
    const seen = ring.get('bell');
    ring.requireSound();
    const isComplete = ring.get('arrivals') >= ring.get('quorum') || performance.now() > deadlineMs;
    const gatherMs = ring.get('head') === 0 ? ring.getDouble('gatherUntilMs') - Date.now() : 0;
    if (isComplete && gatherMs <= 0) return;
    if (!isLockedByOther(askFd, LockByte.interest)) return;
    ring.waitBell(seen, isComplete ? Math.min(gatherMs, limits.WAIT_MS_MAX) : limits.WAIT_MS_MAX);
  }
}

/** For those who join and have to ask, where nobody had to when the reading began. */
function tellContents(header: RingHeader, data: Uint8Array, sizeBytes: number | null): void {
  const told = header.getText('contents');
  if (told !== '' && told !== NOT_SEEN) return;
  header.setText('contents', contentsText(judgeContents(data.subarray(0, LOOK_BYTES), sizeBytes)));
}

function sleepOn(ring: Ring, milliseconds: number): void {
  // Nobody wakes the state word while it says `ready`; the wait is a sleep that needs no timer of an event loop.
  futexWait(ring.words, Header.state, RingState.ready, milliseconds);
}

function open(options: ProducerOptions, descriptor: SourceDescriptor, header: RingHeader): Opened {
  const device = openSource(descriptor, options.direct);
  try {
    return header.get('state') === RingState.ready
      ? takeOver(options, header, device)
      : begin(options, header, device, descriptor);
  } catch (error) {
    device.close();
    throw error;
  }
}

/**
 * Through the page cache when the image fits easily into memory that is free, so that a second sweep or a second run
 * costs
 * the disk nothing; past it otherwise, so that a large image does not throw out everything else.
 */
function openSource(descriptor: SourceDescriptor, direct: DirectMode): Device {
  if (direct !== 'auto' || descriptor.kind !== 'file') return openPrepared(descriptor, { direct: direct === 'on' });
  const cached = openPrepared(descriptor, { direct: false });
  if ((cached.info.sizeBytes ?? 0) <= process.availableMemory() / 2) return cached;
  cached.close();
  return openPrepared(descriptor, { direct: true });
}

function begin(options: ProducerOptions, header: RingHeader, device: Device, descriptor: SourceDescriptor): Opened {
  const wanted = chooseGeometry(device.info, options);
  const geometry = reserveRing(RING_FD, wanted, options.bufferBytes === null);
  describeSource(header, device, geometry, {
    identity: options.source.identity,
    uri: options.source.uri,
    fingerprint: fingerprintOf(options, device),
  });
  const unseen = descriptor.kind === 'nbd' || (descriptor.kind === 'http' && descriptor.contents === '');
  const seen = options.look && unseen ? lookAtFront(device) : descriptor.contents;
  // Who has to ask now is not left to wait for a first block that is read only after the answer.
  header.setText('contents', seen === '' && options.look ? NOT_SEEN : seen);
  const opened = attach(device);
  mapZeros(opened.ring, device);
  if (options.gatherMs > 0) header.setDouble('gatherUntilMs', Date.now() + options.gatherMs);
  opened.ring.seal();
  header.set('state', RingState.ready);
  futexWakeAll(header.words, Header.state);
  return opened;
}

/** What a server says with its first answer, or what the file system says now. */
function fingerprintOf({ source }: ProducerOptions, device: Device): string {
  return source.kind === 'http' ? device.fingerprint() : currentFingerprint(source);
}

function takeOver(options: ProducerOptions, header: RingHeader, device: Device): Opened {
  const same =
    header.getText('sourceIdentity') === options.source.identity &&
    header.getText('fingerprint') === fingerprintOf(options, device) &&
    (device.info.sizeBytes === null || device.info.sizeBytes === header.getDouble('sourceBytes'));
  if (!same) {
    header.set('sourceChanged', 1);
    throw new UnderstudyError('SOURCE_CHANGED', 'the source changed while its reader was replaced');
  }
  return attach(device);
}

function attach(device: Device): Opened {
  const { mapping, ring } = mapRing(RING_FD);
  return { device, ring, mapping };
}

/** Tells every consumer why the reading ended, and makes room for a new ring of this source. */
export function fail(header: RingHeader, path: string, error: unknown): void {
  assert(header.get('state') !== RingState.closed, 'a closed ring has no consumers to tell');
  const { code, message } = toldOf(error);
  header.setText('failure', `${code} ${message}`);
  header.set('state', RingState.failed);
  futexWakeAll(header.words, Header.state);
  header.add('news', 1);
  futexWakeAll(header.words, Header.news);
  removeRing(path, RING_FD);
}
