// The whole way from stored bytes to the image in them, under fire: layer by layer, through a stream and at any offset. Where
// nothing is compressed no program is started.
import { imageOfFile } from '../../src/replication/source/container-file.ts';
import { flowOfPieces } from '../../src/replication/source/flow.ts';
import { detectFormat } from '../../src/replication/source/format.ts';
import { Run, type RunOptions } from '../../src/replication/source/run.ts';
import { FIRST_BYTES, lookInside, unwrap } from '../../src/replication/source/unwrap.ts';
import { requireRaw } from '../../src/replication/source/unwrapped.ts';
import { bytesAsSource, collect, inPieces, pieceSizes } from './bytes.ts';
import { type Case, holds, type Outcome, outcomeOfAsync, REFUSED, type Reader } from './fuzz.ts';
import type { Seed } from './mutate.ts';
import { DISK, repairTar, seed, tarFields, tarSeeds, type Workshop, zipFields, zipSeeds } from './seeds.ts';

const IMAGE_BYTES_MAX = 1024 * 1024;

export interface Image {
  readonly bytes: Buffer;
  readonly warnings: readonly string[];
}

function runOptions(warnings: string[]): RunOptions {
  return { uri: 'input', signal: undefined, onWarning: (warning) => warnings.push(warning) };
}

/** As a stream is read: what is given counts only when all that takes part has ended well. */
export function throughStream(bytes: Uint8Array, sizes: readonly number[]): Promise<Outcome<Image>> {
  const warnings: string[] = [];
  const run = new Run(runOptions(warnings));
  return outcomeOfAsync(async () => {
    try {
      const stored = await flowOfPieces(inPieces(bytes, sizes), FIRST_BYTES, null);
      const flow = requireRaw(
        await unwrap(stored, run, { format: null, inContainer: false, firstBytes: FIRST_BYTES }),
        'input',
      );
      const image = await collect(run.pieces(flow), IMAGE_BYTES_MAX);
      if (!image.cut) await run.ended();
      holds(
        flow.sizeBytes === null || image.cut || flow.sizeBytes === image.bytes.length,
        () => `promises ${flow.sizeBytes} bytes and gives ${image.bytes.length}`,
      );
      return { bytes: image.bytes, warnings };
    } finally {
      await run.stop();
    }
  }, REFUSED);
}

/** As a file is read: all members first, then the one image. Null: an image that QEMU reads. */
export function throughFile(bytes: Uint8Array): Promise<Outcome<Image | null>> {
  const warnings: string[] = [];
  return outcomeOfAsync(async () => {
    const format = detectFormat(bytes.subarray(0, 4097));
    if (format !== 'tar' && format !== 'zip') return null;
    const found = await imageOfFile(bytesAsSource(bytes), format, runOptions(warnings), lookInside);
    if (found.format !== null) return null;
    const run = new Run(runOptions(warnings));
    try {
      const stored = await flowOfPieces(found.member.open(), FIRST_BYTES, found.member.sizeBytes);
      const flow = requireRaw(
        await unwrap(stored, run, { format: null, inContainer: true, firstBytes: FIRST_BYTES }),
        'input',
      );
      const image = await collect(run.pieces(flow), IMAGE_BYTES_MAX);
      if (!image.cut) await run.ended();
      return { bytes: image.bytes, warnings };
    } finally {
      await run.stop();
    }
  }, REFUSED);
}

function archives(shop: Workshop): Seed[] {
  shop.write('disk.img.sha', Buffer.from(`${'ab'.repeat(32)}  disk.img\n`.repeat(20)));
  const one = zipSeeds(shop, false);
  const nested: readonly (readonly [string, Buffer])[] = [
    ['two files beside the image', shop.zip('README', 'disk.img', 'disk.img.sha')],
  ];
  const tars = tarSeeds(shop).filter(({ name }) => name !== 'pax with long names');
  return [
    ...one,
    ...tars,
    ...nested.map(([name, bytes]) => seed(name, bytes, [...zipFields(bytes), ...tarFields(bytes)])),
  ];
}

/** Two images in one archive are refused both ways; that both ways agree where both accept is what counts here. */
export function imageReader(shop: Workshop): Reader {
  return {
    name: 'one image in an archive',
    seeds: archives(shop),
    repair: repairTar,
    classes: ['accepted', 'stream only', 'SOURCE_CORRUPT', 'FORMAT_UNKNOWN'],
    async judge(input: Case) {
      const { bytes, random } = input;
      const format = detectFormat(bytes);
      // A program would be started for it: layers.test.ts has those.
      if (format !== 'tar' && format !== 'zip') return 'other format';
      const one = await throughStream(bytes, []);
      const other = await throughStream(bytes, pieceSizes(random));
      holds(one.code === other.code, () => `${one.code}, and ${other.code} in other pieces`);
      holds(
        one.value === null || other.value?.bytes.equals(one.value.bytes) === true,
        () => 'other bytes in other pieces',
      );
      const stored = await throughFile(bytes);
      if (format === 'zip') {
        for (const image of [one.value, stored.value]) {
          holds(
            image === null || image.bytes.equals(DISK),
            () => `accepts an image of ${image?.bytes.length} bytes that nobody put in`,
          );
        }
      }
      if (one.value === null) return stored.value === null ? one.code : 'file only';
      if (stored.value === null) return 'stream only';
      holds(stored.value.bytes.equals(one.value.bytes), () => 'another image from a file than from a stream');
      return 'accepted';
    },
  };
}
