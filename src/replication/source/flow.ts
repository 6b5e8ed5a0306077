// Bytes on their way from one stage to the next: what was taken from the front to see what they are, and where the
// others
// come from.
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, limits, UnderstudyError } from '../../base/mod.ts';
import { allocatePages, readPipe, waitReadable } from '../../linux/mod.ts';
import { fileError } from '../device/file.ts';
import { ByteReader } from './byte-reader.ts';
import { SIGNATURE_BYTES } from './signature.ts';

export interface Flow {
  /** Taken from the front already. */
  readonly first: Uint8Array;
  /** `first` is all there is. */
  readonly whole: boolean;
  /** A descriptor that programs and devices can read by themselves, or a reader in this process. */
  readonly rest: { readonly fd: number } | { readonly reader: ByteReader };
  /** Of all bytes, where it is known before the end. */
  readonly sizeBytes: number | null;
}

/** Longest sleep between two looks at a pipe that gives nothing. */
const SLEEP_MS_MAX = 20;

export interface Patience {
  readonly uri: string;
  readonly signal: AbortSignal | undefined;
  /** Whether what is behind the pipe is waited for itself now, and bounds that time by itself (a server that is asked again). */
  readonly waiting?: () => boolean;
}

/**
 * Bytes from the front of a pipe, which nobody else reads: all that formats are told by are waited for, and what is
 * there by then is taken
 * too, up to `maxBytes`. @throws SOURCE_TIMEOUT, SOURCE_READ_FAILED, INTERRUPTED
 */
export async function flowOfPipe(fd: number, maxBytes: number, patience: Patience): Promise<Flow> {
  const memory = allocatePages(maxBytes);
  try {
    const room = new Uint8Array(memory.buffer, 0, maxBytes);
    let filled = 0;
    let whole = false;
    while (filled < maxBytes && !whole) {
      if (filled < SIGNATURE_BYTES) await untilReadable(fd, patience);
      else if (!waitReadable(fd, 0)) break;
      const count = readSome(fd, room.subarray(filled), patience.uri);
      if (count === 0) whole = true;
      else filled += count ?? 0;
    }
    return { first: room.slice(0, filled), whole, rest: { fd }, sizeBytes: null };
  } finally {
    memory.unmap();
  }
}

function readSome(fd: number, room: Uint8Array, uri: string): number | null {
  try {
    return readPipe(fd, room);
  } catch (cause) {
    if (errnoOf(cause) === 'EAGAIN') return null;
    throw fileError('source', `read ${uri}`, errnoOf(cause), cause);
  }
}

/** By looks with sleeps between them: the thread has other things to do, and a read that waits could not be ended. */
async function untilReadable(fd: number, { uri, signal, waiting }: Patience): Promise<void> {
  let deadline = performance.now() + limits.IO_TIMEOUT_MS;
  for (let sleepMs = 1; !waitReadable(fd, 0); sleepMs = Math.min(2 * sleepMs, SLEEP_MS_MAX)) {
    if (signal?.aborted === true) throw new UnderstudyError('INTERRUPTED', `${uri} is not wanted any more`);
    if (waiting?.() === true) deadline = performance.now() + limits.IO_TIMEOUT_MS;
    else if (performance.now() > deadline) {
      const message = `${uri} gave nothing for ${limits.IO_TIMEOUT_MS / 1000} seconds`;
      throw new UnderstudyError('SOURCE_TIMEOUT', message);
    }
    await delay(sleepMs);
  }
}

/** Up to so many bytes from the front of a reader's. */
export async function flowOfReader(
  reader: ByteReader,
  maxBytes: number,
  sizeBytes: number | null = null,
): Promise<Flow> {
  const first = await reader.take(maxBytes);
  return { first, whole: first.byteLength < maxBytes, rest: { reader }, sizeBytes };
}

export function flowOfPieces(
  pieces: AsyncIterable<Uint8Array>,
  maxBytes: number,
  sizeBytes: number | null = null,
): Promise<Flow> {
  return flowOfReader(new ByteReader(pieces), maxBytes, sizeBytes);
}

/** All bytes of a flow, in this process: what was taken, then what `rest` gives. */
export async function* piecesOf(flow: Flow, rest: () => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (flow.first.byteLength > 0) yield flow.first;
  if (!flow.whole) yield* rest();
}
