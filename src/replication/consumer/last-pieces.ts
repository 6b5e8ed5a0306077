// What makes a disk of a copy, written when all the rest is durable: the block at the end of the disk, the backup of a GPT
// where the disk is larger than its image, and the first block, whose first page is the last write of all.
//
//   crash before the last write:  no partition table, not bootable; --resume copies what is missing
//   crash after it:               complete
import { limits, messageOf } from '../../base/mod.ts';
import type { Device } from '../device/contract.ts';
import { type GptPlan, type Piece, planGpt } from '../gpt/mod.ts';
import type { Ring } from '../ring/mod.ts';
import type { Target } from '../target/mod.ts';
import type { HeldDevice, HeldPiece } from './held-device.ts';
import type { Ledger } from './ledger.ts';
import type { ConsumerTask, GptReport } from './options.ts';
import type { ProgressKeeper } from './progress-keeper.ts';
import { badMedium } from './rewrites.ts';
import { Window } from './transfer.ts';

export interface LastPiecesWorld {
  readonly task: ConsumerTask;
  readonly ring: Ring;
  readonly target: Target;
  /** What is held, on top of the target. */
  readonly held: HeldDevice;
  readonly ledger: Ledger;
  readonly keeper: ProgressKeeper;
  /** Read back what is written. */
  readonly verify: boolean;
  /** Mapped memory of one block. */
  readonly page: Uint8Array;
  activity(name: 'flushing'): void;
}

export class LastPieces {
  readonly #world: LastPiecesWorld;
  /** The target itself, below what is held. */
  readonly #disk: Device;

  constructor(world: LastPiecesWorld) {
    this.#world = world;
    this.#disk = world.target.device;
  }

  /** @throws VERIFY_MISMATCH and others; then the target has no partition table, as far as it can still be written */
  write(imageBytes: number): GptReport | null {
    const { held } = this.#world;
    this.#world.activity('flushing');
    held.settle(imageBytes);
    const tail = held.takeTail();
    if (tail !== null) this.#put(tail);
    const plan = this.#planGpt(imageBytes);
    if (plan !== null) this.#moveBackup(plan, imageBytes);
    try {
      for (const piece of held.headPieces) this.#put(piece);
      for (const piece of [...(plan?.backup ?? []), ...(plan?.primary ?? [])]) this.#compare(piece);
    } catch (error) {
      this.#unmake(held);
      throw error;
    }
    return plan === null ? null : reportOf(plan);
  }

  /** Null where partition tables are none of our business: servers have no disk that we know, and files no end. */
  #planGpt(imageBytes: number): GptPlan | null {
    const { task, held, page } = this.#world;
    const { sizeBytes, alignmentBytes } = this.#disk.info;
    if (task.target.kind !== 'block' || sizeBytes === null) return null;
    const image = new Window(held, page);
    const disk = new Window(this.#disk, page);
    const plan = planGpt({
      policy: task.gpt,
      imageBytes,
      deviceBytes: sizeBytes,
      sectorBytes: alignmentBytes,
      read: (offset, length) => (offset < imageBytes ? image : disk).read(offset, length),
    });
    return plan.action === 'none' ? null : plan;
  }

  #moveBackup({ backup, clear, primary }: GptPlan, imageBytes: number): void {
    const { ledger, keeper, ring, task } = this.#world;
    // A copy that is interrupted from here on must not go on with an image whose end is not the image's any more.
    const { blockBytes } = ring.geometry;
    const ranges = [
      ...backup.map(({ offsetBytes, bytes }) => ({ offsetBytes, lengthBytes: bytes.byteLength })),
      ...clear,
    ];
    const own = ranges.filter(({ offsetBytes }) => offsetBytes < imageBytes);
    for (const { offsetBytes, lengthBytes } of own) {
      const last = Math.floor((Math.min(offsetBytes + lengthBytes, imageBytes) - 1) / blockBytes);
      for (let block = Math.floor(offsetBytes / blockBytes); block <= last; block++) ledger.unrecorded.add(block);
    }
    if (own.length > 0 && task.resumable) keeper.keep(true);
    for (const piece of backup) this.#change(piece);
    for (const { offsetBytes, lengthBytes } of clear) this.#change({ offsetBytes, bytes: new Uint8Array(lengthBytes) });
    for (const piece of primary) this.#change(piece);
  }

  /** In memory as far as it lies in what is held, on the target where it does not. */
  #change({ offsetBytes, bytes }: Piece): void {
    const inMemory = this.#world.held.patch(offsetBytes, bytes);
    const rest = bytes.subarray(inMemory);
    if (rest.byteLength > 0) this.#put({ offsetBytes: offsetBytes + inMemory, bytes: rest });
  }

  /** Writes, makes durable, and reads back with --verify; again, as other blocks, when that gives other bytes. */
  #put({ offsetBytes, bytes, zero = false }: HeldPiece): void {
    for (let times = 1; ; times++) {
      if (zero && times === 1) this.#disk.zero(offsetBytes, bytes.byteLength);
      else new Window(this.#disk, this.#world.page).write(offsetBytes, bytes);
      this.#disk.flush();
      if (!this.#world.verify || this.#reads({ offsetBytes, bytes })) return;
      if (times > limits.REWRITES_MAX) throw badMedium(offsetBytes, bytes.byteLength, times);
    }
  }

  #reads({ offsetBytes, bytes }: Piece): boolean {
    const read = new Window(this.#disk, this.#world.page).read(offsetBytes, bytes.byteLength);
    return Buffer.compare(read, bytes) === 0;
  }

  /** Both GPTs are read back, with or without --verify: their CRCs are right where the bytes are those that were made. */
  #compare(piece: Piece): void {
    if (!this.#reads(piece)) throw badMedium(piece.offsetBytes, piece.bytes.byteLength, 1);
  }

  /** After a failure here the first page may be on the target. The failure is what is told, not that of this try. */
  #unmake(held: HeldDevice): void {
    try {
      held.unmake();
    } catch (error) {
      process.emitWarning(`the first sectors of ${this.#world.task.target.uri} may be written: ${messageOf(error)}`);
    }
  }
}

function reportOf({ action, note, backup, clear, primary }: GptPlan): GptReport {
  const pieces = [...primary, ...backup].map(({ offsetBytes, bytes }) => ({
    offsetBytes,
    lengthBytes: bytes.byteLength,
  }));
  const ranges = [...pieces, ...clear].sort((a, b) => a.offsetBytes - b.offsetBytes);
  return { action: action === 'none' ? 'kept' : action, note, ranges };
}
