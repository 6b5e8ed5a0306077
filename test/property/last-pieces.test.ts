// Goal: the power may go at any moment of the end of a copy to a disk. Method: the real code on a disk in memory that loses its
// power before each of its operations in turn; what was not flushed by then is there or is not, in any combination.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Random, requireTool, seededRandom } from '../../src/base/mod.ts';
import { HeldDevice } from '../../src/replication/consumer/held-device.ts';
import { LastPieces, type LastPiecesWorld } from '../../src/replication/consumer/last-pieces.ts';
import type { Completion, Device, DeviceInfo, Transfer } from '../../src/replication/device/contract.ts';
import { randomBytesOf } from '../rig/content.ts';
import { PROPERTY_MS_MAX } from './check.ts';

const KIB = 1024;
const IMAGE_BYTES = 1024 * KIB;

class PowerCut extends Error {}

/** A disk whose power goes before its operation number `cutAt`. */
class FragileDisk implements Device {
  readonly info: DeviceInfo;
  readonly bytes: Uint8Array;
  operations = 0;
  readonly #durable: Uint8Array;
  readonly #cutAt: number;
  readonly #random: Random;
  #dirty: { readonly from: number; readonly to: number }[] = [];
  #done: Completion[] = [];
  #off = false;

  constructor(bytes: Uint8Array, cutAt: number, random: Random) {
    this.bytes = bytes.slice();
    this.#durable = bytes.slice();
    this.#cutAt = cutAt;
    this.#random = random;
    this.info = {
      uri: 'disk',
      identity: 'disk',
      sizeBytes: bytes.byteLength,
      access: 'random',
      alignmentBytes: 512,
      depth: 2,
      cached: false,
    };
  }

