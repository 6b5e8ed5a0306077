// What a caller of copy() says, with every default in one place.
import { limits, UnderstudyError } from '../../base/mod.ts';
import type { TargetResult } from '../consumer/mod.ts';
import type { ExtentRequest } from '../extent/mod.ts';
import type { GptPolicy } from '../gpt/mod.ts';
import type { DirectMode } from '../producer/mod.ts';
import type { TargetFacts } from '../target-safety/mod.ts';

/** Beyond this somebody mistook a unit. */
const GATHER_MS_MAX = 24 * 60 * 60 * 1000;

export interface CopyOptions {
  /** A path, an NBD or http(s) URI, or "-" for standard input. */
  readonly source: string;
  /** Paths of files and block devices, and NBD URIs; at least one. */
  readonly targets: readonly string[];
  /** Format of the source. @default found in its content */
  readonly format?: string;
  /** A file with the key of a source that is encrypted (a qcow2 with LUKS); every byte of it counts. */
  readonly keyFile?: string;
  /** Accept any certificate of an https source. @default false */
  readonly insecure?: boolean;
  /** File with certificates (PEM) of authorities that are trusted besides those of the system. */
  readonly cacert?: string;
  /** Which bytes are copied. @default { kind: 'whole' } */
  readonly extent?: ExtentRequest;
  /** Where a late joiner begins: with the oldest block still in memory, or the one read last. @default 'oldest' */
  readonly join?: 'oldest' | 'newest';
  /**
   * Time that a first copy of a source waits for others before it reads, milliseconds: whoever comes meanwhile shares
   * the sweep from its first block on. Without effect on a copy that joins. @default 0
   */
  readonly gatherMs?: number;
  /** `detach`: go on without these targets when they alone hold up others. `pace`: never. @default 'detach' */
  readonly onSlow?: 'detach' | 'pace';
  /** Unreadable parts of the source end the copy, or become zeros that the result lists. @default 'fail' */
  readonly onReadError?: 'fail' | 'zero';
  /** Read everything back from the targets and compare. @default false */
  readonly verify?: boolean;
  /** Go on with interrupted copies to these targets. @default false */
  readonly resume?: boolean;
  /**
   * Keep a record with which an interrupted copy can be resumed. A record is made durable every few seconds. @default
   * true
   */
  readonly resumable?: boolean;
  /** Bytes a second to each target. @default no limit */
  readonly limitRate?: number;
  /** Bytes of a block, a multiple of 4096 from 64 KiB to 32 MiB; the first copy of a source decides. @default 4 MiB */
  readonly blockBytes?: number;
  /**
   * Bytes of the ring, at least four blocks; the first copy of a source decides.
   * @default 128 MiB, 32 MiB for a source that is read through the page cache, less if memory is short
   */
  readonly bufferBytes?: number;
  /**
   * Past the page cache: `auto` reads an image that fits in free memory through it, and always writes past it. @default
   * 'auto'
   */
  readonly direct?: DirectMode;
  /** Report the SHA-256 of the whole image. @default false */
  readonly digest?: boolean;
  /** "sha256:HEX" that the image, or the file that it is stored in, must have. */
  readonly expect?: string;
  /**
   * A GPT on a block device that is larger than its image. `move`: its backup goes to the end of the device, and the
   * backup of an older GPT there goes. `keep`: the image's bytes and no others are written. @default 'move'
   */
  readonly gpt?: GptPolicy;
  /** Overwrite what targets hold without asking. @default false */
  readonly overwrite?: boolean;
  /**
   * Asked for each target that holds data, and for each but new files where the source shows neither a partition table
   * nor a file
   * system, which `doubt` then says; before anything is written. Without it such targets are refused.
   */
  readonly confirm?: (facts: TargetFacts, doubt: string | null) => Promise<boolean>;
  /** Stops the copies to these targets; they can be resumed. */
  readonly signal?: AbortSignal;
  /** Called about five times a second while the copies run, and once at the end. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface TargetProgress {
  readonly uri: string;
  readonly state:
    | 'queued'
    | 'starting'
    | 'copying'
    | 'waiting'
    | 'verifying'
    | 'flushing'
    | 'zeroing'
    | 'done'
    | 'failed';
  /** Block where it joined; -1 before. */
  readonly startBlock: number;
  /** Blocks that come through the ring for this target. */
  readonly blocksWanted: number;
  readonly blocksLeft: number;
  readonly blocksVerified: number;
  /** It was too slow for the others and is served apart. */
  readonly detached: boolean;
}

