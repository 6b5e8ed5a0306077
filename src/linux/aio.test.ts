// A context writes what was asked, in whatever order and at whatever depth, with the kernel's help or without; the bytes tell. (Reads are
// in the conformance suite of devices.)
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants as osConstants, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { limits, present, seededRandom } from '../base/mod.ts';
import { type AioCompletion, AioContext } from './aio.ts';
import { allocatePages } from './mapping.ts';

const PAGE = limits.PAGE_BYTES;
const PAGES = 12;

const undo: (() => void)[] = [];

afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

/** A folder; with `bytes`, one that holds no more than those. */
function folder(bytes?: number): string {
  const path = mkdtempSync(join(tmpdir(), 'understudy-aio-'));
  undo.push(() => rmSync(path, { recursive: true }));
  if (bytes === undefined) return path;
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'understudy-test', path]);
  undo.push(() => execFileSync('umount', [path]));
  return path;
}

function openFile(path: string): number {
  const fd = openSync(path, constants.O_RDWR);
  undo.push(() => closeSync(fd));
  return fd;
}

function openContext(depth: number, atOnce: boolean): AioContext {
  const context = new AioContext(depth, { atOnce });
  undo.push(() => context.close());
  return context;
}

function pages(bytes: number): Uint8Array {
  const mapping = allocatePages(bytes);
  undo.push(() => mapping.unmap());
  return new Uint8Array(mapping.buffer);
}

function reapAll(context: AioContext): AioCompletion[] {
  const out: AioCompletion[] = [];
  while (context.inFlight > 0) out.push(...context.reap(10_000));
  return out.sort((one, other) => one.tag - other.tag);
}

describe.each([true, false])('asynchronous I/O, at once: %s', (atOnce) => {
  it('writes what was asked where it belongs, neighbours, gaps and any order, and says of each how much it was', () => {
    const paths = [0, 1].map((file) => join(folder(), `image${file}`));
    for (const path of paths) writeFileSync(path, '');
    const fds = paths.map(openFile);
    const memory = pages(PAGES * PAGE);
    const random = seededRandom(1);
    for (let at = 0; at < memory.length; at++) memory[at] = random.below(256);
    // Some begin later than their page, so that not all neighbours touch.
    const write = fc.record({ file: fc.nat(1), page: fc.nat(PAGES - 1), skip: fc.constantFrom(0, 0, 0, 7) });
    const writes = fc.uniqueArray(write, { selector: ({ file, page }) => `${file}:${page}`, maxLength: 2 * PAGES });
    const property = fc.property(writes, fc.boolean(), fc.integer({ min: 1, max: 32 }), (any, sorted, depth) => {
      const asked = sorted ? any.toSorted((a, b) => a.file - b.file || a.page - b.page) : any;
      const wanted = paths.map(() => Buffer.alloc(PAGES * PAGE));
      for (const path of paths) writeFileSync(path, present(wanted[0], 'zeros'));
      const moved: AioCompletion[] = [];
      const context = new AioContext(depth, { atOnce });
      for (const [tag, { file, page, skip }] of asked.entries()) {
        while (context.inFlight === depth) moved.push(...context.reap(10_000));
        const offsetBytes = page * PAGE + skip;
        const buffer = memory.subarray(((tag * PAGE) % memory.length) + skip).subarray(0, PAGE - skip);
        wanted[file]?.set(buffer, offsetBytes);
        context.submit({ kind: 'write', fd: present(fds[file], 'a file'), buffer, offsetBytes, tag });
      }
      moved.push(...reapAll(context));
      context.close();
      const all = asked.map(({ skip }, tag) => ({ tag, result: PAGE - skip }));
      expect(moved.sort((one, other) => one.tag - other.tag)).toEqual(all);
      for (const [file, path] of paths.entries()) {
        expect(readFileSync(path).equals(present(wanted[file], 'bytes'))).toBe(true);
      }
    });
    // Without `atOnce` most of the time goes by while the kernel takes contexts down.
    fc.assert(property, { numRuns: atOnce ? 500 : 50 });
  });

  it('says of each of several neighbours whether there was room for it', () => {
    const path = join(folder(4 * PAGE), 'image');
    writeFileSync(path, '');
    const fd = openFile(path);
    const context = openContext(4, atOnce);
    const memory = pages(8 * PAGE).fill(1);
    for (let tag = 0; tag < 3; tag++) {
      const buffer = memory.subarray(0, 2 * PAGE);
      context.submit({ kind: 'write', fd, buffer, offsetBytes: tag * 2 * PAGE, tag });
    }
    const full = -osConstants.errno.ENOSPC;
    expect(reapAll(context).map(({ result }) => result)).toEqual([2 * PAGE, 2 * PAGE, full]);
    expect(readFileSync(path).byteLength).toBe(4 * PAGE);
  });

  it('says of each of several neighbours that the file takes none', () => {
    const path = join(folder(), 'image');
    writeFileSync(path, '');
    const fd = openSync(path, constants.O_RDONLY);
    undo.push(() => closeSync(fd));
    const context = openContext(4, atOnce);
    const buffer = pages(PAGE);
    for (let tag = 0; tag < 3; tag++) context.submit({ kind: 'write', fd, buffer, offsetBytes: tag * PAGE, tag });
    const refused = -osConstants.errno.EBADF;
    expect(reapAll(context).map(({ result }) => result)).toEqual([refused, refused, refused]);
  });
});