  #operate(): void {
    if (this.#off) return;
    this.operations += 1;
    if (this.operations < this.#cutAt) return;
    this.#off = true;
    // Sector by sector, what was not flushed is on the disk or is not.
    for (const { from, to } of this.#dirty) {
      for (let at = from; at < to; at += 512) {
        const end = Math.min(at + 512, to);
        if (this.#random.next() < 0.5) this.#durable.set(this.bytes.subarray(at, end), at);
      }
    }
    this.bytes.set(this.#durable);
    throw new PowerCut();
  }

  submit({ kind, tag, offsetBytes, buffer }: Transfer): void {
    const bytes = Math.min(buffer.byteLength, this.bytes.byteLength - offsetBytes);
    if (kind === 'read') buffer.set(this.bytes.subarray(offsetBytes, offsetBytes + bytes));
    else {
      this.#operate();
      if (!this.#off) this.bytes.set(buffer, offsetBytes);
      this.#dirty.push({ from: offsetBytes, to: offsetBytes + buffer.byteLength });
    }
    this.#done.push({ tag, bytes, error: null });
  }

  reap(): readonly Completion[] {
    const done = this.#done;
    this.#done = [];
    return done;
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    this.#operate();
    if (!this.#off) this.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
    this.#dirty.push({ from: offsetBytes, to: offsetBytes + lengthBytes });
  }

  flush(): void {
    this.#operate();
    this.#durable.set(this.bytes);
    this.#dirty = [];
  }

  extents(): null {
    return null;
  }

  fingerprint(): string {
    return '';
  }

  close(): void {}
}

interface Ended {
  readonly disk: FragileDisk;
  readonly cut: boolean;
  /** Blocks that a resumed copy would take to be there. */
  readonly recorded: ReadonlySet<number>;
}

let image: Buffer;
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'last-pieces-'));
  const path = join(folder, 'image');
  writeFileSync(path, randomBytesOf(3, IMAGE_BYTES));
  for (const args of [['-Z'], ['-o', '-a', '8', '-n', '1:40:1000', '-n', '2:1001:0']]) {
    const done = spawnSync(requireTool('sgdisk', 'gdisk'), [...args, path], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(done.stderr);
  }
  image = readFileSync(path);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The end of a copy, where all but what is held is on the disk. */
function end(blockBytes: number, spareBytes: number, cutAt: number, seed: number, verify: boolean): Ended {
  const before = Buffer.concat([image, randomBytesOf(7, spareBytes)]);
  before.fill(0, 0, Math.min(blockBytes, IMAGE_BYTES));
  if (spareBytes === 0 && blockBytes < IMAGE_BYTES) before.fill(0, IMAGE_BYTES - blockBytes);
  const disk = new FragileDisk(before, cutAt, seededRandom(seed));
  const allocate = (bytes: number): Uint8Array => new Uint8Array(bytes);
  const held = new HeldDevice(disk, { blockBytes, imageBytes: IMAGE_BYTES, allocate });
  const unrecorded = new Set(held.blocks);
  for (const block of held.blocks) {
    const buffer = image.subarray(block * blockBytes, (block + 1) * blockBytes);
    held.submit({ kind: 'write', tag: 0, offsetBytes: block * blockBytes, buffer });
    held.reap(0);
  }
  const all = Array.from({ length: Math.ceil(IMAGE_BYTES / blockBytes) }, (_, block) => block);
  let recorded = new Set(all.filter((block) => !unrecorded.has(block)));
  const world = {
    task: { target: { kind: 'block', uri: 'disk' }, gpt: 'move', resumable: true },
    ring: { geometry: { blockBytes } },
    target: { device: disk },
    held,
    ledger: { unrecorded },
    keeper: {
      keep() {
        disk.flush();
        recorded = new Set(all.filter((block) => !unrecorded.has(block)));
      },
    },
    verify,
    page: new Uint8Array(blockBytes),
    activity() {},
  } as unknown as LastPiecesWorld;
  try {
    new LastPieces(world).write(IMAGE_BYTES);
    return { disk, cut: false, recorded };
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    return { disk, cut: true, recorded };
  }
}

describe('the end of a copy to a disk', () => {
  test.each([0, 512, 20 * 512, 40 * 512, 300 * 512])(
    'may lose its power at any moment: %d bytes more than the image',
    (spareBytes) => {
      for (const blockBytes of [64 * KIB, 256 * KIB, 2048 * KIB]) {
        const whole = end(blockBytes, spareBytes, Number.POSITIVE_INFINITY, 1, false);
        expect(whole.disk.operations).toBeGreaterThan(3);
        for (let cutAt = 1; cutAt <= whole.disk.operations; cutAt++) {
          for (let seed = 1; seed <= 4; seed++) {
            const { disk, cut, recorded } = end(blockBytes, spareBytes, cutAt, seed, false);
            expect(cut).toBe(true);
            const place = { blockBytes, cutAt, seed };
            const started = disk.bytes.subarray(0, 4096).some((byte) => byte !== 0);
            const complete = Buffer.compare(disk.bytes.subarray(4096), whole.disk.bytes.subarray(4096)) === 0;
            expect({ ...place, wrong: started && !complete }).toEqual({ ...place, wrong: false });
            for (const block of recorded) {
              const from = block * blockBytes;
              const there = Buffer.compare(
                disk.bytes.subarray(from, from + blockBytes),
                image.subarray(from, from + blockBytes),
              );
              expect({ ...place, block, there }).toEqual({ ...place, block, there: 0 });
            }
          }
        }
      }
    },
    PROPERTY_MS_MAX,
  );

  test('leaves tables in which sgdisk finds nothing to mend, with --verify and without', () => {
    for (const verify of [true, false]) {
      const { disk } = end(64 * KIB, 300 * 512, Number.POSITIVE_INFINITY, 1, verify);
      const path = join(folder, 'disk');
      writeFileSync(path, disk.bytes);
      const done = spawnSync(requireTool('sgdisk', 'gdisk'), ['-v', path], { encoding: 'utf8' });
      expect(done.stdout).toContain('No problems found');
    }
  });
});
