// The suite that every driver of device/contract.ts must pass. A driver's test gives storage with known bytes behind the
// driver; the suite looks at what the driver makes of it, and at what is on the storage afterwards.
import { afterEach, describe, expect, it } from 'vitest';
import { codeOf, type ErrorCode, limits, present, seededRandom } from '../../src/base/mod.ts';
import type { Device, DeviceRole } from '../../src/replication/device/contract.ts';
import { Buffers, blocksOf, drive, patternBytes, readToEnd, shuffled, writeAll } from './drive.ts';

/** Storage of one test. */
export interface DeviceStorage {
  /** A device on it; the suite closes it. Sources may be opened several times, also at once, unless `sequential` is 'once'. */
  open(role: DeviceRole): Device;
  /** What another program reads there. Called when no device is open. */
  content(): Uint8Array | Promise<Uint8Array>;
  /** Removes the storage. */
  dispose(): void | Promise<void>;
}

/** Every request of the kind fails: 'full' is a write for which there is no room. */
export type DeviceFault = 'read' | 'write' | 'full' | 'flush';

export interface DeviceFactory {
  /** Storage that holds exactly these bytes. */
  create(content: Uint8Array): DeviceStorage | Promise<DeviceStorage>;
  /** Storage that fails; drivers whose storage cannot be made to fail in a way leave that one out. */
  readonly faults?: Partial<Record<DeviceFault, (content: Uint8Array) => DeviceStorage | Promise<DeviceStorage>>>;
}

export interface DeviceCapabilities {
  /** The storage cannot be written: opening it as a target must fail with TARGET_READ_ONLY. Not for sources-only drivers. */
  readonly readOnly?: boolean;
  /** The driver cannot be a target at all: nothing of writing is tested. */
  readonly sourceOnly?: boolean;
  /** A stream; offsets come in ascending order. */
  readonly sequential?: 'rewind' | 'once';
  /** Sizes that the storage can have (512 for loop devices). @default 1 */
  readonly sizeMultipleBytes?: number;
}

const BLOCK_BYTES = 256 * limits.KIB;
/** One byte, less than a sector, whole blocks, and nothing round: the last block is short. */
const SIZES = [1, 511, 3 * BLOCK_BYTES, 10 * BLOCK_BYTES + 12_345];
const FAULT_CODES: Record<DeviceFault, ErrorCode> = {
  read: 'SOURCE_READ_FAILED',
  write: 'TARGET_WRITE_FAILED',
  full: 'TARGET_FULL',
  flush: 'TARGET_FLUSH_FAILED',
};

/** What a test makes is undone when it ends, however it ends. */
class Bench {
  readonly buffers = new Buffers();
  readonly #devices: Device[] = [];
  readonly #storages: DeviceStorage[] = [];

  async storage(made: DeviceStorage | Promise<DeviceStorage>): Promise<DeviceStorage> {
    const storage = await made;
    this.#storages.push(storage);
    return storage;
  }

  open(storage: DeviceStorage, role: DeviceRole): Device {
    const device = storage.open(role);
    this.#devices.push(device);
    return device;
  }

