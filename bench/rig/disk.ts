// What the disk itself can do, without any program's logic: large transfers past the page cache, eight in flight, in any order.
// Nobody can copy faster than this, so it is put beside measured copies as their bound.
import { closeSync, constants, fsyncSync, openSync } from 'node:fs';
import { assert, limits } from '../../src/base/mod.ts';
import { AioContext, allocatePages, type Mapping } from '../../src/linux/mod.ts';

export const TRANSFER_BYTES = 4 * limits.MIB;
const IN_FLIGHT = 8;

export interface Load {
  readonly kind: 'read' | 'write';
  readonly paths: readonly string[];
  /** Bytes of each path, a multiple of TRANSFER_BYTES. */
  readonly sizeBytes: number;
}

/** Memory to transfer from and to, of huge pages or of small ones that lie scattered. */
export function transferMemory(pages: 'huge' | 'small', loads: number): Mapping {
  const mapping = allocatePages(loads * IN_FLIGHT * TRANSFER_BYTES, pages);
  // Pages exist once they are written to; other content in each, so that no storage takes them for one another.
  const words = new Uint32Array(mapping.buffer);
  for (let word = 0; word < words.length; word++) words[word] = Math.imul(word + 1, 2_654_435_761);
  return mapping;
}

/** Runs the loads side by side and returns the seconds until the last has ended and what was written is flushed. */
export function moveAll(loads: readonly Load[], memory: Mapping): number {
  const runs = loads.map((load, index) => new LoadRun(load, memory, index * IN_FLIGHT));
  try {
    const startMs = performance.now();
    for (let live = runs.length; live > 0; ) {
      live = 0;
      for (const run of runs) if (run.move()) live += 1;
    }
    for (const run of runs) run.flush();
    return (performance.now() - startMs) / 1000;
  } finally {
    for (const run of runs) run.close();
  }
}

class LoadRun {
  readonly #load: Load;
  readonly #memory: Mapping;
  readonly #firstBuffer: number;
  readonly #fds: number[];
  readonly #aio = new AioContext(IN_FLIGHT, { atOnce: false });
  readonly #free = Array.from({ length: IN_FLIGHT }, (_, index) => index);
  readonly #total: number;
  #next = 0;
  #done = 0;

  constructor(load: Load, memory: Mapping, firstBuffer: number) {
    this.#load = load;
    this.#memory = memory;
    this.#firstBuffer = firstBuffer;
    const flags =
      constants.O_DIRECT | (load.kind === 'read' ? constants.O_RDONLY : constants.O_WRONLY | constants.O_CREAT);
    this.#fds = load.paths.map((path) => openSync(path, flags, 0o600));
    this.#total = load.paths.length * Math.floor(load.sizeBytes / TRANSFER_BYTES);
  }

  /** Keeps the queue full and takes what is finished; false when nothing is left. */
  move(): boolean {
    while (this.#free.length > 0 && this.#next < this.#total) this.#submit();
    if (this.#done === this.#total) return false;
    for (const completion of this.#aio.reap(1)) {
      assert(completion.result === TRANSFER_BYTES, 'a whole transfer');
      this.#free.push(completion.tag);
      this.#done += 1;
    }
    return true;
  }

  #submit(): void {
    const tag = this.#free.pop() ?? 0;
    const fd = this.#fds[this.#next % this.#fds.length] ?? -1;
    const offsetBytes = Math.floor(this.#next / this.#fds.length) * TRANSFER_BYTES;
    const buffer = new Uint8Array(this.#memory.buffer, (this.#firstBuffer + tag) * TRANSFER_BYTES, TRANSFER_BYTES);
    this.#aio.submit({ kind: this.#load.kind, fd, buffer, offsetBytes, tag });
    this.#next += 1;
  }

  flush(): void {
    if (this.#load.kind === 'write') for (const fd of this.#fds) fsyncSync(fd);
  }

  close(): void {
    this.#aio.close();
    for (const fd of this.#fds) closeSync(fd);
  }
}
