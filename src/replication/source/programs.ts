// The programs that decompress, what they say, and what it means.
import { requireTool, runTool, UnderstudyError } from '../../base/mod.ts';

import { damaged } from './damage.ts';
import type { CompressedFormat } from './format.ts';
import { ZEROS } from './gzip-end.ts';

interface Program {
  readonly debianPackage: string;
  readonly args: readonly string[];
  /** What it says when data behind the last member are none; it has given all that the members hold, and checked it. */
  readonly garbage: RegExp | null;
}

export const PROGRAMS: Readonly<Record<CompressedFormat, Program>> = {
  // It tells of zeros with -v only.
  gzip: { debianPackage: 'gzip', args: ['-dcv'], garbage: /decompression OK, trailing garbage ignored/ },
  // Threads only help where the image was written in several blocks, and stay below a quarter of the memory (xz(1)).
  // Its words for garbage are those for damage: xz-end.ts looks for the end of the data before.
  xz: { debianPackage: 'xz-utils', args: ['-dc', '-T0'], garbage: null },
  // Also what was made with --long: the memory is needed for such images only.
  zstd: { debianPackage: 'zstd', args: ['-dcq', '--long=31'], garbage: /: un(?:supported format|known header)\s*$/m },
  bzip2: { debianPackage: 'bzip2', args: ['-dc'], garbage: /trailing garbage after EOF ignored/ },
  // It tells of garbage with -v only.
  lz4: {
    debianPackage: 'lz4',
    args: ['-dcv'],
    garbage: /Stream followed by undecodable data|Unrecognized header : Magic Number unreadable/,
  },
};

/** Words for trouble of the machine rather than of the image. */
const NOT_THE_IMAGE = /input\/output error|cannot allocate|not enough memory|memory usage limit|cannot execute/i;
const CHATTER = /^\s*(\*\*\*|stdin\s*:|$)/;

export interface ProgramEnd {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  readonly failure: Error | null;
  /** A zero was written behind the data (gzip-end.ts). */
  readonly zeroBehind: boolean;
}

/** What the end of a program means: an error, or nothing but perhaps something to know. */
export function judgeEnd(
  format: CompressedFormat,
  uri: string,
  end: ProgramEnd,
): { readonly error: UnderstudyError | null; readonly warning: string | null } {
  const { status, signal, stderr, failure } = end;
  const broken = (why: string) => ({
    error: new UnderstudyError('SOURCE_READ_FAILED', `read ${uri}: ${why}`),
    warning: null,
  });
  if (failure !== null) return broken(failure.message);
  if (signal !== null) return broken(`${format} was ended by ${signal}`);
  const { garbage } = PROGRAMS[format];
  const ignored = garbage?.test(stderr) === true;
  if (ignored && status !== null && status <= (format === 'lz4' ? 40 : 2)) {
    // lz4 says where it was when it had read four bytes of them.
    const position = /at position (\d+)/.exec(stderr)?.[1];
    const place = position === undefined ? '' : `, from byte ${Number(position) - 4} of them on`;
    const text = `ignored data behind the end of the ${format} data${place}: they are not ${format}`;
    return { error: null, warning: text };
  }
  const zeros = format === 'gzip' && status === 2 && ZEROS.test(stderr);
  // A program that found nothing behind the data has used up the zero, for a byte that is missing.
  if (status === 0 && end.zeroBehind) return { error: damaged(uri, 'unexpected end of file'), warning: null };
  if (status === 0 || zeros) return { error: null, warning: null };
  const message = firstLine(stderr) ?? `${format} ended with status ${status}`;
  if (NOT_THE_IMAGE.test(stderr)) return broken(message);
  return { error: damaged(uri, message), warning: null };
}

/** Who says it, and of what: the program and its standard input, which mean nothing to people. */
const SPEAKER = /^(?:\S*\/)?(?:gzip|xz|zstd|bzip2|lz4)\s*: (?=\S)|^(?:\(stdin\)|stdin|\/\*stdin\*\\?)\s*: /;

function firstLine(text: string): string | null {
  const line = text.split(/[\r\n]/).find((one) => !CHATTER.test(one));
  return line === undefined ? null : line.trim().replace(SPEAKER, '').replace(SPEAKER, '').replace(/;$/, '');
}

/**
 * Bytes of the decompressed image, where the compression tells: xz from its index, zstd where every frame says its
 * size; else null.
 * `path` is a regular file. `sound` is false when the file cannot be listed. @throws TOOL_MISSING
 */
export async function listedBytes(
  format: CompressedFormat,
  path: string,
): Promise<{ readonly sizeBytes: number | null; readonly complaint: string | null }> {
  const tool = requireTool(format, PROGRAMS[format].debianPackage);
  if (format === 'xz') {
    const { status, stdout, stderr } = await runTool(tool, ['--robot', '--list', '--', path]);
    if (status === 0) return { sizeBytes: sizeOf(/^totals\t\d+\t\d+\t\d+\t(\d+)\t/m.exec(stdout)), complaint: null };
    const complaint = (firstLine(stderr) ?? `xz ended with status ${status}`).replace(/^\S*xz: /, '');
    return { sizeBytes: null, complaint: complaint.replace(`${path}: `, '') };
  }
  if (format !== 'zstd') return { sizeBytes: null, complaint: null };
  // A file that cannot be listed is not called damaged for that: the decompressor reads more than the list does.
  const { status, stdout } = await runTool(tool, ['-lv', '--', path]);
  const sizeBytes = status === 0 ? sizeOf(/^Decompressed Size:.*\((\d+) B\)$/m.exec(stdout)) : null;
  return { sizeBytes, complaint: null };
}

function sizeOf(match: RegExpExecArray | null): number | null {
  const size = Number(match?.[1] ?? Number.NaN);
  return Number.isSafeInteger(size) && size > 0 ? size : null;
}
