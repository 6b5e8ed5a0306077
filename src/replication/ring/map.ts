// A ring in shared memory, as every process that has the file open sees it.
import { fstatSync } from 'node:fs';
import { limits } from '../../base/mod.ts';
import { futexWait, futexWakeAll, type Mapping, mapShared } from '../../linux/mod.ts';
import { type Geometry, HEADER_BYTES, type Offsets, offsetsOf } from './layout.ts';
import { Ring, RingHeader, type Signal } from './ring.ts';
import { ringBroken } from './seal.ts';

const futexSignal: Signal = { wait: futexWait, wakeAll: futexWakeAll };

export interface MappedRing {
  readonly mapping: Mapping;
  readonly ring: Ring;
}

/** Maps a ring whose header is filled in. */
export function mapRing(fd: number): MappedRing {
  return map(fd, ({ totalBytes }) => totalBytes);
}

/**
 * The same without the slots, for whoever only looks on: `slotData` of such a ring fails. V8 counts mapped memory as
 * the heap's and collects garbage for the sake of it when the ring has its default size.
 */
export function mapTables(fd: number): MappedRing {
  return map(fd, ({ tablesEnd }) => tablesEnd);
}

function map(fd: number, bytesOf: (offsets: Offsets) => number): MappedRing {
  if (fstatSync(fd).size < HEADER_BYTES) throw ringBroken('it was cut short');
  const page = mapShared(fd, HEADER_BYTES);
  const header = new RingHeader(page.buffer);
  const geometry = {
    blockBytes: header.get('blockBytes'),
    blockCapacity: header.get('blockCapacity'),
    slotCount: header.get('slotCount'),
  };
  page.unmap();
  requireGeometry(geometry);
  const offsets = offsetsOf(geometry);
  if (fstatSync(fd).size < offsets.totalBytes) throw ringBroken('it was cut short');
  const mapping = mapShared(fd, bytesOf(offsets));
  return { mapping, ring: new Ring(mapping.buffer, geometry, futexSignal) };
}

/** @throws RING_BROKEN: no producer chooses such numbers */
function requireGeometry({ blockBytes, blockCapacity, slotCount }: Geometry): void {
  const isPowerOfTwo = slotCount > 0 && (slotCount & (slotCount - 1)) === 0;
  const blocks = blockCapacity > 0 && blockCapacity <= limits.BLOCKS_MAX;
  const bytes = blockBytes > 0 && blockBytes % limits.PAGE_BYTES === 0;
  if (isPowerOfTwo && slotCount <= limits.SLOTS_MAX && blocks && bytes) return;
  throw ringBroken(`${slotCount} slots of ${blockBytes} bytes for ${blockCapacity} blocks`);
}