export interface CopyProgress {
  readonly blockBytes: number;
  /** Blocks of the image; an upper bound while the length of a stream is not known. */
  readonly blocksTotal: number;
  readonly sizeKnown: boolean;
  /** Of the image; 0 while not known. */
  readonly sourceBytes: number;
  readonly bytesRead: number;
  readonly targets: readonly TargetProgress[];
}

export interface CopyResult {
  /** True only when every target is complete. */
  readonly ok: boolean;
  readonly source: {
    readonly uri: string;
    readonly bytes: number;
    readonly blockSize: number;
    readonly id: string;
    /** What to know of a source that was read well: data in it that were ignored, and that it shows nothing known. */
    readonly warnings: readonly string[];
  };
  /** Of the shared reading so far, which may go on for others. */
  readonly producer: { readonly bytesRead: number; readonly sweeps: number };
  readonly targets: readonly TargetResult[];
}

/** Options with defaults applied and checked. */
export interface CopyConfig extends Omit<CopyOptions, 'expect'> {
  readonly extent: ExtentRequest;
  readonly join: 'oldest' | 'newest';
  readonly gatherMs: number;
  readonly onSlow: 'detach' | 'pace';
  readonly onReadError: 'fail' | 'zero';
  readonly verify: boolean;
  readonly resume: boolean;
  readonly resumable: boolean;
  readonly digest: boolean;
  readonly direct: DirectMode;
  readonly gpt: GptPolicy;
  readonly overwrite: boolean;
  /** Hexadecimal, lower case. */
  readonly expect: string | null;
}

/** @throws USAGE */
export function resolveOptions(options: CopyOptions): CopyConfig {
  if (options.source === '') throw usage('the name of the source is empty');
  if (options.targets.includes('')) throw usage('the name of a target is empty');
  if (options.targets.length === 0) throw usage('at least one target is needed');
  if (new Set(options.targets).size !== options.targets.length) throw usage('a target is named twice');
  checkBlocks(options);
  const { limitRate } = options;
  if (limitRate !== undefined && !(limitRate > 0)) throw usage('a rate limit is a number of bytes above zero');
  const gatherMs = options.gatherMs ?? 0;
  if (!(gatherMs >= 0 && gatherMs <= GATHER_MS_MAX)) throw usage('a time to gather copies is 0 to 24 hours');
  const extent = options.extent ?? { kind: 'whole' };
  const expect = options.expect === undefined ? null : parseExpect(options.expect);
  const digest = (options.digest ?? false) || expect !== null;
  if (digest && extent.kind === 'used') {
    throw usage('a digest of the whole image cannot be compared when only used blocks are copied (--extent used)');
  }
  return {
    ...options,
    extent,
    expect,
    digest,
    join: options.join ?? 'oldest',
    gatherMs,
    onSlow: options.onSlow ?? 'detach',
    onReadError: options.onReadError ?? 'fail',
    verify: options.verify ?? false,
    resume: options.resume ?? false,
    resumable: options.resumable ?? true,
    direct: options.direct ?? 'auto',
    gpt: options.gpt ?? 'move',
    overwrite: options.overwrite ?? false,
  };
}

function checkBlocks({ blockBytes, bufferBytes }: CopyOptions): void {
  if (blockBytes !== undefined) {
    const inRange = blockBytes >= limits.BLOCK_BYTES_MIN && blockBytes <= limits.BLOCK_BYTES_MAX;
    if (!inRange || blockBytes % limits.PAGE_BYTES !== 0) {
      throw usage(
        `a block size is a multiple of 4096 from ${limits.BLOCK_BYTES_MIN} to ${limits.BLOCK_BYTES_MAX} bytes`,
      );
    }
  }
  const least = limits.SLOTS_MIN * (blockBytes ?? limits.BLOCK_BYTES_DEFAULT);
  if (bufferBytes !== undefined && !(bufferBytes >= least))
    throw usage(`a buffer holds at least four blocks: ${least} bytes`);
}

function parseExpect(text: string): string {
  const match = /^sha256:([0-9a-f]{64})$/i.exec(text);
  if (match?.[1] === undefined) throw usage('an expected digest must be sha256: followed by 64 hexadecimal digits');
  return match[1].toLowerCase();
}

function usage(message: string): UnderstudyError {
  return new UnderstudyError('USAGE', message);
}
