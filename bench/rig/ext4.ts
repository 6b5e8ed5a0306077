// An ext4 image with little in use, made without mounting anything.
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, truncateSync } from 'node:fs';
import { limits, requireTool, runTool } from '../../src/base/mod.ts';
import { writeRandom, writeRandomImage } from './image.ts';
import type { Workbench } from './workbench.ts';

const FILES = 16;
const BLOCK_BYTES = 4 * limits.KIB;
const TOOL_MS_MAX = 300_000;

/** An ext4 file system with files of random bytes in it; all that it does not use is holes. */
export async function makeExt4(
  workbench: Workbench,
  path: string,
  sizeBytes: number,
  usedBytes: number,
): Promise<void> {
  const folder = `${path}.content`;
  mkdirSync(folder);
  workbench.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (let file = 0; file < FILES; file++) writeRandomImage(`${folder}/file-${file}`, Math.floor(usedBytes / FILES));
  workbench.defer(() => rmSync(path, { force: true }));
  closeSync(openSync(path, 'w'));
  truncateSync(path, sizeBytes);
  const mke2fs = requireTool('mke2fs', 'e2fsprogs');
  const args = ['-q', '-F', '-t', 'ext4', '-b', String(BLOCK_BYTES), '-d', folder, path];
  const made = await runTool(mke2fs, args, { timeoutMs: TOOL_MS_MAX });
  if (made.status !== 0) throw new Error(`mke2fs: ${made.stderr.trim()}`);
  rmSync(folder, { recursive: true });
}

/** Fills the blocks that the file system calls free with random bytes, as deleted files leave them. */
export async function fillFreeBlocks(path: string): Promise<void> {
  const dumped = await runTool(requireTool('dumpe2fs', 'e2fsprogs'), [path]);
  if (dumped.status !== 0) throw new Error(`dumpe2fs: ${dumped.stderr.trim()}`);
  const fd = openSync(path, 'r+');
  try {
    for (const [first, last] of freeRanges(dumped.stdout)) {
      writeRandom(fd, first * BLOCK_BYTES, (last - first + 1) * BLOCK_BYTES);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The "  Free blocks: 9-32, 40" line of each group. */
function freeRanges(text: string): [number, number][] {
  const ranges: [number, number][] = [];
  for (const line of text.matchAll(/^ {2}Free blocks: (.+)$/gm)) {
    for (const part of (line[1] ?? '').split(', ')) {
      const [first, last] = part.split('-').map(Number);
      if (first !== undefined && Number.isInteger(first)) ranges.push([first, last ?? first]);
    }
  }
  return ranges;
}

/** @throws when e2fsck finds anything to repair. */
export async function checkExt4(path: string): Promise<void> {
  const checked = await runTool(requireTool('e2fsck', 'e2fsprogs'), ['-fn', path], { timeoutMs: TOOL_MS_MAX });
  if (checked.status !== 0) throw new Error(`e2fsck: ${checked.stdout.trim().split('\n').at(-1)}`);
}
