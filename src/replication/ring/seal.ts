// Checks of what is in shared memory. Other programs of the same user can write there by mistake, and a ring can be cut
// short: what is found then must be seen to be nobody's writing. Not against a user who means to forge: that one can
// write the targets.
import { UnderstudyError } from '../../base/mod.ts';
import { busErrors } from '../../linux/mod.ts';

const OFFSET = 0x811c_9dc5;

/** 32 bits of words, in order (as MurmurHash3 mixes them); never 0, which is what was never written. */
export function sealOf(...parts: readonly ArrayLike<number>[]): number {
  let hash = OFFSET;
  for (const words of parts) {
    for (let index = 0; index < words.length; index++) {
      let mixed = Math.imul((words[index] ?? 0) | 0, 0xcc9e_2d51);
      mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b87_3593);
      hash ^= mixed;
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe654_6b64) | 0;
    }
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  return hash | 1;
}

/** @param what is wrong, as a clause */
export function ringBroken(what: string): UnderstudyError {
  return new UnderstudyError(
    'RING_BROKEN',
    `the shared memory of this copy was damaged by another program: ${what}; copy again, with --resume to go on`,
  );
}

/** @throws RING_BROKEN when this process has touched what is gone of a ring */
export function requireUncut(): void {
  if (busErrors() > 0) throw ringBroken('it was cut short');
}
