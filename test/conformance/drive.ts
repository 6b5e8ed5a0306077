// Driving a device from tests: patterned content, many transfers in flight, everything accounted for.
import { assert, present, type Random } from '../../src/base/mod.ts';
import { allocatePages, type Mapping } from '../../src/linux/mod.ts';
import type { Completion, Device } from '../../src/replication/device/contract.ts';
import { patience } from '../rig/patience.ts';

/** No completion within this is a failure of the driver, not of patience. */
const STALL_MS = patience(20_000);

export interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Bytes that tell where they belong: no two pages are equal, and none is zero. */
export function patternBytes(sizeBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed * 0x9e37_79b1;
  for (let at = 0; at < sizeBytes; at++) {
    if (at % 512 === 0) state = Math.imul(at / 512 + seed, 0x85eb_ca6b) ^ 0x27d4_eb2f;
    state = (Math.imul(state, 0x0019_660d) + 0x3c6e_f35f) | 0;
    bytes[at] = (state >>> 24) | 1;
  }
  return bytes;
}

/** Cuts [0, sizeBytes) into blocks, the last one short. */
export function blocksOf(sizeBytes: number, blockBytes: number): Range[] {
  const out: Range[] = [];
  for (let at = 0; at < sizeBytes; at += blockBytes) {
    out.push({ offsetBytes: at, lengthBytes: Math.min(blockBytes, sizeBytes - at) });
  }
  return out;
}

export function shuffled<T>(list: readonly T[], random: Random): T[] {
  const out = [...list];
  for (let index = out.length - 1; index > 0; index--) {
    const other = random.below(index + 1);
    const held = present(out[index], 'item');
    out[index] = present(out[other], 'item');
    out[other] = held;
  }
  return out;
}

export interface Drive {
  /** One for each range, in their order. */
  readonly completions: readonly Completion[];
  /** Most transfers that were in flight. */
  readonly inFlightMax: number;
}

/**
 * Does a transfer for every range, as many in flight as the device allows; range i has tag i and the view `views[i]`.
 * Fails when a tag completes twice or was never asked, or when nothing completes.
 */
export function drive(
  device: Device,
  kind: 'read' | 'write',
  ranges: readonly Range[],
  views: readonly Uint8Array[],
): Drive {
  const completions = new Array<Completion | undefined>(ranges.length).fill(undefined);
  let submitted = 0;
  let completed = 0;
  let inFlightMax = 0;
  while (completed < ranges.length) {
    while (submitted < ranges.length && submitted - completed < device.info.depth) {
      const range = present(ranges[submitted], 'range');
      const buffer = present(views[submitted], 'view');
      device.submit({ kind, tag: submitted, offsetBytes: range.offsetBytes, buffer });
      submitted += 1;
    }
    inFlightMax = Math.max(inFlightMax, submitted - completed);
    const reaped = device.reap(STALL_MS);
    assert(reaped.length > 0, `a completion within ${STALL_MS} ms of ${submitted - completed} in flight`);
    for (const completion of reaped) {
      assert(completion.tag < submitted, `tag ${completion.tag} was asked for`);
      assert(completions[completion.tag] === undefined, `tag ${completion.tag} completes once`);
      completions[completion.tag] = completion;
      completed += 1;
    }
  }
  assert(device.reap(0).length === 0, 'nothing is left to reap');
  return { completions: completions.map((completion) => present(completion, 'completion')), inFlightMax };
}

/** Memory for transfers, unmapped by `release`. */
export class Buffers {
  readonly #mappings: Mapping[] = [];

  /** Page-aligned views, one for each length; content undefined. */
  views(lengths: readonly number[]): Uint8Array[] {
    return lengths.map((length) => {
      const mapping = allocatePages(Math.max(1, length));
      this.#mappings.push(mapping);
      return new Uint8Array(mapping.buffer, 0, length);
    });
  }

  release(): void {
    for (const mapping of this.#mappings.splice(0)) mapping.unmap();
  }
}

/** Reads a device to its end in ascending order, one block at a time, and fails on any error. */
export function readToEnd(device: Device, blockBytes: number): Uint8Array {
  const buffers = new Buffers();
  const parts: Uint8Array[] = [];
  const [view] = buffers.views([blockBytes]);
  try {
    for (let at = 0; ; at += blockBytes) {
      const { completions } = drive(
        device,
        'read',
        [{ offsetBytes: at, lengthBytes: blockBytes }],
        [present(view, 'view')],
      );
      const { bytes, error } = present(completions[0], 'completion');
      if (error !== null) throw error;
      parts.push(present(view, 'view').slice(0, bytes));
      if (bytes < blockBytes) return Buffer.concat(parts);
    }
  } finally {
    buffers.release();
  }
}

/** Writes bytes from the start of a device, as many blocks in flight as it allows, and fails on any error. */
export function writeAll(device: Device, content: Uint8Array, blockBytes: number, random?: Random): Drive {
  const buffers = new Buffers();
  try {
    const inOrder = blocksOf(content.byteLength, blockBytes);
    const ranges = random === undefined ? inOrder : shuffled(inOrder, random);
    const views = buffers.views(ranges.map((range) => range.lengthBytes));
    for (const [index, range] of ranges.entries()) {
      const from = range.offsetBytes;
      present(views[index], 'view').set(content.subarray(from, from + range.lengthBytes));
    }
    const result = drive(device, 'write', ranges, views);
    for (const { error } of result.completions) if (error !== null) throw error;
    return result;
  } finally {
    buffers.release();
  }
}
