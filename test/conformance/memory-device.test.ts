import { describe, expect, it } from 'vitest';
import { present } from '../../src/base/mod.ts';
import { type DeviceStorage, describeDevice } from './device.ts';
import { Buffers, blocksOf, drive, patternBytes, writeAll } from './drive.ts';
import { MemoryStorage, type MemoryStorageOptions } from './memory-device.ts';

const MIB = 1024 * 1024;

function storageOf(content: Uint8Array, options: MemoryStorageOptions = {}): DeviceStorage {
  const storage = new MemoryStorage(content, options);
  return {
    open: (role) => storage.open(role),
    content: () => storage.bytes,
    dispose: () => expect(storage.openCount).toBe(0),
  };
}

for (const seed of [1, 2, 3]) {
  describeDevice(`memory, seed ${seed}`, {
    create: (content) => storageOf(content, { seed, depth: seed * 2 - 1 }),
    faults: {
      read: (content) => storageOf(content, { seed, faults: [{ kind: 'read', code: 'SOURCE_READ_FAILED' }] }),
      write: (content) => storageOf(content, { seed, faults: [{ kind: 'write', code: 'TARGET_WRITE_FAILED' }] }),
      full: (content) => storageOf(content, { seed, faults: [{ kind: 'write', code: 'TARGET_FULL' }] }),
      flush: (content) => storageOf(content, { seed, faults: [{ kind: 'flush', code: 'TARGET_FLUSH_FAILED' }] }),
    },
  });
}
for (const access of ['rewind', 'once'] as const) {
  describeDevice(
    `memory as a stream, ${access}`,
    { create: (content) => storageOf(content, { access, sizeKnown: false }) },
    { sequential: access, sourceOnly: true },
  );
}

describe('memory device', () => {
  it('does the same for the same seed, and something else for another', () => {
    const orderOf = (seed: number) => {
      const buffers = new Buffers();
      const device = new MemoryStorage(patternBytes(MIB), { seed, depth: 8 }).open('source');
      const order: number[] = [];
      for (const [tag, buffer] of buffers.views(new Array<number>(8).fill(4096)).entries()) {
        device.submit({ kind: 'read', tag, offsetBytes: tag * 4096, buffer });
      }
      for (let done = device.reap(1); done.length > 0; done = device.reap(1)) order.push(...done.map(({ tag }) => tag));
      device.close();
      buffers.release();
      return order.join();
    };
    expect(orderOf(5)).toBe(orderOf(5));
    expect(new Set([1, 2, 3, 4].map(orderOf)).size).toBeGreaterThan(1);
  });

  it('loses with a power cut what was not flushed', () => {
    const storage = new MemoryStorage(new Uint8Array(MIB));
    const device = storage.open('target');
    writeAll(device, patternBytes(MIB / 2, 1), 65_536);
    device.flush();
    writeAll(device, patternBytes(MIB, 2), 65_536);
    storage.powerCut();
    expect(Buffer.compare(storage.bytes.subarray(0, MIB / 2), patternBytes(MIB / 2, 1))).toBe(0);
    expect(storage.bytes.subarray(MIB / 2).every((byte) => byte === 0)).toBe(true);
    device.close();
  });

  it('fails where and as often as it is told, and leaves rubbish in the buffer of a failed read', () => {
    const fault = { kind: 'read', code: 'SOURCE_READ_FAILED', offsetBytes: 70_000, lengthBytes: 1, times: 1 } as const;
    const storage = new MemoryStorage(patternBytes(MIB), { faults: [fault] });
    const device = storage.open('source');
    const buffers = new Buffers();
    const ranges = blocksOf(MIB, 65_536);
    const views = buffers.views(ranges.map(({ lengthBytes }) => lengthBytes));
    const failed = drive(device, 'read', ranges, views).completions.filter(({ error }) => error !== null);
    expect(failed.map(({ tag }) => tag)).toEqual([1]);
    expect(present(views[1], 'view').every((byte) => byte === 0xdb)).toBe(true);
    expect(drive(device, 'read', ranges, views).completions.every(({ error }) => error === null)).toBe(true);
    device.close();
    buffers.release();
  });
});
