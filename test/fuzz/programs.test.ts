// Goal: as for the readers in process, for those that start a program: gzip and its like, qemu-img, blkid, sfdisk. Method: 10^2
// inputs for each here, 10^4 by `npm run proof:fuzz`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FUZZ_MS_MAX, fuzz, PROGRAM_INPUTS, type Reader } from './fuzz.ts';
import { compressionReader, diskReader, imageFileReader } from './programs.ts';
import { Workshop } from './seeds.ts';

/** Programs wait for each other and for the disk. */
const AT_ONCE = 3;

let shop: Workshop;
beforeAll(() => {
  shop = new Workshop();
});
afterAll(() => shop.clear());

const READERS: Readonly<Record<string, () => Reader>> = {
  'compressed images': () => compressionReader(shop),
  'images that QEMU reads': () => imageFileReader(shop),
  'disks that blkid and sfdisk judge': () => diskReader(shop),
};

describe('fuzz - readers that start a program', () => {
  test.each(Object.keys(READERS))(
    '%s',
    async (name) => {
      const reader = READERS[name]?.() as Reader;
      const tally = await fuzz(reader, PROGRAM_INPUTS, AT_ONCE);
      expect([...tally.keys()]).toEqual(expect.arrayContaining([...reader.classes]));
    },
    FUZZ_MS_MAX,
  );
});
