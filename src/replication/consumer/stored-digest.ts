// The digest of the file that an image is stored in, compressed or in a format of its own: published digests are often
// of that. The main thread of a copy computes it beside the copying; the workers of its targets wait for it only when
// the image's own does not fit.
import { limits, UnderstudyError } from '../../base/mod.ts';
import { nameOfSource } from '../source/mod.ts';
import type { ConsumerTask } from './options.ts';

/** Words of the shared memory; behind them 32 bytes of digest. */
const STATE = 0;
const DIGEST_AT = 8;
const DIGEST_BYTES = 32;
const State = { pending: 0, known: 1, unknown: 2 } as const;

/** [main thread] Where the digest will be. */
export function createStoredDigest(): SharedArrayBuffer {
  return new SharedArrayBuffer(DIGEST_AT + DIGEST_BYTES);
}

/** [main thread] Says what it is; null: it cannot be known. */
export function publishStoredDigest(memory: SharedArrayBuffer, hex: string | null): void {
  if (hex !== null) new Uint8Array(memory, DIGEST_AT).set(Buffer.from(hex, 'hex'));
  const words = new Int32Array(memory, 0, 2);
  Atomics.store(words, STATE, hex === null ? State.unknown : State.known);
  Atomics.notify(words, STATE);
}

/** [worker] Waits until it is known; null when it cannot be. `checkpoint` ends the waiting by throwing. */
function awaitStoredDigest(memory: SharedArrayBuffer, checkpoint: () => void): string | null {
  const words = new Int32Array(memory, 0, 2);
  while (Atomics.load(words, STATE) === State.pending) {
    checkpoint();
    Atomics.wait(words, STATE, State.pending, limits.WAIT_MS_MAX);
  }
  if (Atomics.load(words, STATE) === State.unknown) return null;
  return Buffer.from(new Uint8Array(memory, DIGEST_AT)).toString('hex');
}

const ONLY_OF_IMAGE =
  'here the digest is compared with that of the image only; if it is that of a compressed file, save that file first';

/**
 * `ofRing`: what the producer found out of the stored bytes, '' for nothing.
 * @throws DIGEST_MISMATCH when neither the image (`hex`) nor the file that it is stored in has the digest expected
 */
export function expectDigest(
  task: ConsumerTask,
  hex: string,
  world: { readonly ofRing: () => string; readonly checkpoint: () => void },
): void {
  const { expect, source } = task;
  if (expect === null || expect === hex) return;
  const own = task.stored === null ? null : awaitStoredDigest(task.stored, world.checkpoint);
  const stored = own ?? (world.ofRing() || null);
  if (stored === expect) return;
  const name = source.uri === '-' ? nameOfSource(source.uri) : `the file ${source.uri}`;
  const file = stored === null ? '' : `, ${name} has sha256:${stored}`;
  const message = `the image has sha256:${hex}${file}, but sha256:${expect} was expected`;
  const unknown = stored === null && source.kind === 'http';
  throw new UnderstudyError('DIGEST_MISMATCH', unknown ? `${message}; ${ONLY_OF_IMAGE}` : message);
}
