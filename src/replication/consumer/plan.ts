// From what a copy asks for to its need-set: the extent, less what is zeros, less what an earlier try left on the target.
import { UnderstudyError } from '../../base/mod.ts';
import { NeedSet, type Ring } from '../ring/mod.ts';
import type { ResumeRecord } from '../target/mod.ts';
import type { Ledger } from './ledger.ts';
import type { ConsumerTask } from './options.ts';

/** Blocks that a resumed copy reads once more to see that the source still is what it was. */
const SAMPLES_MAX = 16;

export interface Plan {
  readonly needs: NeedSet;
  /** Blocks that are on the target already and are copied again for comparison. */
  readonly samples: ReadonlySet<number>;
}

/**
 * Fills `ledger.zeros`, and `ledger.done` from what an interrupted copy left, if that is gone on with.
 * @throws RESUME_SOURCE_DIFFERS
 */
export function planNeeds(task: ConsumerTask, ring: Ring, record: ResumeRecord | null, ledger: Ledger): Plan {
  const { blockBytes, blockCapacity } = ring.geometry;
  const end = task.extent.endBytes;
  const blockCount = end === null ? ring.get('blockCount') : Math.min(Math.ceil(end / blockBytes), blockCapacity);
  const needs = new NeedSet(new Int32Array(Math.ceil(blockCapacity / 64) * 2), blockCapacity);
  needs.addRange(0, blockCount);
  for (let block = ring.zeroMap.next(0); block !== -1; block = ring.zeroMap.next(block + 1)) ledger.zeros.add(block);
  for (const range of task.extent.skip) {
    const to = range.offsetBytes + range.lengthBytes;
    ledger.zeros.addRange(Math.ceil(range.offsetBytes / blockBytes), Math.max(Math.floor(to / blockBytes), 0));
  }
  ledger.zeros.deleteFrom(blockCount);
  for (let block = ledger.zeros.next(0); block !== -1; block = ledger.zeros.next(block + 1)) needs.delete(block);
  if (record === null) return { needs, samples: new Set() };
  checkSameSource(task, ring, record);
  return { needs, samples: reuse(record, ring, ledger, needs) };
}

function checkSameSource(task: ConsumerTask, ring: Ring, record: ResumeRecord): void {
  const differs = (what: string): UnderstudyError =>
    new UnderstudyError(
      'RESUME_SOURCE_DIFFERS',
      `the interrupted copy read another source: ${what}; copy without --resume`,
    );
  if (ring.get('sizeKnown') === 1 && record.sourceBytes !== 0 && record.sourceBytes !== ring.getDouble('sourceBytes')) {
    throw differs(`it had ${record.sourceBytes} bytes, this one has ${ring.getDouble('sourceBytes')}`);
  }
  // The name of a server may change between two tries; its content is compared by samples. A file's may not.
  if (task.source.kind === 'file' && record.sourceIdentity !== task.source.identity)
    throw differs('it was another file');
  if (record.fingerprint !== ring.getText('fingerprint')) throw differs('it has been written since');
  if (task.extent.endBytes !== null && record.endBytes !== task.extent.endBytes)
    throw differs('another extent was asked for');
}

/** Moves what is done from the needs to the ledger; returns the samples, which stay needed. */
function reuse(record: ResumeRecord, ring: Ring, ledger: Ledger, needs: NeedSet): Set<number> {
  const samples = new Set<number>();
  // Digests are of whole blocks; of blocks of another size nothing is known, and they are copied again.
  if (record.blockBytes !== ring.geometry.blockBytes) return samples;
  ledger.adopt(record);
  const total = ledger.done.count();
  const every = Math.max(1, Math.floor(total / SAMPLES_MAX));
  const sampling = record.fingerprint === '';
  // Only reading its end tells how long a stream is; the reading after it would give a length of whole blocks.
  const end = ring.get('sizeKnown') === 1 ? -1 : Math.ceil(record.sourceBytes / record.blockBytes) - 1;
  let position = 0;
  for (let block = ledger.done.next(0); block !== -1; block = ledger.done.next(block + 1)) {
    compareWithRing(block, ring, ledger);
    position += 1;
    if (block === end && needs.has(block)) {
      // Nor may it be verified before: until that end is met again, its length is that of a whole block.
      ledger.done.delete(block);
      samples.add(block);
      continue;
    }
    if (sampling && samples.size < SAMPLES_MAX && position % every === 0 && needs.has(block)) {
      samples.add(block);
      continue;
    }
    if (needs.delete(block)) ledger.reuse(block);
  }
  return samples;
}

/** What the running copy has read already tells for nothing whether the source is the same. */
function compareWithRing(block: number, ring: Ring, ledger: Ledger): void {
  if (ledger.lengthOf(block) !== ring.blockLength(block)) return;
  const now = ring.digest(block);
  const before = ledger.digest(block);
  if (now !== null && (now.lo !== before.lo || now.hi !== before.hi)) {
    throw new UnderstudyError('RESUME_SOURCE_DIFFERS', `block ${block} of the source is not what was copied before`);
  }
}