  async clear(): Promise<void> {
    for (const device of this.#devices.splice(0)) device.close();
    this.buffers.release();
    for (const storage of this.#storages.splice(0)) await storage.dispose();
  }
}

interface Context {
  readonly bench: Bench;
  readonly factory: DeviceFactory;
  readonly sizes: readonly number[];
  /** The largest of them. */
  readonly sizeBytes: number;
}

/** Declares the suite for one driver. */
export function describeDevice(name: string, factory: DeviceFactory, capabilities: DeviceCapabilities = {}): void {
  const multiple = capabilities.sizeMultipleBytes ?? 1;
  const sizes = [...new Set(SIZES.map((size) => Math.ceil(size / multiple) * multiple))];
  const context = { bench: new Bench(), factory, sizes, sizeBytes: present(sizes.at(-1), 'size') };
  const writable = capabilities.readOnly !== true && capabilities.sourceOnly !== true;
  describe(`device contract - ${name}`, () => {
    afterEach(() => context.bench.clear());
    describeInfo(context, capabilities);
    if (capabilities.sequential === undefined) describeRandomReads(context);
    else describeStream(context, capabilities.sequential);
    describeExtents(context);
    if (writable) {
      describeWrites(context);
      describeZero(context);
    }
    if (capabilities.readOnly === true) {
      it('is refused as a target when it is read-only', async () => {
        const storage = await context.bench.storage(factory.create(patternBytes(context.sizeBytes)));
        expect(codeThrown(() => context.bench.open(storage, 'target'))).toBe('TARGET_READ_ONLY');
      });
    }
    describeFaults(context);
    describeClosing(context, writable);
  });
}

function codeThrown(action: () => unknown): ErrorCode | null {
  try {
    action();
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return code;
  }
  return null;
}

function describeInfo({ bench, factory, sizeBytes }: Context, capabilities: DeviceCapabilities): void {
  it('says what it is, the same each time', async () => {
    const storage = await bench.storage(factory.create(patternBytes(sizeBytes)));
    const device = bench.open(storage, 'source');
    const { info } = device;
    expect(info.access).toBe(capabilities.sequential ?? 'random');
    expect(info.sizeBytes === null || info.sizeBytes === sizeBytes).toBe(true);
    if (capabilities.sequential === undefined) expect(info.sizeBytes).toBe(sizeBytes);
    expect(info.depth).toBeGreaterThanOrEqual(1);
    expect(limits.BLOCK_BYTES_MIN % info.alignmentBytes).toBe(0);
    expect(info.uri).not.toBe('');
    expect(info.identity).not.toBe('');
    expect(device.fingerprint()).toBe(device.fingerprint());
    if (capabilities.sequential === 'once') return;
    const again = bench.open(storage, 'source');
    expect(again.info).toEqual(info);
    expect(again.fingerprint()).toBe(device.fingerprint());
  });

  it('gives nothing to reap, at once, while nothing is in flight', async () => {
    const device = bench.open(await bench.storage(factory.create(patternBytes(sizeBytes))), 'source');
    const before = performance.now();
    expect(device.reap(10_000)).toEqual([]);
    expect(performance.now() - before).toBeLessThan(5000);
  });
}

function describeRandomReads({ bench, factory, sizes, sizeBytes }: Context): void {
  it.each(sizes)('reads %d bytes in order, the last block short', async (size) => {
    const content = patternBytes(size);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    expect(Buffer.compare(readToEnd(device, BLOCK_BYTES), content)).toBe(0);
  });

  it('reads in any order with all transfers in flight, completing every tag once and touching its view only', async () => {
    const content = patternBytes(sizeBytes);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    const ranges = shuffled(blocksOf(sizeBytes, BLOCK_BYTES), seededRandom(7));
    // Each view lies between two pages that must stay as they are.
    const guard = limits.PAGE_BYTES;
    const wholes = bench.buffers.views(ranges.map(() => BLOCK_BYTES + 2 * guard));
    for (const whole of wholes) whole.fill(0xa5);
    const views = wholes.map((whole) => whole.subarray(guard, guard + BLOCK_BYTES));
    const { completions, inFlightMax } = drive(device, 'read', ranges, views);
    expect(inFlightMax).toBe(Math.min(device.info.depth, ranges.length));
    for (const [index, range] of ranges.entries()) {
      expect(completions[index]).toEqual({ tag: index, bytes: range.lengthBytes, error: null });
      const whole = Buffer.from(present(wholes[index], 'view'));
      const wanted = content.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes);
      expect(whole.subarray(guard, guard + range.lengthBytes).equals(wanted)).toBe(true);
      expect(whole.subarray(0, guard).every((byte) => byte === 0xa5)).toBe(true);
      expect(whole.subarray(guard + BLOCK_BYTES).every((byte) => byte === 0xa5)).toBe(true);
    }
  });

  it('reads nothing beyond its end', async () => {
    const device = bench.open(await bench.storage(factory.create(patternBytes(sizeBytes))), 'source');
    const at = Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    const views = bench.buffers.views([BLOCK_BYTES]);
    const { completions } = drive(device, 'read', [{ offsetBytes: at, lengthBytes: BLOCK_BYTES }], views);
    expect(completions).toEqual([{ tag: 0, bytes: 0, error: null }]);
  });

  it('reads the same range twice at once', async () => {
    const content = patternBytes(sizeBytes);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    const range = { offsetBytes: BLOCK_BYTES, lengthBytes: BLOCK_BYTES };
    const views = bench.buffers.views([BLOCK_BYTES, BLOCK_BYTES]);
    drive(device, 'read', [range, range], views);
    const wanted = content.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES);
    for (const view of views) expect(Buffer.compare(view, wanted)).toBe(0);
  });
}

