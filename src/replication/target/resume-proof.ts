// Whether what a resume record says is true of the storage that is there now: the record must name this very target,
// and blocks that it lists, read past the page cache, must have the digests that it lists. Device names move between
// disks, and a disk may have been written by somebody else since.
import { codeOf, limits, messageOf, UnderstudyError } from '../../base/mod.ts';
import { allocatePages, digestOf } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import type { RecordPlace } from './record-place.ts';
import { loadRecord, type ResumeRecord } from './resume-record.ts';

/** Blocks that are read back: the first, the last, and as many between as these bounds allow. */
const SAMPLES_MAX = 16;
const SAMPLES_MIN = 4;
const SAMPLE_BYTES_MAX = 64 * limits.MIB;
/** The first block of a disk, and the one with the backup of its partition table. */
const HELD_BACK_MAX = 2;

export type Resumption =
  /** `record` is true of this target. */
  | { readonly record: ResumeRecord; readonly reason: null }
  /** The copy has to begin at the start; `reason` says why, as the end of "begins at the start: ". */
  | { readonly record: null; readonly reason: string };

export interface ProofQuestion {
  readonly device: Device;
  readonly place: RecordPlace;
  /** Whether a record names this target. */
  readonly isNamedBy: (record: ResumeRecord) => boolean;
  /**
   * Block devices: the first block is zeros from before the first other block is written until all others are there, so
   * that anything else in it was written by somebody else (a partition table, for instance).
   */
  readonly firstBlockLast: boolean;
}

/** Reads the record and, if it names the target, at most 64 MiB or four blocks of the target. Changes nothing. */
export function proveRecord(question: ProofQuestion): Resumption {
  let record: ResumeRecord;
  try {
    record = loadRecord(question.place);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'RESUME_NO_RECORD' && code !== 'RESUME_RECORD_INVALID') throw error;
    return { record: null, reason: messageOf(error) };
  }
  const reason = objection(question, record);
  return reason === null ? { record, reason } : { record: null, reason };
}

function objection(question: ProofQuestion, record: ResumeRecord): string | null {
  if (!question.isNamedBy(record)) return 'the interrupted copy wrote to another target that had this name';
  const blocks = doneBlocks(record);
  if (blocks.length === 0) return 'the interrupted copy had not recorded any block';
  const page = allocatePages(record.blockBytes);
  try {
    const buffer = new Uint8Array(page.buffer);
    const zero = digestOf(buffer.fill(0));
    // A blank disk has zeros as well: they show nothing.
    const telling = blocks.filter((block) => !sameDigest(digestIn(record, block), zero));
    if (telling.length === 0) return 'the blocks that the interrupted copy recorded hold only zeros';
    for (const block of samplesOf(telling, record.blockBytes)) {
      const data = readBlock(question.device, record, block, buffer);
      if (data !== null && sameDigest(digestOf(data), digestIn(record, block))) continue;
      return `the target does not hold what the interrupted copy wrote (at byte ${block * record.blockBytes})`;
    }
    if (!question.firstBlockLast || blocks[0] === 0 || record.missingCount <= HELD_BACK_MAX) return null;
    const first = readBlock(question.device, record, 0, buffer);
    if (first?.every((byte) => byte === 0) === true) return null;
    return 'the first block of the target was written after the interruption';
  } finally {
    page.unmap();
  }
}

interface Digest {
  readonly lo: bigint;
  readonly hi: bigint;
}

function sameDigest(a: Digest, b: Digest): boolean {
  return a.lo === b.lo && a.hi === b.hi;
}

function digestIn({ digests }: ResumeRecord, block: number): Digest {
  const view = new DataView(digests.buffer, digests.byteOffset + block * 16, 16);
  return { lo: view.getBigUint64(0, true), hi: view.getBigUint64(8, true) };
}

function doneBlocks({ done, blockCount }: ResumeRecord): number[] {
  const blocks: number[] = [];
  for (let block = 0; block < blockCount; block++) {
    if ((((done[block >>> 3] ?? 0) >>> (block & 7)) & 1) !== 0) blocks.push(block);
  }
  return blocks;
}

/** Spread evenly over the blocks, the first and the last among them. */
function samplesOf(blocks: readonly number[], blockBytes: number): Set<number> {
  const wanted = Math.min(SAMPLES_MAX, Math.max(SAMPLES_MIN, Math.floor(SAMPLE_BYTES_MAX / blockBytes)));
  const steps = Math.min(wanted, blocks.length) - 1;
  const places = Array.from({ length: steps + 1 }, (_, step) =>
    steps === 0 ? 0 : Math.round((step * (blocks.length - 1)) / steps),
  );
  return new Set(places.map((place) => blocks[place] ?? 0));
}

/** The block as long as it was recorded; null where the target does not reach that far or cannot be read. */
function readBlock(device: Device, record: ResumeRecord, block: number, page: Uint8Array): Uint8Array | null {
  const offsetBytes = block * record.blockBytes;
  const endBytes = record.endBytes || record.sourceBytes || Number.POSITIVE_INFINITY;
  const buffer = page.subarray(0, Math.min(record.blockBytes, endBytes - offsetBytes));
  device.submit({ kind: 'read', tag: 0, offsetBytes, buffer });
  const untilMs = performance.now() + limits.IO_TIMEOUT_MS;
  while (performance.now() < untilMs) {
    const completion = device.reap(limits.WAIT_MS_MAX)[0];
    if (completion === undefined) continue;
    return completion.error === null && completion.bytes === buffer.byteLength ? buffer : null;
  }
  throw new UnderstudyError('TARGET_TIMEOUT', `read back ${device.info.uri}: no answer`);
}
