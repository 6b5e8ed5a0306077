// Question 6, second half: which digest of a block. Candidates in one process, on blocks in mapped memory as in the ring.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import koffi from 'koffi';
import { formatBytes, limits, present } from '../src/base/mod.ts';
import { addressOf, allocatePages, digestOf } from '../src/linux/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { fileTargets, measure } from './rig/contender.ts';
import { writeRandomImage } from './rig/image.ts';
import { ours } from './rig/ours.ts';
import { formatSpread, type Spread, spreadOf } from './rig/pair.ts';
import { peerFolder } from './rig/peers.ts';

const TARGETS = 4;
const SIZE_BYTES = 2 * limits.GIB;
const ROUNDS = 5;
/** More than any processor caches, so that memory is part of the measure as it is in a copy. */
const BLOCKS = 64;

interface Candidate {
  readonly name: string;
  readonly library: string;
  digest(block: Buffer): unknown;
}

export const digest: Question = { name: 'digest', run: runDigest };

async function runDigest(bench: Bench): Promise<Report> {
  const rounds = bench.options.rounds ?? ROUNDS;
  const sizeBytes = bench.options.sizeBytes ?? SIZE_BYTES;
  const { candidates, notes } = await findCandidates();
  const speeds = measureSpeeds(bench, candidates, rounds);
  const copySeconds = await bench.workbench.scope(() => measureCopies(bench, sizeBytes, rounds));
  const rows = candidates.map((candidate, index) => {
    const speed = present(speeds[index], 'a measured candidate');
    const share = (sizeBytes / 1e9 / speed.median / copySeconds.median) * 100;
    return [candidate.name, candidate.library, formatSpread(speed), `${share.toFixed(1)} %`];
  });
  const table: Table = {
    heading: 'Digests of 4 MiB blocks',
    keyColumns: 2,
    columns: ['digest', 'through', 'GB/s on one processor', `share of the time of a copy to ${TARGETS} files on disk`],
    rows,
  };
  return {
    name: 'digest',
    title: 'Digest of blocks',
    method:
      `${BLOCKS} blocks of ${formatBytes(limits.BLOCK_BYTES_DEFAULT)} of random data in mapped memory, the candidates taking turns. The ` +
      `share is the time that one digest of each block would take alone, divided by the median time of our copy of ` +
      `${formatBytes(sizeBytes)} to ${TARGETS} files.`,
    target: 'digests alone cost at most 10 % on disk.',
    tables: [table],
    notes: [...notes, `copy to ${TARGETS} files: ${formatSpread(copySeconds)} s`],
  };
}

async function findCandidates(): Promise<{ candidates: Candidate[]; notes: string[] }> {
  const candidates: Candidate[] = [
    { name: 'XXH3-128', library: 'libxxhash, koffi', digest: (block) => digestOf(block) },
    { name: 'XXH3-128', library: 'libxxhash, koffi, for any processor', digest: portableDigest() },
    ...['sha256', 'blake2b512', 'md5'].map((name) => ({
      name,
      library: 'node:crypto',
      digest: (block: Buffer): unknown => createHash(name).update(block).digest(),
    })),
  ];
  const folder = peerFolder('digest');
  if (!existsSync(join(folder, 'installed'))) {
    return {
      candidates,
      notes: ['@node-rs/xxhash, @napi-rs/blake-hash: absent; npm run bench -- --install-peers tries to'],
    };
  }
  const load = createRequire(join(folder, 'package.json'));
  const { xxh3 } = load('@node-rs/xxhash') as { xxh3: { xxh128(block: Buffer): bigint } };
  const { blake3 } = load('@napi-rs/blake-hash') as { blake3(block: Buffer): string };
  candidates.push({ name: 'XXH3-128', library: '@node-rs/xxhash', digest: (block) => xxh3.xxh128(block) });
  candidates.push({ name: 'BLAKE3', library: '@napi-rs/blake-hash', digest: (block) => blake3(block) });
  const versions = ['@node-rs/xxhash', '@napi-rs/blake-hash'].map(
    (name) => (load(`${name}/package.json`) as { version: string }).version,
  );
  // Under the name of the note about their absence, so that it takes that one's place.
  return { candidates, notes: [`@node-rs/xxhash, @napi-rs/blake-hash: ${versions.join(', ')}`] };
}

/** What libxxhash computes where it may not use more than the oldest processor of the architecture has. */
function portableDigest(): (block: Buffer) => unknown {
  const words = koffi.struct({ lo: 'uint64_t', hi: 'uint64_t' });
  const digest = koffi.load('libxxhash.so.0').func('XXH3_128bits', words, ['void*', 'size_t']);
  return (block) => digest(addressOf(block), block.byteLength);
}

function measureSpeeds(bench: Bench, candidates: readonly Candidate[], rounds: number): Spread[] {
  const blockBytes = limits.BLOCK_BYTES_DEFAULT;
  const mapping = allocatePages(BLOCKS * blockBytes);
  try {
    const blocks = Array.from({ length: BLOCKS }, (_, index) =>
      Buffer.from(mapping.buffer, index * blockBytes, blockBytes),
    );
    for (const [index, block] of blocks.entries()) fillBlock(block, index);
    const gigabytes = (BLOCKS * blockBytes) / 1e9;
    const speeds = candidates.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      bench.say(`digest: round ${round + 1} of ${rounds}`);
      for (const [index, candidate] of candidates.entries()) {
        const startMs = performance.now();
        for (const block of blocks) candidate.digest(block);
        speeds[index]?.push(gigabytes / ((performance.now() - startMs) / 1000));
      }
    }
    return speeds.map((list) => spreadOf(list));
  } finally {
    mapping.unmap();
  }
}

/** Different content in every block, at no cost worth mentioning: none of the candidates depends on what it digests. */
function fillBlock(block: Buffer, index: number): void {
  const words = new Uint32Array(block.buffer, block.byteOffset, block.length / 4);
  let state = index + 1;
  for (let word = 0; word < words.length; word++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[word] = state;
  }
}

async function measureCopies(bench: Bench, sizeBytes: number, rounds: number): Promise<Spread> {
  const { workbench } = bench;
  const { warmPrograms } = bench.options;
  const source = `${workbench.folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const targets = fileTargets(workbench.folder, TARGETS, sizeBytes);
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    bench.say(`digest: copy ${round + 1} of ${rounds}`);
    const options = {
      workbench,
      warmPrograms,
      contender: ours(),
      source,
      sourceBytes: sizeBytes,
      targets,
      inMemory: false,
    };
    seconds.push((await measure(options)).seconds);
  }
  return spreadOf(seconds);
}
