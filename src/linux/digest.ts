// XXH3-128 from the system's libxxhash: the digest of blocks in the ring. docs/decisions says why this one.
import koffi from 'koffi';
import { UnderstudyError } from '../base/mod.ts';
import { addressOf } from './mapping.ts';

/** koffi gives 64-bit integers as numbers where they fit exactly, which one digest in some thousand does. */
type Hash = (data: bigint, length: number) => { lo: bigint | number; hi: bigint | number };

let hash: Hash | null = null;

function load(): Hash {
  koffi.struct('XXH128_hash_t', { lo: 'uint64_t', hi: 'uint64_t' });
  try {
    return koffi.load('libxxhash.so.0').func('XXH128_hash_t XXH3_128bits(const void*, size_t)') as Hash;
  } catch (cause) {
    throw new UnderstudyError(
      'TOOL_MISSING',
      'libxxhash.so.0 is not installed; on Debian: apt-get install libxxhash0',
      {
        cause,
      },
    );
  }
}

/** Two 64-bit words of XXH3-128 of mapped memory; about 10 GB/s a core. Detects accidents, not forgery. */
export function digestOf(view: Uint8Array): { lo: bigint; hi: bigint } {
  hash ??= load();
  const { lo, hi } = hash(addressOf(view), view.byteLength);
  return { lo: BigInt(lo), hi: BigInt(hi) };
}
