// Goal: the fuzzer sees what it is there for. Method: readers with one planted defect each, in ways that a mistake
// could have it; the inputs of every day must find each of them. One that is not found fails here.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeOf, messageOf } from '../../src/base/mod.ts';
import { planGpt } from '../../src/replication/gpt/mod.ts';
import { readSparseImage } from '../../src/replication/source/android-sparse.ts';
import type { ByteReader } from '../../src/replication/source/byte-reader.ts';
import type { Member, Members } from '../../src/replication/source/members.ts';
import { zipDirectoryMembers } from '../../src/replication/source/zip-directory.ts';
import { zipStreamMembers } from '../../src/replication/source/zip-stream.ts';
import { BoundedReader, QUIET } from './bytes.ts';
import { type ReadSparse, sparseReader, tarReader, zipDirectoryReader, zipStreamReader } from './containers.ts';
import { FUZZ_MS_MAX, fuzz, type Reader } from './fuzz.ts';
import { Workshop } from './seeds.ts';
import { gptReader } from './tables.ts';

/** No more than the share of every day: a defect that only long runs see is seen too late. */
const INPUTS = 10_000;

let shop: Workshop;
beforeAll(() => {
  shop = new Workshop();
});
afterAll(() => shop.clear());

type Contents = (pieces: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

async function* withContents(members: Members, contents: Contents): Members {
  for await (const member of members) {
    const changed: Member = Object.create(member, { open: { value: () => contents(member.open()) } });
    yield changed;
  }
}

/** Nobody compares check sums. */
async function* unchecked(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    if (codeOf(error) !== 'SOURCE_CORRUPT' || !/check sum/.test(messageOf(error))) throw error;
  }
}

/** The last piece stays behind. */
async function* withoutLast(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array | null = null;
  for await (const piece of pieces) {
    if (held !== null) yield held;
    held = piece;
  }
}

/** What damaged data gave so far is taken for all. */
async function* untilDamage(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    if (codeOf(error) !== 'SOURCE_CORRUPT') throw error;
  }
}

/** Takes what there is of a piece for all that was asked for. */
class Hasty extends BoundedReader {
  override async take(lengthBytes: number): Promise<Uint8Array> {
    return Uint8Array.from((await this.some(lengthBytes)) ?? []);
  }
}

const sparse =
  (contents: Contents): ReadSparse =>
  async (reader, onWarning) => {
    const image = await readSparseImage(reader, 'input', onWarning);
    return { ...image, bytes: contents(image.bytes) };
  };

async function* neverEnds(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* pieces;
  for (;;) yield new Uint8Array(0);
}

/** Fails as programs do where nobody thought of it: here, of an image of one block. */
async function* failsAtOdd(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    if (piece.byteLength % 4096 !== 0) throw new TypeError('nobody thought of this');
    yield piece;
  }
}

const streamed = (reader: ByteReader): Members => zipStreamMembers(reader, QUIET);

const CANARIES: Readonly<Record<string, () => Reader>> = {
  'a zip reader without check sums': () => zipStreamReader(shop, (reader) => withContents(streamed(reader), unchecked)),
  'a zip reader that drops the last piece': () =>
    zipDirectoryReader(shop, (bytes) => withContents(zipDirectoryMembers(bytes, QUIET.onWarning), withoutLast)),
  'a zip reader that takes damaged data for ended ones': () =>
    zipDirectoryReader(shop, (bytes) => withContents(zipDirectoryMembers(bytes, QUIET.onWarning), untilDamage)),
  'a tar reader that depends on the sizes of pieces': () => tarReader(shop, (pieces) => new Hasty(pieces)),
  'a reader of sparse images without check sums': () => sparseReader(sparse(unchecked)),
  'a reader of sparse images that drops the last piece': () => sparseReader(sparse(withoutLast)),
  'a reader of sparse images that never ends': () => sparseReader(sparse(neverEnds)),
  'a reader of sparse images that fails without a code': () => sparseReader(sparse(failsAtOdd)),
  'a plan that forgets the primary table': () => gptReader(shop, (place) => ({ ...planGpt(place), primary: [] })),
  'a plan that clears one sector too many': () =>
    gptReader(shop, (place) => {
      const plan = planGpt(place);
      return { ...plan, clear: plan.clear.map((range) => ({ ...range, offsetBytes: range.offsetBytes - 512 })) };
    }),
};

describe('fuzz - the inputs of every day find', () => {
  test.each(Object.keys(CANARIES))(
    '%s',
    async (name) => {
      const reader = CANARIES[name]?.() as Reader;
      await expect(fuzz(reader, INPUTS)).rejects.toThrow(/UNDERSTUDY_FUZZ_INPUT=\d+/);
    },
    FUZZ_MS_MAX,
  );
});