function describeStream({ bench, factory, sizes, sizeBytes }: Context, sequential: 'rewind' | 'once'): void {
  it.each(sizes)('reads %d bytes in ascending order, the last block short', async (size) => {
    const content = patternBytes(size);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    expect(Buffer.compare(readToEnd(device, BLOCK_BYTES), content)).toBe(0);
  });

  it('keeps its transfers in order with all of them in flight', async () => {
    const content = patternBytes(sizeBytes);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    const ranges = blocksOf(sizeBytes, BLOCK_BYTES);
    const views = bench.buffers.views(ranges.map(() => BLOCK_BYTES));
    const { completions } = drive(device, 'read', ranges, views);
    for (const [index, range] of ranges.entries()) {
      expect(completions[index]).toEqual({ tag: index, bytes: range.lengthBytes, error: null });
      const got = present(views[index], 'view').subarray(0, range.lengthBytes);
      expect(Buffer.compare(got, content.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes))).toBe(0);
    }
  });

  it(sequential === 'rewind' ? 'starts again for an earlier offset' : 'refuses an earlier offset', async () => {
    const content = patternBytes(sizeBytes);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    readToEnd(device, BLOCK_BYTES);
    const views = bench.buffers.views([BLOCK_BYTES]);
    const range = { offsetBytes: BLOCK_BYTES, lengthBytes: BLOCK_BYTES };
    const [completion] = drive(device, 'read', [range], views).completions;
    if (sequential === 'once') {
      expect(completion?.error?.code).toBe('SOURCE_NOT_REWINDABLE');
      return;
    }
    expect(completion?.error).toBe(null);
    expect(Buffer.compare(present(views[0], 'view'), content.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES))).toBe(0);
  });
}

function describeExtents({ bench, factory, sizeBytes }: Context): void {
  it('covers any range with extents, without gaps, calling zero only what reads as zeros', async () => {
    const content = patternBytes(sizeBytes);
    content.fill(0, 2 * BLOCK_BYTES, 5 * BLOCK_BYTES);
    const device = bench.open(await bench.storage(factory.create(content)), 'source');
    const ranges = [
      { offsetBytes: 0, lengthBytes: sizeBytes },
      { offsetBytes: BLOCK_BYTES, lengthBytes: 3 * BLOCK_BYTES },
      { offsetBytes: 9 * BLOCK_BYTES, lengthBytes: sizeBytes - 9 * BLOCK_BYTES },
    ];
    for (const { offsetBytes, lengthBytes } of ranges) {
      const extents = device.extents(offsetBytes, lengthBytes);
      if (extents === null) return;
      let at = offsetBytes;
      for (const extent of extents) {
        expect(extent.offsetBytes).toBe(at);
        expect(extent.lengthBytes).toBeGreaterThan(0);
        at += extent.lengthBytes;
        if (extent.zero) expect(content.subarray(extent.offsetBytes, at).every((byte) => byte === 0)).toBe(true);
      }
      expect(at).toBe(offsetBytes + lengthBytes);
    }
  });
}

function describeWrites({ bench, factory, sizes, sizeBytes }: Context): void {
  it.each(sizes)('writes %d bytes in any order with all transfers in flight, the last block short', async (size) => {
    const storage = await bench.storage(factory.create(new Uint8Array(size)));
    const device = bench.open(storage, 'target');
    const content = patternBytes(size, 3);
    const { completions, inFlightMax } = writeAll(device, content, BLOCK_BYTES, seededRandom(size));
    expect(completions.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(size);
    expect(inFlightMax).toBe(Math.min(device.info.depth, completions.length));
    device.flush();
    expect(Buffer.compare(readToEnd(device, BLOCK_BYTES), content)).toBe(0);
    device.close();
    expect(Buffer.compare(await storage.content(), content)).toBe(0);
  });

  it('flushes with writes in flight, and again with none', async () => {
    const storage = await bench.storage(factory.create(new Uint8Array(sizeBytes)));
    const device = bench.open(storage, 'target');
    const views = bench.buffers.views([BLOCK_BYTES]);
    const content = patternBytes(BLOCK_BYTES, 4);
    views[0]?.set(content);
    device.submit({ kind: 'write', tag: 0x7fff_ffff, offsetBytes: BLOCK_BYTES, buffer: present(views[0], 'view') });
    device.flush();
    expect(device.reap(10_000)).toEqual([{ tag: 0x7fff_ffff, bytes: BLOCK_BYTES, error: null }]);
    device.flush();
    device.close();
    const stored = await storage.content();
    expect(Buffer.compare(stored.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES), content)).toBe(0);
  });
}

