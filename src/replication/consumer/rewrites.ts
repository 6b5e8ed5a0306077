// Blocks that a target did not give back as they were written. Often a second write helps: a sector that is remapped, a
// cable, a server that lost one write. So each is written again, a bounded number of times, with bytes that the source is
// asked for once more; a medium that goes on lying has to be replaced.
import { limits, UnderstudyError } from '../../base/mod.ts';
import { AccessKind, type Ring } from '../ring/mod.ts';
import type { Ledger } from './ledger.ts';

export class Rewrites {
  readonly #ring: Ring;
  readonly #ledger: Ledger;
  readonly #times = new Map<number, number>();

  constructor(ring: Ring, ledger: Ledger) {
    this.#ring = ring;
    this.#ledger = ledger;
  }

  /**
   * Takes a block that was not read back: it no longer counts as done, in the record neither, and is to be written again.
   * `why`: what reading it failed with, or null where it gave other bytes.
   * @throws VERIFY_MISMATCH when that is in vain, or not possible
   */
  note(block: number, why: string | null): void {
    const zeros = !this.#ledger.done.has(block);
    if (!zeros) this.#ledger.forget(block);
    const times = this.#times.get(block) ?? 0;
    this.#times.set(block, times + 1);
    const lengthBytes = this.#ledger.lengthOf(block);
    const offsetBytes = block * this.#ring.geometry.blockBytes;
    if (times >= limits.REWRITES_MAX) throw badMedium(offsetBytes, lengthBytes, times + 1, why);
    const what = whatIsWrong(offsetBytes, lengthBytes, why);
    if (this.#times.size > limits.BAD_BLOCKS_MAX) {
      throw mismatch(`${what}, and so are ${this.#times.size - 1} other blocks: ${REPLACE}`);
    }
    if (!zeros && this.#ring.get('access') === AccessKind.once) {
      throw mismatch(
        `${what}; the source can be read only once, so they cannot be written again: copy again, and replace the medium` +
          ' if that fails too',
      );
    }
  }
}

const REPLACE = 'the medium returns other bytes than were written: replace it';

/** @param why what reading back failed with; null where it gave other bytes */
export function badMedium(
  offsetBytes: number,
  lengthBytes: number,
  times: number,
  why: string | null = null,
): UnderstudyError {
  const tries = times === 1 ? 'once' : `${times} times`;
  return mismatch(`${whatIsWrong(offsetBytes, lengthBytes, why)}, after being written ${tries}: ${REPLACE}`);
}

function whatIsWrong(offsetBytes: number, lengthBytes: number, why: string | null): string {
  const at = `${lengthBytes} bytes at ${offsetBytes}`;
  if (why !== null) return `${at} of the target cannot be read back (${why})`;
  return `${at} read back from the target are not what was written`;
}

function mismatch(message: string): UnderstudyError {
  return new UnderstudyError('VERIFY_MISMATCH', message);
}
