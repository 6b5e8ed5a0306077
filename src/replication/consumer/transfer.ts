// Single transfers that are waited for, outside of the flow of blocks: headers, tails, what is read back of them.
import { limits } from '../../base/mod.ts';
import type { Device } from '../device/contract.ts';

/**
 * Moves one buffer of mapped memory and waits; nothing else may be in flight. Returns the bytes moved.
 * @throws the device's errors
 */
export function transferNow(device: Device, kind: 'read' | 'write', offsetBytes: number, buffer: Uint8Array): number {
  device.submit({ kind, tag: 0, offsetBytes, buffer });
  for (;;) {
    const completion = device.reap(limits.IO_TIMEOUT_MS)[0];
    if (completion === undefined) continue;
    if (completion.error !== null) throw completion.error;
    return completion.bytes;
  }
}

/** Bytes of a device at any offset, through a buffer of whole pages: so that they can come past the page cache. */
export class Window {
  readonly #device: Device;
  readonly #buffer: Uint8Array;

  /** `buffer`: mapped memory; its length is a multiple of a page, and no held range of the device ends within so many bytes. */
  constructor(device: Device, buffer: Uint8Array) {
    this.#device = device;
    this.#buffer = buffer;
  }

  /** A copy; shorter where the device ends. */
  read(offsetBytes: number, lengthBytes: number): Uint8Array {
    const out = new Uint8Array(lengthBytes);
    const size = this.#buffer.byteLength;
    let done = 0;
    while (done < lengthBytes) {
      const at = offsetBytes + done;
      const block = at - (at % size);
      const page = at - (at % limits.PAGE_BYTES);
      const need = Math.min(block + size, offsetBytes + lengthBytes) - page;
      const whole = Math.ceil(need / limits.PAGE_BYTES) * limits.PAGE_BYTES;
      const got = transferNow(this.#device, 'read', page, this.#buffer.subarray(0, whole));
      const piece = this.#buffer.subarray(at - page, Math.min(got, need));
      if (piece.byteLength === 0) return out.subarray(0, done);
      out.set(piece, done);
      done += piece.byteLength;
    }
    return out;
  }

  write(offsetBytes: number, bytes: Uint8Array): void {
    const size = this.#buffer.byteLength;
    for (let done = 0; done < bytes.byteLength; done += size) {
      const piece = bytes.subarray(done, done + size);
      this.#buffer.set(piece);
      transferNow(this.#device, 'write', offsetBytes + done, this.#buffer.subarray(0, piece.byteLength));
    }
  }
}
