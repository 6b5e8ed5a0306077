// From an open source to a ring that is ready: sizes, memory, the map of zeros.
import { ftruncateSync } from 'node:fs';
import { errnoOf, limits, UnderstudyError } from '../../base/mod.ts';
import { allocatePages, reserveSpace } from '../../linux/mod.ts';
import type { Device, DeviceInfo } from '../device/contract.ts';
import { AccessKind, type Geometry, HEADER_BYTES, offsetsOf, type Ring, type RingHeader } from '../ring/mod.ts';
import { contentsText, judgeContents, LOOK_BYTES } from '../source/mod.ts';
import { reserveHugePages } from './huge-pages.ts';

/** What the size of a ring depends on. */
type Source = Pick<DeviceInfo, 'sizeBytes' | 'cached'>;

interface Wishes {
  readonly blockBytes: number | null;
  readonly bufferBytes: number | null;
}

/** @throws SOURCE_EMPTY, SOURCE_TOO_LARGE, USAGE */
export function chooseGeometry({ sizeBytes, cached }: Source, wishes: Wishes): Geometry {
  if (sizeBytes === 0) throw new UnderstudyError('SOURCE_EMPTY', 'the source holds no bytes');
  const blockBytes = wishes.blockBytes ?? limits.BLOCK_BYTES_DEFAULT;
  const blocks = sizeBytes === null ? limits.BLOCKS_MAX_UNKNOWN : Math.ceil(sizeBytes / blockBytes);
  if (blocks > limits.BLOCKS_MAX) {
    throw new UnderstudyError(
      'SOURCE_TOO_LARGE',
      `${blocks} blocks of ${blockBytes} bytes are more than ${limits.BLOCKS_MAX}; use a larger --block-size`,
    );
  }
  const buffer = wishes.bufferBytes ?? (cached ? limits.RING_BYTES_CACHED : limits.RING_BYTES_DEFAULT);
  const wanted = Math.min(Math.floor(buffer / blockBytes), 2 * blocks, limits.SLOTS_MAX);
  const slotCount = 2 ** Math.floor(Math.log2(Math.max(wanted, limits.SLOTS_MIN)));
  return { blockBytes, blockCapacity: blocks, slotCount };
}

/**
 * Gives the ring file its memory, reserved so that no process can meet a full /dev/shm (and SIGBUS) later. A ring of the
 * default size becomes smaller where there is less room; one whose size was asked for does not.
 * @throws RING_MEMORY
 */
export function reserveRing(fd: number, wanted: Geometry, mayShrink: boolean): Geometry {
  for (let slotCount = wanted.slotCount; ; slotCount /= 2) {
    const geometry = { ...wanted, slotCount };
    const { tablesEnd, dataAt, totalBytes } = offsetsOf(geometry);
    try {
      reserveSpace(fd, 0, tablesEnd);
      reserveHugePages(fd, dataAt, totalBytes - dataAt);
      reserveSpace(fd, dataAt, totalBytes - dataAt);
      return geometry;
    } catch (cause) {
      // What a failed try did reserve is given back before the next; the header page stays.
      ftruncateSync(fd, HEADER_BYTES);
      if (errnoOf(cause) !== 'ENOSPC') throw cause;
      if (mayShrink && slotCount / 2 >= limits.SLOTS_MIN) continue;
      throw new UnderstudyError(
        'RING_MEMORY',
        `shared memory has no room for a ring of ${totalBytes} bytes; make room, or use a smaller --buffer or --block-size`,
        { cause },
      );
    }
  }
}

/** Fills in what the source says; `state` is left to the caller, who makes the ring ready with it. */
export function describeSource(
  header: RingHeader,
  device: Device,
  geometry: Geometry,
  source: { identity: string; uri: string; fingerprint: string },
): void {
  const { sizeBytes, access } = device.info;
  header.set('blockBytes', geometry.blockBytes);
  header.set('blockCapacity', geometry.blockCapacity);
  header.set('slotCount', geometry.slotCount);
  header.set('blockCount', geometry.blockCapacity);
  header.set('access', AccessKind[access]);
  header.setDouble('sourceBytes', sizeBytes ?? 0);
  header.set('sizeKnown', sizeBytes === null ? 0 : 1);
  header.setText('sourceUri', source.uri);
  header.setText('sourceIdentity', source.identity);
  header.setText('fingerprint', source.fingerprint);
}

/** Marks the blocks that the source says are nothing but zeros. */
export function mapZeros(ring: Ring, device: Device): void {
  const { sizeBytes } = device.info;
  if (sizeBytes === null) return;
  const extents = device.extents(0, sizeBytes);
  if (extents === null) return;
  const { blockBytes } = ring.geometry;
  let zeroFrom = 0;
  let covered = 0;
  const addZeros = (from: number, to: number): void => {
    const last = to === sizeBytes ? Math.ceil(to / blockBytes) : Math.floor(to / blockBytes);
    const first = Math.ceil(from / blockBytes);
    if (last > first) ring.zeroMap.addRange(first, last);
  };
  for (const extent of extents) {
    if (!extent.zero) {
      addZeros(zeroFrom, extent.offsetBytes);
      zeroFrom = extent.offsetBytes + extent.lengthBytes;
    }
    covered = extent.offsetBytes + extent.lengthBytes;
  }
  addZeros(zeroFrom, Math.min(covered, sizeBytes));
}

/** What the first bytes of a device show, in the form of `contentsText`; '' where they cannot be read, which is met again. */
export function lookAtFront(device: Device): string {
  const sizeBytes = device.info.sizeBytes ?? 0;
  const memory = allocatePages(LOOK_BYTES);
  try {
    const buffer = new Uint8Array(memory.buffer, 0, Math.min(LOOK_BYTES, sizeBytes));
    device.submit({ kind: 'read', tag: 0, offsetBytes: 0, buffer });
    for (;;) {
      // A transfer that never completes is given up by the device itself.
      const [completion] = device.reap(limits.WAIT_MS_MAX);
      if (completion === undefined) continue;
      if (completion.error !== null) return '';
      return contentsText(judgeContents(buffer.subarray(0, completion.bytes), sizeBytes));
    }
  } finally {
    memory.unmap();
  }
}
