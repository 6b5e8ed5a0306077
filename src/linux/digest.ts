// XXH3-128 from the system's libxxhash: the digest of blocks in the ring, and of whole volumes. docs/decisions says why this one.
import koffi from 'koffi';
import { assert, UnderstudyError } from '../base/mod.ts';
import { addressOf } from './mapping.ts';

/** koffi gives 64-bit integers as numbers where they fit exactly, which one digest in some thousand does. */
interface Words {
  readonly lo: bigint | number;
  readonly hi: bigint | number;
}

interface Library {
  readonly hash: (data: bigint, length: number) => Words;
  readonly createState: () => bigint;
  readonly freeState: (state: bigint) => number;
  readonly reset: (state: bigint) => number;
  readonly update: (state: bigint, data: bigint, length: number) => number;
  readonly digest: (state: bigint) => Words;
}

let library: Library | null = null;

/** Distributions build the library for the oldest processors; on x86 it has functions beside that look which one this is. */
function dispatching(so: ReturnType<typeof koffi.load>): '' | '_dispatch' {
  try {
    so.func('XXH128_hash_t XXH3_128bits_dispatch(const void*, size_t)');
    return '_dispatch';
  } catch {
    return '';
  }
}

function load(): Library {
  koffi.struct('XXH128_hash_t', { lo: 'uint64_t', hi: 'uint64_t' });
  try {
    const so = koffi.load('libxxhash.so.0');
    const best = dispatching(so);
    return {
      hash: so.func(`XXH128_hash_t XXH3_128bits${best}(const void*, size_t)`),
      createState: so.func('void* XXH3_createState()'),
      freeState: so.func('int XXH3_freeState(void*)'),
      reset: so.func('int XXH3_128bits_reset(void*)'),
      update: so.func(`int XXH3_128bits_update${best}(void*, const void*, size_t)`),
      digest: so.func('XXH128_hash_t XXH3_128bits_digest(const void*)'),
    };
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
  library ??= load();
  const { lo, hi } = library.hash(addressOf(view), view.byteLength);
  return { lo: BigInt(lo), hi: BigInt(hi) };
}

/** XXH3-128 of bytes that come piece by piece. Close it in the end. */
export class Digester {
  readonly #library: Library;
  #state: bigint;

  /** @throws TOOL_MISSING without libxxhash */
  constructor() {
    library ??= load();
    this.#library = library;
    this.#state = this.#library.createState();
    assert(this.#state !== 0n && this.#library.reset(this.#state) === 0, 'the state of a digest needs little memory');
  }

  /** Adds the bytes of a view of mapped memory. */
  add(view: Uint8Array): void {
    assert(this.#state !== 0n, 'the digester is open');
    assert(this.#library.update(this.#state, addressOf(view), view.byteLength) === 0, 'XXH3 takes any bytes');
  }

  /** Of all bytes so far: 32 hexadecimal digits, as xxhsum(1) -H2 prints them. */
  hex(): string {
    assert(this.#state !== 0n, 'the digester is open');
    const { lo, hi } = this.#library.digest(this.#state);
    return [hi, lo].map((word) => BigInt(word).toString(16).padStart(16, '0')).join('');
  }

  /** Idempotent. */
  close(): void {
    if (this.#state === 0n) return;
    this.#library.freeState(this.#state);
    this.#state = 0n;
  }
}
