// A ring in shared memory, as every process that has the file open sees it.
import { futexWait, futexWakeAll, type Mapping, mapShared } from '../../linux/mod.ts';
import { HEADER_BYTES, type Offsets, offsetsOf } from './layout.ts';
import { Ring, RingHeader, type Signal } from './ring.ts';

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
 * The same without the slots, for whoever only looks on: `slotData` of such a ring fails. V8 counts mapped memory as the heap's and
 * collects garbage for the sake of it when the ring has its default size.
 */
export function mapTables(fd: number): MappedRing {
  return map(fd, ({ tablesEnd }) => tablesEnd);
}

function map(fd: number, bytesOf: (offsets: Offsets) => number): MappedRing {
  const page = mapShared(fd, HEADER_BYTES);
  const header = new RingHeader(page.buffer);
  const geometry = {
    blockBytes: header.get('blockBytes'),
    blockCapacity: header.get('blockCapacity'),
    slotCount: header.get('slotCount'),
  };
  page.unmap();
  const mapping = mapShared(fd, bytesOf(offsetsOf(geometry)));
  return { mapping, ring: new Ring(mapping.buffer, geometry, futexSignal) };
}
