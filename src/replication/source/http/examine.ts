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
 * Ranges are believed when the first bytes and the last one come as asked, and one strong validator holds them together.
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
    const proved = await untilGood(requests, () => provesLast(requests, sizeBytes, strong));
    if (!proved) return null;
  }
  return { head, begun: null };
}

async function provesLast(requests: Requests, sizeBytes: number, strong: string): Promise<boolean> {
  const at = sizeBytes - 1;
  const last = await requests.get({ range: `bytes=${at}-${at}`, 'if-range': strong });
  if (![200, 206, 416].includes(last.status)) throw requests.refusal(last);
  if (last.status !== 206 || !isRange(last, at, at, sizeBytes)) {
    discard(last);
    return false;
  }
  if (!isSame(requests.representation, representationOf(206, last.headers), 206)) {
    discard(last);
    throw requests.changed();
  }
  await requests.fill(last, new Uint8Array(1), 0);
  return true;
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
