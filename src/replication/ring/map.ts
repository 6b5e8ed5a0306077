// A ring in shared memory, as every process that has the file open sees it.
import { futexWait, futexWakeAll, type Mapping, mapShared } from '../../linux/mod.ts';
import { HEADER_BYTES, offsetsOf } from './layout.ts';
import { Ring, RingHeader, type Signal } from './ring.ts';

const futexSignal: Signal = { wait: futexWait, wakeAll: futexWakeAll };

/** Maps a ring whose header is filled in. */
export function mapRing(fd: number): { mapping: Mapping; ring: Ring } {
  const page = mapShared(fd, HEADER_BYTES);
  const header = new RingHeader(page.buffer);
  const geometry = {
    blockBytes: header.get('blockBytes'),
    blockCapacity: header.get('blockCapacity'),
    slotCount: header.get('slotCount'),
  };
  page.unmap();
  const mapping = mapShared(fd, offsetsOf(geometry).totalBytes);
  return { mapping, ring: new Ring(mapping.buffer, geometry, futexSignal) };
}
