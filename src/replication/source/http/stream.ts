// A whole file in one answer, read again from its start where the connection breaks: what was there already is passed over
// while its digest is compared, and whoever reads notices nothing but the time.
import { type Answer, discard } from './client.ts';
import { HttpFailure } from './failure.ts';
import type { Requests } from './requests.ts';
import { StreamDigest } from './stream-digest.ts';

/** What `readStream` needs of the source that it reads for. */
export interface StreamWorld {
  readonly requests: Requests;
  /** A reading from the start. @throws HttpFailure, SOURCE_NOT_REWINDABLE */
  ask(): Promise<Answer>;
}

/** A reading from the start, of which the head may have been taken already. */
export interface Begun {
  readonly answer: Answer;
  readonly head: Uint8Array;
  readonly rest: AsyncIterator<Uint8Array>;
}

/** @throws SOURCE_CHANGED, SOURCE_NOT_REWINDABLE, and what the last try failed with */
export async function* readStream(world: StreamWorld, first: Begun | null): AsyncGenerator<Uint8Array> {
  const { requests } = world;
  const patience = requests.patience();
  const passed = new StreamDigest();
  let begun = first;
  /** Where an answer ended that did not say how long it is. */
  let endedAt: number | null = null;
  try {
    for (;;) {
      try {
        begun ??= await begin(world);
        const readTo = yield* advance(world, begun, passed);
        if (saysItsEnd(begun.answer)) {
          if (readTo < passed.position) throw world.requests.changed();
          return;
        }
        // A connection that broke looks the same as the end; the end is where two readings end.
        if (readTo === passed.position && endedAt === readTo) return;
        endedAt = passed.position;
        const message = `${requests.uri}: the server does not say how long its answer is, and ends it at another byte each time`;
        await patience.after(new HttpFailure('SOURCE_UNAVAILABLE', message, { retry: true }));
      } catch (cause) {
        await patience.after(requests.failureOf(cause));
      } finally {
        if (begun !== null) discard(begun.answer);
        begun = null;
      }
    }
  } finally {
    passed.close();
  }
}

async function begin(world: StreamWorld): Promise<Begun> {
  const answer = await world.ask();
  world.requests.requireSame(answer);
  const rest = answer.body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return { answer, head: new Uint8Array(0), rest };
}

/** Whether the end of the answer can be told from a connection that broke (RFC 9112, 6.3). */
function saysItsEnd({ headers }: Answer): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** Yields what follows after `passed`, and adds it there. Returns how far the answer went. */
async function* advance(
  world: StreamWorld,
  { head, rest }: Begun,
  passed: StreamDigest,
): AsyncGenerator<Uint8Array, number> {
  const repeated = new StreamDigest();
  const known = passed.position;
  try {
    for (let chunk: Uint8Array | null = head; chunk !== null; chunk = await nextOf(rest)) {
      const old = chunk.subarray(0, known - repeated.position);
      if (old.byteLength > 0) {
        repeated.add(old);
        if (repeated.position === known && repeated.hex() !== passed.hex()) throw world.requests.changed();
      }
      const fresh = chunk.subarray(old.byteLength);
      if (fresh.byteLength === 0) continue;
      passed.add(fresh);
      yield fresh;
    }
    return repeated.position < known ? repeated.position : passed.position;
  } finally {
    repeated.close();
  }
}

async function nextOf(rest: AsyncIterator<Uint8Array>): Promise<Uint8Array | null> {
  const next = await rest.next();
  return next.done === true ? null : next.value;
}