function describeZero({ bench, factory, sizeBytes }: Context): void {
  const last = Math.floor(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
  it.each([
    ['a block', BLOCK_BYTES, BLOCK_BYTES],
    ['several blocks', 2 * BLOCK_BYTES, 5 * BLOCK_BYTES],
    ['the end', last, sizeBytes - last],
    ['everything', 0, sizeBytes],
  ])('zeroes %s and nothing else', async (_what, offsetBytes, lengthBytes) => {
    const content = patternBytes(sizeBytes, 5);
    const storage = await bench.storage(factory.create(content));
    const device = bench.open(storage, 'target');
    device.zero(offsetBytes, lengthBytes);
    content.fill(0, offsetBytes, offsetBytes + lengthBytes);
    expect(Buffer.compare(readToEnd(device, BLOCK_BYTES), content)).toBe(0);
    device.flush();
    device.close();
    expect(Buffer.compare(await storage.content(), content)).toBe(0);
  });

  it('writes again what it zeroed', async () => {
    const storage = await bench.storage(factory.create(patternBytes(sizeBytes, 5)));
    const device = bench.open(storage, 'target');
    device.zero(0, sizeBytes);
    const content = patternBytes(sizeBytes, 6);
    writeAll(device, content, BLOCK_BYTES);
    device.flush();
    device.close();
    expect(Buffer.compare(await storage.content(), content)).toBe(0);
  });
}

function describeFaults({ bench, factory, sizeBytes }: Context): void {
  for (const [fault, create] of Object.entries(factory.faults ?? {}) as [DeviceFault, DeviceFactory['create']][]) {
    const code = FAULT_CODES[fault];
    it(`answers a failing ${fault} with ${code}, and closes`, async () => {
      const storage = await bench.storage(create(patternBytes(sizeBytes)));
      const device = bench.open(storage, fault === 'read' ? 'source' : 'target');
      if (fault === 'flush') {
        const [range] = blocksOf(sizeBytes, BLOCK_BYTES);
        const written = present(range, 'a first block');
        drive(device, 'write', [written], bench.buffers.views([written.lengthBytes]));
        // Whoever is below says it once; asked again, the device must not say that all is well.
        for (let time = 0; time < 3; time++) expect(codeThrown(() => device.flush())).toBe(code);
      } else {
        const ranges = blocksOf(sizeBytes, BLOCK_BYTES);
        const views = bench.buffers.views(ranges.map((range) => range.lengthBytes));
        const { completions } = drive(device, fault === 'read' ? 'read' : 'write', ranges, views);
        for (const { error, bytes } of completions) {
          expect(error?.code).toBe(code);
          expect(bytes).toBe(0);
        }
      }
      device.close();
    });
  }
}

function describeClosing({ bench, factory, sizeBytes }: Context, writable: boolean): void {
  it('closes more than once', async () => {
    const device = bench.open(await bench.storage(factory.create(patternBytes(sizeBytes))), 'source');
    device.close();
    device.close();
  });

  it.each(writable ? (['read', 'write'] as const) : (['read'] as const))(
    'closes with a %s in flight, after which its buffer may go',
    async (kind) => {
      const storage = await bench.storage(factory.create(patternBytes(sizeBytes)));
      const device = bench.open(storage, kind === 'read' ? 'source' : 'target');
      const views = bench.buffers.views([BLOCK_BYTES]);
      device.submit({ kind, tag: 1, offsetBytes: 0, buffer: present(views[0], 'view') });
      device.close();
      bench.buffers.release();
    },
  );
}
