// How programs that know a file system are run on bytes that somebody hostile may have made: bounded in time, memory
// and output.
import { open } from 'node:fs/promises';
import { requireTool, runTool, type ToolResult, UnderstudyError } from '../../base/mod.ts';
import { printable } from '../tree/mod.ts';

/** A check reads all inodes and folders: minutes for tens of millions of files. */
const TIMEOUT_MS = 20 * 60_000;
/** What only looks at tables and headers. */
const QUICK_MS = 60_000;
/** e2fsck needs about 100 bytes an inode. More would take the memory of the machine's other work. */
const MEMORY_BYTES_MAX = 4 * 1024 ** 3;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

/** Debian's. */
const PACKAGES = {
  e2fsck: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  xfs_repair: 'xfsprogs',
  btrfs: 'btrfs-progs',
  'fsck.fat': 'dosfstools',
  mcopy: 'mtools',
  mdel: 'mtools',
  mmd: 'mtools',
  mrd: 'mtools',
  mren: 'mtools',
  'qemu-img': 'qemu-utils',
  sfdisk: 'fdisk',
  blkid: 'util-linux',
  blockdev: 'util-linux',
} as const;

export type ToolOutcome =
  | { readonly ended: true; readonly result: ToolResult & { readonly status: number } }
  /** It took too long, wrote too much, or a signal ended it. */
  | { readonly ended: false; readonly why: string };

export interface Bounds {
  readonly input?: string;
  /** @default 20 minutes */
  readonly timeoutMs?: number;
  /** @default 4 MiB */
  readonly outputBytesMax?: number;
  /** Beside our own. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** The command that runs a program within the memory that one may have. @throws TOOL_MISSING */
export function withinMemory(program: string, args: readonly string[]): readonly [string, readonly string[]] {
  const limits = [`--as=${MEMORY_BYTES_MAX}`, '--core=0', '--'];
  return [requireTool('prlimit', 'util-linux'), [...limits, program, ...args]];
}

/** @throws TOOL_MISSING, INTERRUPTED */
export async function runBounded(
  name: keyof typeof PACKAGES,
  args: readonly string[],
  signal: AbortSignal,
  { input = '', timeoutMs = TIMEOUT_MS, outputBytesMax = OUTPUT_BYTES_MAX, environment = {} }: Bounds = {},
): Promise<ToolOutcome> {
  const [command, limited] = withinMemory(requireTool(name, PACKAGES[name]), args);
  try {
    const result = await runTool(command, limited, { timeoutMs, outputBytesMax, signal, input, env: environment });
    const { status } = result;
    if (status === null) return { ended: false, why: `${name} took too long, or ended by a signal` };
    return { ended: true, result: { ...result, status } };
  } catch (error) {
    const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
    if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return { ended: false, why: `${name} had too much to say` };
    throw error;
  }
}

/**
 * For what has no part of its own in the change: whoever does not end by itself has failed. @throws IDENTITY_FAILED,
 * TOOL_MISSING, INTERRUPTED
 */
export async function runToEnd(
  name: keyof typeof PACKAGES,
  args: readonly string[],
  signal: AbortSignal,
  bounds: Bounds = {},
): Promise<ToolResult & { readonly status: number }> {
  const outcome = await runBounded(name, args, signal, { timeoutMs: QUICK_MS, ...bounds });
  if (!outcome.ended) throw identityFailed(outcome.why);
  return outcome.result;
}

/** Of a file, or of a block device. @throws IDENTITY_FAILED when it does not say */
export async function sizeOf({ path }: { readonly path: string }): Promise<number> {
  const file = await open(path, 'r');
  try {
    const facts = await file.stat();
    if (facts.isFile()) return facts.size;
  } finally {
    await file.close();
  }
  const asked = await runToEnd('blockdev', ['--getsize64', path], new AbortController().signal);
  if (asked.status !== 0) throw identityFailed(`${path} does not say how large it is: ${asked.stderr.trim()}`);
  return Number(asked.stdout.trim());
}

/** The name by which e2fsprogs find a file system inside an image (unix_io's "offset" option). */
export function e2fsName(path: string, offsetBytes: number): string {
  return offsetBytes === 0 ? path : `${path}?offset=${offsetBytes}`;
}

/** For a message: what a program said, on one short line. */
export function summary(result: ToolResult): string {
  const lines = `${result.stderr}\n${result.stdout}`.split('\n').map((line) => line.trim());
  const telling = lines.filter(
    (line) => line !== '' && !/^(e2fsck|debugfs|resize2fs|fsck\.fat) \d/.test(line) && !/^Pass \d/.test(line),
  );
  return telling.slice(0, 3).join('; ').slice(0, 300);
}

/** Says which file system of several it is that is damaged. */
export async function naming<T>(at: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (at === '/' || !(error instanceof UnderstudyError) || error.code !== 'IMAGE_DAMAGED') throw error;
    throw new UnderstudyError('IMAGE_DAMAGED', `${printable(at)}: ${error.message}`, { cause: error });
  }
}

export function identityFailed(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('IDENTITY_FAILED', what, cause === undefined ? {} : { cause });
}
