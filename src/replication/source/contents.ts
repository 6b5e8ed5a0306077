// What a source shows of a partition table or a file system, before it overwrites anything.
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errnoOf, requireTool } from '../../base/mod.ts';
import { diskSignature } from './signature.ts';

/** Bytes from the start of a source that are looked at. */
export const LOOK_BYTES = 1024 * 1024;
const SHOWN_BYTES = 16;
const NOTHING_FOUND = 2;
const LOOK_MS_MAX = 10_000;

/** In words for the ring's header: `recognised` is never empty, so an empty text means that nobody has looked. */
export interface Contents {
  readonly recognised: boolean;
  /** A noun ("GPT partition table"), or a clause with the first bytes. */
  readonly text: string;
}

/**
 * Judges the image by its first bytes: quickly by itself, and where that finds nothing by blkid(8) on the source's `path`, or on a file that
 * begins like it and is as long. Blocks the thread for the few milliseconds that blkid takes. @throws TOOL_MISSING
 */
export function judgeContents(first: Uint8Array, sizeBytes: number | null, path: string | null = null): Contents {
  const signature = diskSignature(first) ?? (path === null ? askWithCopy(first, sizeBytes) : ask(path));
  if (signature !== null) return { recognised: true, text: signature };
  const bytes = [...first.subarray(0, SHOWN_BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const what = first.every((byte) => byte === 0) ? 'it begins with zeros' : `its first bytes are ${bytes}`;
  return { recognised: false, text: `shows neither a partition table nor a file system; ${what}` };
}

/** Judges a raw image that has a path; null when it cannot be looked at, which is for its reader to tell. */
export function judgeFile(path: string): Contents | null {
  try {
    const fd = openSync(path, 'r');
    try {
      const first = new Uint8Array(LOOK_BYTES);
      return judgeContents(first.subarray(0, readSync(fd, first, 0, LOOK_BYTES, 0)), null, path);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

function askWithCopy(first: Uint8Array, sizeBytes: number | null): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-look-'));
  try {
    const path = join(folder, 'image');
    const fd = openSync(path, 'wx', 0o600);
    try {
      writeSync(fd, first);
      // Tables that name the end of the disk must find it where it is.
      if (sizeBytes !== null && sizeBytes > first.byteLength) ftruncateSync(fd, sizeBytes);
    } finally {
      closeSync(fd);
    }
    return ask(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Contradictory signatures are signatures: the disk was used for something. */
function ask(path: string): string | null {
  const blkid = requireTool('blkid', 'util-linux');
  const { status, stdout } = spawnSync(blkid, ['-p', '-o', 'export', '--', path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: LOOK_MS_MAX,
    killSignal: 'SIGKILL',
  });
  if (status === NOTHING_FOUND) return null;
  return /^(?:TYPE|PTTYPE)=(.+)$/m.exec(stdout)?.[1] ?? 'contradictory signatures';
}

const RECOGNISED = 'shows: ';

export function contentsText({ recognised, text }: Contents): string {
  return recognised ? RECOGNISED + text : text;
}

/** What `contentsText` wrote; null for an empty text. */
export function parseContents(text: string): Contents | null {
  if (text === '') return null;
  const recognised = text.startsWith(RECOGNISED);
  return { recognised, text: recognised ? text.slice(RECOGNISED.length) : text };
}
