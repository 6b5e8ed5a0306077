// Real disk images for tests, made by the tools that people make theirs with.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { findTool, limits, seededRandom } from '../../src/base/mod.ts';
import type { ByteRange } from '../../src/replication/extent/mod.ts';

const SBIN_PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Runs a program that has to succeed; its standard output. */
export function run(tool: string, args: readonly string[], input = ''): string {
  const path = findTool(tool);
  if (path === null) throw new Error(`${tool} is not installed`);
  return execFileSync(path, args, {
    input,
    encoding: 'utf8',
    maxBuffer: 64 * limits.MIB,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: SBIN_PATH, LC_ALL: 'C' },
  });
}

/** A sparse file. */
export function makeFile(path: string, sizeBytes: number): string {
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  return path;
}

/** A folder of files of many sizes with random content, to fill file systems with. */
export function makeTree(folder: string, seed: number): string {
  const random = seededRandom(seed);
  for (let index = 0; index < 40; index++) {
    const sub = join(folder, `folder-${index % 5}`);
    mkdirSync(sub, { recursive: true });
    const bytes = Buffer.alloc(random.below(index % 8 === 0 ? 900_000 : 20_000));
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random.below(2 ** 32), at);
    writeFileSync(join(sub, `file-${index}`), bytes);
  }
  return folder;
}

/** An ext file system holding a tree, with some files removed again so that free space has holes; grown to `sizeBytes`. */
export function makeExt(path: string, tree: string, sizeBytes: number, mkfsArgs: readonly string[]): string {
  makeFile(path, sizeBytes);
  run('mke2fs', ['-q', '-F', '-d', tree, ...mkfsArgs, path]);
  const removals = [3, 8, 16, 21, 32].map((index) => `rm /folder-${index % 5}/file-${index}\n`).join('');
  run('debugfs', ['-w', '-f', '-', path], removals);
  run('e2fsck', ['-fn', path]);
  return path;
}

/** Copies a file into another at an offset. */
export function place(source: string, target: string, offsetBytes: number): void {
  run('dd', [
    `if=${source}`,
    `of=${target}`,
    'bs=64K',
    'conv=notrunc,sparse',
    `seek=${offsetBytes}`,
    'oflag=seek_bytes',
  ]);
}

/** What a copy of an extent leaves on a target that was all zeros: everything below the end except the skipped ranges. */
export function copyNeeded(source: string, target: string, endBytes: number, skip: readonly ByteRange[]): void {
  copyFileSync(source, target);
  truncateSync(target, endBytes);
  const fd = openSync(target, 'r+');
  const zeros = Buffer.alloc(limits.MIB);
  try {
    for (const { offsetBytes, lengthBytes } of skip) {
      for (let done = 0; done < lengthBytes; done += zeros.length) {
        writeSync(fd, zeros, 0, Math.min(zeros.length, lengthBytes - done), offsetBytes + done);
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Fills what is nothing but free space with bytes that must not matter, so that skipped ranges are not zero already. */
export function soil(path: string, ranges: readonly ByteRange[]): void {
  const fd = openSync(path, 'r+');
  const dirt = Buffer.alloc(limits.MIB, 0xa5);
  try {
    for (const { offsetBytes, lengthBytes } of ranges) {
      writeSync(fd, dirt, 0, Math.min(dirt.length, lengthBytes), offsetBytes);
    }
  } finally {
    closeSync(fd);
  }
}

/** Numbers of the blocks that debugfs calls in use; and block 0, of which it does not speak: boot sector or superblock. */
export function blocksInUse(ext2Name: string, blockCount: number): Set<number> {
  const inUse = new Set<number>([0]);
  const text = run('debugfs', ['-R', `testb 1 ${blockCount - 1}`, ext2Name]);
  let tested = 0;
  for (const match of text.matchAll(/^Block (\d+) (marked in use|not in use)$/gm)) {
    tested += 1;
    if (match[2] === 'marked in use') inUse.add(Number(match[1]));
  }
  if (tested !== blockCount - 1) throw new Error(`debugfs told of ${tested} blocks`);
  return inUse;
}

/** All files of an ext file system, as one text that is equal for equal contents. */
export function contentOf(ext2Name: string, folder: string): string {
  mkdirSync(folder);
  run('debugfs', ['-R', `rdump / ${folder}`, ext2Name]);
  return run('sh', ['-c', 'cd "$1" && find . -type f | sort | xargs sha256sum', 'sh', folder]);
}

export function readBytes(path: string, offsetBytes: number, lengthBytes: number): Buffer {
  const buffer = Buffer.alloc(lengthBytes);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, buffer, 0, lengthBytes, offsetBytes);
  } finally {
    closeSync(fd);
  }
  return buffer;
}

/** Attaches a file to a free loop device; the caller detaches it. */
export function attachLoop(path: string, ...options: readonly string[]): string {
  return run('losetup', ['--find', '--show', ...options, path]).trim();
}

export function sizeOf(path: string): number {
  return statSync(path).size;
}

/** A file of bytes that are no format of anybody. */
export function makeRandom(path: string, sizeBytes: number): string {
  const random = seededRandom(sizeBytes);
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at++) bytes[at] = random.below(256);
  writeFileSync(path, bytes);
  return path;
}
