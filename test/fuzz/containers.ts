// Readers of containers under fire: tar, zip by local headers and by directory, and Android sparse images.

import { readSparseImage, type SparseImage } from '../../src/replication/source/android-sparse.ts';
import type { ByteReader } from '../../src/replication/source/byte-reader.ts';
import type { ByteSource } from '../../src/replication/source/byte-source.ts';
import type { Members } from '../../src/replication/source/members.ts';
import { readRange, SeekingReader } from '../../src/replication/source/seeking-reader.ts';
import { tarMembers } from '../../src/replication/source/tar.ts';
import { zipDirectoryMembers } from '../../src/replication/source/zip-directory.ts';
import { zipStreamMembers } from '../../src/replication/source/zip-stream.ts';
import { BoundedReader, bytesAsSource, collect, inPieces, pieceSizes, QUIET } from './bytes.ts';
import { type Case, holds, outcomeOfAsync, REFUSED, type Reader } from './fuzz.ts';
import { CONTENTS, repairTar, sparseSeeds, tarSeeds, type Workshop, zipSeeds } from './seeds.ts';
import { expandSparse } from './sparse-reference.ts';

/** Of one content, that is looked at. */
const CONTENT_BYTES_MAX = 512 * 1024;

/** What a container came to: what was read before it was refused, and how it ended. */
export interface Listing {
  readonly members: readonly string[];
  /** Contents that were read to their end. */
  readonly contents: readonly Buffer[];
  readonly warnings: readonly string[];
  readonly code: string;
}

/** Reads members, and the contents of those whose turn `opens` says. */
export async function list(
  start: (onWarning: (warning: string) => void) => Members,
  opens: (turn: number) => boolean,
): Promise<Listing> {
  const members: string[] = [];
  const contents: Buffer[] = [];
  const warnings: string[] = [];
  const outcome = await outcomeOfAsync(async () => {
    let turn = 0;
    for await (const member of start((warning) => warnings.push(warning))) {
      const { name, sizeBytes, kind, obstacle } = member;
      members.push(JSON.stringify({ name, sizeBytes, kind, obstacle }));
      holds(sizeBytes === null || (Number.isSafeInteger(sizeBytes) && sizeBytes >= 0), () => `a size of ${sizeBytes}`);
      if (obstacle !== null || !opens(turn++)) continue;
      const { bytes, cut } = await collect(member.open(), CONTENT_BYTES_MAX);
      const short = sizeBytes !== null && !cut && bytes.byteLength !== sizeBytes;
      holds(!short, () => `promises ${sizeBytes} bytes and gives ${bytes.byteLength}`);
      if (!cut) contents.push(bytes);
    }
  }, REFUSED);
  return { members, contents, warnings, code: outcome.code ?? 'accepted' };
}

function requireSame(one: Listing, other: Listing, how: string): void {
  holds(one.code === other.code, () => `${one.code}, and ${other.code} ${how}`);
  holds(one.members.join() === other.members.join(), () => `other members ${how}: ${one.members} | ${other.members}`);
  holds(
    one.warnings.join() === other.warnings.join(),
    () => `other warnings ${how}: ${one.warnings} | ${other.warnings}`,
  );
  const same =
    one.contents.length === other.contents.length &&
    one.contents.every((bytes, at) => other.contents[at]?.equals(bytes));
  holds(same === true, () => `other contents ${how}`);
}

/** A content that was read to its end, in spite of a check sum over it, is one that was put in. */
function requireTrue(contents: readonly Buffer[]): void {
  for (const bytes of contents) {
    const known = bytes.byteLength === 0 || CONTENTS.some((truth) => truth.equals(bytes));
    holds(known, () => `accepts ${bytes.byteLength} bytes that nobody put in`);
  }
}

export type ReadTar = (reader: ByteReader, onWarning: (warning: string) => void) => Members;
export type MakeReader = (pieces: AsyncIterable<Uint8Array>) => ByteReader;

const bounded: MakeReader = (pieces) => new BoundedReader(pieces);

function opener(input: Case): (turn: number) => boolean {
  const bits = input.random.below(4) === 0 ? input.random.below(16) : 15;
  return (turn) => ((bits >> (turn % 4)) & 1) === 1;
}

