// Goal: no input, however damaged, makes a reader in this process fail without a name, hold much, never end, or give
// bytes that nobody put in. Method: inputs from a printed seed, 10^4 for each reader here, more by `npm run
// proof:fuzz`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sparseReader, tarReader, zipDirectoryReader, zipStreamReader } from './containers.ts';
import { FUZZ_MS_MAX, fuzz, INPUTS, type Reader } from './fuzz.ts';
import { maskReader, stampReader } from './identity.ts';
import { imageReader } from './layers.ts';
import { Workshop } from './seeds.ts';
import { detectionReader, gptReader, recordReader, vhdReader, xzEndReader } from './tables.ts';
import { digestsReader, headersReader, nbdUriReader, sourceNameReader } from './texts.ts';

let shop: Workshop;
beforeAll(() => {
  shop = new Workshop();
});
afterAll(() => shop.clear());

const READERS: Readonly<Record<string, () => Reader>> = {
  'tar archives': () => tarReader(shop),
  'zip archives in a stream': () => zipStreamReader(shop),
  'zip archives by their directory': () => zipDirectoryReader(shop),
  'Android sparse images': () => sparseReader(),
  'the one image in an archive': () => imageReader(shop),
  'detection of formats': () => detectionReader(shop),
  'VHD footers': () => vhdReader(shop),
  'the end of xz data': () => xzEndReader(shop),
  'partition tables (GPT)': () => gptReader(shop),
  'records of interrupted copies': () => recordReader(shop),
  'headers of HTTP answers': () => headersReader(),
  'files of digests': () => digestsReader(),
  'NBD URIs': () => nbdUriReader(),
  'names of sources': () => sourceNameReader(),
  'lines with secrets': () => maskReader(),
  'what a personalised image says of itself': () => stampReader(),
};

describe('fuzz - readers in process', () => {
  test.each(Object.keys(READERS))(
    '%s',
    async (name) => {
      const reader = READERS[name]?.() as Reader;
      const tally = await fuzz(reader, INPUTS);
      expect([...tally.keys()]).toEqual(expect.arrayContaining([...reader.classes]));
    },
    FUZZ_MS_MAX,
  );
});
