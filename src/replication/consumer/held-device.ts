// A disk that is half written must not be taken for a whole one: no firmware may start from it, no system find partitions
// or file systems on it. So the first block is zeroed before anything else is written, its bytes are held in memory when
// they come, and it is written last. The same for the block at the end of the disk, where the backup of a GPT lies.
//
// A device on top of the target's: writes to what is held end in memory and reads come from there, so whoever copies,
// verifies or takes a digest through it sees the image as it will be, and knows nothing of this.
import { assert, limits, UnderstudyError } from '../../base/mod.ts';
import type { Completion, Device, DeviceInfo, Extent, Transfer } from '../device/contract.ts';
import { transferNow } from './transfer.ts';

/** Bytes of a device that are kept in memory, from the start of a block on. */
interface Held {
  readonly offsetBytes: number;
  memory: Uint8Array;
  /** Something else than zeros was written. */
  touched: boolean;
}

/** Bytes to be written where nothing of the copy has been yet. */
export interface HeldPiece {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
  /** They are all zeros: the range may be zeroed in a cheaper way. */
  readonly zero?: boolean;
}

export interface HoldOptions {
  readonly blockBytes: number;
  /** Null while only the end of a stream tells. */
  readonly imageBytes: number | null;
  /** Mapped memory, page-aligned, zeroed. */
  allocate(bytes: number): Uint8Array;
}

/** What is written last of all, in one write: the sector that says that there is a partition table. */
const LAST_WRITE_BYTES = limits.PAGE_BYTES;

export class HeldDevice implements Device {
  readonly info: DeviceInfo;
  readonly #inner: Device;
  readonly #blockBytes: number;
  readonly #imageBytes: number | null;
  readonly #head: Held;
  /** Null where the image does not reach the block at the end of the device, or that is the first one. */
  #tail: Held | null = null;
  #done: Completion[] = [];

  /** `inner`: storage with a size, as block devices and NBD exports have. */
  constructor(inner: Device, { blockBytes, imageBytes, allocate }: HoldOptions) {
    const { sizeBytes } = inner.info;
    assert(sizeBytes !== null, 'a device with a size');
    this.info = inner.info;
    this.#inner = inner;
    this.#blockBytes = blockBytes;
    this.#imageBytes = imageBytes;
    const end = Math.min(imageBytes ?? sizeBytes, sizeBytes);
    const lastAt = Math.floor((sizeBytes - 1) / blockBytes) * blockBytes;
    const held = (offsetBytes: number): Held => ({
      offsetBytes,
      memory: allocate(Math.min(blockBytes, end - offsetBytes)),
      touched: false,
    });
    this.#head = held(0);
    if (lastAt > 0 && lastAt < end) this.#tail = held(lastAt);
  }

  /** Blocks whose bytes are in memory only: no record may call them done. */
  get blocks(): readonly number[] {
    return this.#held.map(({ offsetBytes }) => offsetBytes / this.#blockBytes);
  }

