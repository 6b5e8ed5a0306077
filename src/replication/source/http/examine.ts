// What the first answers of a server say about how a file can be read there.
import { limits, UnderstudyError } from '../../../base/mod.ts';
import { isSame, representationOf, unsatisfiedTotal } from './answer.ts';
import { type Answer, discard } from './client.ts';
import { HttpFailure } from './failure.ts';
import { isRange, type Requests } from './requests.ts';
import type { Begun } from './stream.ts';

export interface Examined {
  /** HTTP_HEAD_BYTES from the start, or all where there are fewer. */
  readonly head: Uint8Array;
  /** Null where ranges are proved; else the answer that the head came from, which goes on after it. */
  readonly begun: Begun | null;
}

/** Asks until the answers are good, and holds `requests` to the first. @throws SOURCE_*; INTERRUPTED when they are closed */
export async function examine(requests: Requests): Promise<Examined> {
  const ranged = await untilGood(requests, () => examineRanges(requests));
  const examined = ranged ?? (await untilGood(requests, async () => examineStream(requests, await requests.get({}))));
  if (examined.head.byteLength > 0) return examined;
  if (examined.begun !== null) discard(examined.begun.answer);
  throw empty(requests);
}

/** Tries a step again where that can help: not those before it. */
async function untilGood<T>(requests: Requests, step: () => Promise<T>): Promise<T> {
  const patience = requests.patience();
  for (;;) {
    try {
      return await step();
    } catch (failure) {
      await patience.after(atFirst(failure));
    }
  }
}

function empty({ uri }: Requests): UnderstudyError {
  return new UnderstudyError('SOURCE_EMPTY', `${uri} holds no bytes`);
}

/** A server that is not there at the very start: no mishap on the way but a mistake in the URL, which is told at once. */
function atFirst(failure: unknown): unknown {
  if (!(failure instanceof HttpFailure) || !failure.absent) return failure;
  return failure.error;
}

/**
 * Ranges are believed when the first bytes, some of them once more and the last one come as asked, and one strong validator
 * holds them together.
 * Null where they are not, and another request has to be made.
 */
async function examineRanges(requests: Requests): Promise<Examined | null> {
  const answer = await requests.get({ range: `bytes=0-${limits.HTTP_HEAD_BYTES - 1}` });
  // A server that takes no notice of ranges: this is the whole, and the reading has begun.
  if (answer.status === 200) return examineStream(requests, answer);
  if (answer.status === 416) {
    discard(answer);
    if (unsatisfiedTotal(answer.headers) === 0) throw empty(requests);
    return null;
  }
  if (answer.status !== 206) throw requests.refusal(answer);
  const representation = representationOf(206, answer.headers);
  const { sizeBytes, coding, strong } = representation;
  const head = new Uint8Array(Math.min(limits.HTTP_HEAD_BYTES, sizeBytes ?? 0));
  const fits = sizeBytes !== null && isRange(answer, 0, head.byteLength - 1, sizeBytes);
  if (!fits || coding !== null || strong === null) {
    discard(answer);
    return null;
  }
  await requests.fill(answer, head, 0);
  requests.holdTo(representation);
  if (sizeBytes > head.byteLength) {
    const telling = tellingOffset(head);
    if (telling === null) return null;
    const known = head.subarray(telling, telling + PROOF_BYTES);
    for (const { at, lengthBytes } of [
      { at: telling, lengthBytes: PROOF_BYTES },
      { at: sizeBytes - 1, lengthBytes: 1 },
    ]) {
      const part = await untilGood(requests, () => readProof(requests, { at, lengthBytes, sizeBytes, strong }));
      if (part === null || (at === telling && Buffer.compare(part, known) !== 0)) return null;
    }
  }
  return { head, begun: null };
}

/** Bytes that are asked for a second time, from the middle of what is known already. */
const PROOF_BYTES = 4096;

/**
 * Where the head differs from its own beginning: there a server that announces the range asked for and sends the file from its
 * start is found out. Null where it is the same all over, and nothing can be proved.
 */
function tellingOffset(head: Uint8Array): number | null {
  const first = head.subarray(0, PROOF_BYTES);
  for (let at = PROOF_BYTES; at + PROOF_BYTES <= head.byteLength; at += PROOF_BYTES) {
    if (Buffer.compare(head.subarray(at, at + PROOF_BYTES), first) !== 0) return at;
  }
  return null;
}

interface Proof {
  readonly at: number;
  readonly lengthBytes: number;
  readonly sizeBytes: number;
  readonly strong: string;
}

/** The bytes of a range; null where the answer is not of that range. */
async function readProof(requests: Requests, proof: Proof): Promise<Uint8Array | null> {
  const { at, lengthBytes, sizeBytes, strong } = proof;
  const end = at + lengthBytes - 1;
  const answer = await requests.get({ range: `bytes=${at}-${end}`, 'if-range': strong });
  if (![200, 206, 416].includes(answer.status)) throw requests.refusal(answer);
  if (answer.status !== 206 || !isRange(answer, at, end, sizeBytes)) {
    discard(answer);
    return null;
  }
  if (!isSame(requests.representation, representationOf(206, answer.headers), 206)) {
    discard(answer);
    throw requests.changed();
  }
  const part = new Uint8Array(lengthBytes);
  await requests.fill(answer, part, 0);
  return part;
}

/** Reads the first bytes of a whole answer, and leaves the rest in it for the first reading. */
async function examineStream(requests: Requests, answer: Answer): Promise<Examined> {
  if (answer.status !== 200) throw requests.refusal(answer);
  const rest = answer.body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    while (bytes < limits.HTTP_HEAD_BYTES) {
      const next = await rest.next();
      if (next.done === true) break;
      parts.push(next.value);
      bytes += next.value.byteLength;
    }
  } catch (cause) {
    discard(answer);
    throw requests.failureOf(cause);
  }
  requests.holdTo(representationOf(200, answer.headers));
  const head = Buffer.concat(parts);
  return { head, begun: { answer, head, rest } };
}