/** A tar archive has no check sum of what it holds, so two readers have to agree: of a stream, and of stored bytes. */
export function tarReader(shop: Workshop, makeReader = bounded): Reader {
  return {
    name: 'tar',
    seeds: tarSeeds(shop),
    repair: repairTar,
    classes: ['accepted', 'SOURCE_CORRUPT', 'FORMAT_UNKNOWN'],
    async judge(input) {
      const { bytes, random } = input;
      const opens = opener(input);
      const options = (onWarning: (warning: string) => void) => ({ uri: 'input', stored: false, onWarning });
      const streamed = (sizes: readonly number[]): Promise<Listing> =>
        list((warn) => tarMembers(makeReader(inPieces(bytes, sizes)), options(warn)), opens);
      const one = await streamed([]);
      requireSame(one, await streamed(pieceSizes(random)), 'in other pieces');
      const source = bytesAsSource(bytes);
      const reopen = (at: number, length: number) => readRange(source, at, length);
      const stored = await list(
        (warn) => tarMembers(new SeekingReader(source), { ...options(warn), stored: true, reopen }),
        opens,
      );
      if (one.code === 'accepted') requireSame(one, stored, 'of stored bytes');
      else holds(stored.code === one.code, () => `${one.code}, and ${stored.code} of stored bytes`);
      if (input.whole)
        holds(
          one.contents.some((content) => content.equals(CONTENTS[0] as Buffer)) || !opens(0) || !opens(1),
          () => 'loses the disk',
        );
      return one.code;
    },
  };
}

export type ReadZip = (reader: ByteReader) => Members;

export function zipStreamReader(shop: Workshop, read: ReadZip = (reader) => zipStreamMembers(reader, QUIET)): Reader {
  return {
    name: 'zip from a stream',
    seeds: zipSeeds(shop, true),
    repair: null,
    classes: ['accepted', 'SOURCE_CORRUPT', 'FORMAT_UNKNOWN'],
    async judge(input) {
      const opens = opener(input);
      const streamed = (sizes: readonly number[]): Promise<Listing> =>
        list(() => read(bounded(inPieces(input.bytes, sizes))), opens);
      const one = await streamed([]);
      requireTrue(one.contents);
      requireSame(one, await streamed(pieceSizes(input.random)), 'in other pieces');
      return one.code;
    },
  };
}

export type ReadDirectory = (bytes: ByteSource) => Members;

const ownDirectory: ReadDirectory = (bytes) => zipDirectoryMembers(bytes, QUIET.onWarning);

export function zipDirectoryReader(shop: Workshop, read: ReadDirectory = ownDirectory): Reader {
  return {
    name: 'zip by its directory',
    seeds: zipSeeds(shop, false),
    repair: null,
    classes: ['accepted', 'SOURCE_CORRUPT', 'FORMAT_UNKNOWN'],
    async judge(input) {
      const opens = opener(input);
      const one = await list(() => read(bytesAsSource(input.bytes)), opens);
      requireTrue(one.contents);
      if (input.random.below(4) === 0) {
        requireSame(one, await list(() => read(bytesAsSource(input.bytes)), opens), 'a second time');
      }
      return one.code;
    },
  };
}

export type ReadSparse = (reader: ByteReader, onWarning: (warning: string) => void) => Promise<SparseImage>;
const ownSparse: ReadSparse = (reader, onWarning) => readSparseImage(reader, 'input', onWarning);

export function sparseReader(read = ownSparse): Reader {
  return {
    name: 'Android sparse',
    seeds: sparseSeeds(),
    repair: null,
    classes: ['accepted', 'SOURCE_CORRUPT'],
    async judge({ bytes, random }) {
      const expand = (sizes: readonly number[]) =>
        outcomeOfAsync(async () => {
          const image = await read(bounded(inPieces(bytes, sizes)), () => undefined);
          const { sizeBytes } = image;
          holds(Number.isSafeInteger(sizeBytes), () => `promises ${sizeBytes} bytes`);
          const { bytes: content, cut } = await collect(image.bytes, CONTENT_BYTES_MAX);
          holds(
            cut ? sizeBytes >= content.byteLength : sizeBytes === content.byteLength,
            () => `promises ${sizeBytes} bytes and gives ${content.byteLength}`,
          );
          return { content, cut };
        }, REFUSED);
      const one = await expand([]);
      const other = await expand(pieceSizes(random));
      holds(one.code === other.code, () => `${one.code}, and ${other.code} in other pieces`);
      holds(
        one.value === null || other.value?.content.equals(one.value.content) === true,
        () => 'other bytes in other pieces',
      );
      if (one.value?.cut === true) return 'too long';
      const wanted = expandSparse(bytes, CONTENT_BYTES_MAX);
      if (wanted === 'too long') return 'too long';
      holds((wanted === null) === (one.value === null), () =>
        wanted === null ? 'accepts what is damaged' : `refuses what is right: ${one.code}`,
      );
      holds(wanted === null || one.value?.content.equals(wanted) === true, () => 'other bytes than the format says');
      return one.code ?? 'accepted';
    },
  };
}