  /**
   * Makes the target unusable as a disk, durably, before anything else is written. Of a stream nobody knows whether it
   * fills a block: what the target holds there is kept, and what turns out to lie behind the image is put back by `settle`.
   */
  begin(): void {
    const { memory } = this.#head;
    if (this.#imageBytes === null) this.#keepOld();
    this.#inner.zero(0, memory.byteLength);
    if (this.#imageBytes !== null && this.#tail !== null)
      this.#inner.zero(this.#tail.offsetBytes, this.#tail.memory.byteLength);
    this.#inner.flush();
  }

  #keepOld(): void {
    const { memory } = this.#head;
    try {
      transferNow(this.#inner, 'read', 0, memory);
      this.#head.touched = true;
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      // What cannot be read is not worth keeping, and writing it may well work.
      memory.fill(0);
    }
  }

  /** The length of the image is known at last: what is held and does not belong to it goes back. */
  settle(imageBytes: number): void {
    const before = this.#head.memory.byteLength;
    for (const held of this.#held) {
      held.memory = held.memory.subarray(
        0,
        Math.max(0, Math.min(held.memory.byteLength, imageBytes - held.offsetBytes)),
      );
    }
    if (this.#tail?.memory.byteLength === 0) this.#tail = null;
    const behind = new Uint8Array(this.#head.memory.buffer, this.#head.memory.byteOffset, before).subarray(imageBytes);
    if (behind.byteLength > 0) transferNow(this.#inner, 'write', imageBytes, behind);
  }

  /** Changes bytes of the first block in memory; returns how many of them lie in it, from `offsetBytes` on. */
  patch(offsetBytes: number, bytes: Uint8Array): number {
    const { memory } = this.#head;
    const inside = bytes.subarray(0, Math.max(0, memory.byteLength - offsetBytes));
    memory.set(inside, Math.min(offsetBytes, memory.byteLength));
    if (inside.byteLength > 0) this.#head.touched = true;
    return inside.byteLength;
  }

  /** The block at the end of the disk, which the caller writes; from now on it is the device's. */
  takeTail(): HeldPiece | null {
    const tail = this.#tail;
    this.#tail = null;
    return tail === null ? null : { offsetBytes: tail.offsetBytes, bytes: tail.memory, zero: !tail.touched };
  }

  /** The first block, to be written in this order, each durable before the next: all but its first page, and that page. */
  get headPieces(): readonly HeldPiece[] {
    const { memory, touched } = this.#head;
    return [
      { offsetBytes: LAST_WRITE_BYTES, bytes: memory.subarray(LAST_WRITE_BYTES), zero: !touched },
      { offsetBytes: 0, bytes: memory.subarray(0, LAST_WRITE_BYTES), zero: !touched },
    ].filter(({ bytes }) => bytes.byteLength > 0);
  }

  /** What `begin` did, once more. @throws the device's errors */
  unmake(): void {
    this.#inner.zero(0, this.#head.memory.byteLength);
    this.#inner.flush();
  }

  submit(transfer: Transfer): void {
    const held = this.#heldAt(transfer.offsetBytes);
    if (held === null) {
      this.#inner.submit(transfer);
      return;
    }
    const { buffer, offsetBytes, kind, tag } = transfer;
    const from = offsetBytes - held.offsetBytes;
    const memory = held.memory.subarray(from, from + buffer.byteLength);
    const bytes = memory.byteLength;
    if (kind === 'read') {
      buffer.set(memory);
      this.#done.push({ tag, bytes, error: null });
      return;
    }
    if (bytes < buffer.byteLength) {
      // Not even a part of it may be written now.
      const message = `write ${buffer.byteLength} bytes at ${offsetBytes} of ${this.info.uri}: the device ends there`;
      this.#done.push({ tag, bytes: 0, error: new UnderstudyError('TARGET_TOO_SMALL', message) });
      return;
    }
    memory.set(buffer);
    held.touched = true;
    this.#done.push({ tag, bytes, error: null });
  }

  reap(timeoutMs: number): readonly Completion[] {
    if (this.#done.length === 0) return this.#inner.reap(timeoutMs);
    const done = this.#done;
    this.#done = [];
    return [...done, ...this.#inner.reap(0)];
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    assert(this.#done.length === 0, 'nothing in flight while a range is zeroed');
    const end = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < end; ) {
      const held = this.#heldAt(at);
      const tailAt = this.#tail?.offsetBytes ?? end;
      const stop = Math.min(end, held === null ? (at < tailAt ? tailAt : end) : held.offsetBytes + this.#blockBytes);
      if (held === null) this.#inner.zero(at, stop - at);
      else this.#zeroHeld(held, at - held.offsetBytes, stop - held.offsetBytes);
      at = stop;
    }
  }

  #zeroHeld(held: Held, from: number, to: number): void {
    held.memory.fill(0, from, to);
    if (from === 0 && to >= held.memory.byteLength) held.touched = false;
  }

  flush(): void {
    this.#inner.flush();
  }

  extents(offsetBytes: number, lengthBytes: number): readonly Extent[] | null {
    return this.#inner.extents(offsetBytes, lengthBytes);
  }

  fingerprint(): string {
    return this.#inner.fingerprint();
  }

  close(): void {
    this.#inner.close();
  }

  get #held(): readonly Held[] {
    return this.#tail === null ? [this.#head] : [this.#head, this.#tail];
  }

  #heldAt(offsetBytes: number): Held | null {
    const inside = ({ offsetBytes: at }: Held): boolean => offsetBytes >= at && offsetBytes < at + this.#blockBytes;
    return this.#held.find(inside) ?? null;
  }
}
