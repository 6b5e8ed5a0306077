// A target in the simulated world that is a disk: its first block is held back to the end, and so is the one at its end.
import { HeldDevice } from '../../src/replication/consumer/held-device.ts';
import { transferNow } from '../../src/replication/consumer/transfer.ts';
import type { Device } from '../../src/replication/device/contract.ts';
import { BLOCK_BYTES } from './scenario.ts';
import { Violation } from './world.ts';

export class HeldTarget {
  readonly device: HeldDevice;
  readonly #name: string;
  readonly #below: Device;
  readonly #disk: Uint8Array;
  #released = false;

  /** `disk`: what `below` holds, to be looked at behind everybody's back. */
  constructor(name: string, below: Device, disk: Uint8Array, imageBytes: number | null) {
    const allocate = (bytes: number): Uint8Array => new Uint8Array(bytes);
    this.device = new HeldDevice(below, { blockBytes: BLOCK_BYTES, imageBytes, allocate });
    this.#name = name;
    this.#below = below;
    this.#disk = disk;
    this.device.begin();
  }

  /** Whatever happens before the end, the target has no first block. */
  check(): void {
    if (this.#released || this.#disk.subarray(0, BLOCK_BYTES).every((byte) => byte === 0)) return;
    throw new Violation(`${this.#name} has written its first block before its end`);
  }

  /** As the end of a session. */
  release(imageBytes: number): void {
    this.check();
    this.#released = true;
    this.device.settle(imageBytes);
    const tail = this.device.takeTail();
    for (const { offsetBytes, bytes } of [...(tail === null ? [] : [tail]), ...this.device.headPieces]) {
      transferNow(this.#below, 'write', offsetBytes, bytes);
    }
  }
}
