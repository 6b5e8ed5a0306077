// What runs: a look at every ring of this user.
import { closeSync, fstatSync, readdirSync } from 'node:fs';
import { withoutSecrets } from '../../base/mod.ts';
import { isLockedByOther, mapShared } from '../../linux/mod.ts';
import {
  activityNames,
  ConsumerState,
  HEADER_BYTES,
  LAYOUT_VERSION,
  LockByte,
  MAGIC,
  mapTables,
  openExisting,
  type Ring,
  RingHeader,
  RingState,
  runtimeFolder,
  sweepStale,
} from '../ring/mod.ts';
import { sweepTargetLocks } from '../target/mod.ts';

export interface RunningConsumer {
  readonly pid: number;
  readonly target: string;
  readonly startBlock: number;
  readonly blocksLeft: number;
  /** What it does; "detached" when it is served apart because it is slower than the others. */
  readonly state: string;
  /** Milliseconds for which it held up the others. */
  readonly heldUpMs: number;
}

export interface RunningCopy {
  readonly source: string;
  readonly producerPid: number;
  readonly bytesRead: number;
  readonly blockSize: number;
  readonly blocksTotal: number;
  /** Block that is read next. */
  readonly position: number;
  /** Time that the reader still waits for further copies, milliseconds; 0 when it reads. */
  readonly gatherMs: number;
  readonly consumers: readonly RunningConsumer[];
}

/** The copies that this user runs on this machine; leftovers of crashed ones are removed on the way. */
export function copies(): readonly RunningCopy[] {
  const folder = runtimeFolder();
  sweepStale(folder);
  sweepTargetLocks(folder);
  const found: RunningCopy[] = [];
  for (const name of readdirSync(folder).sort()) {
    if (!name.endsWith('.ring')) continue;
    const fd = openExisting(`${folder}/${name}`);
    if (fd === null) continue;
    try {
      const copy = look(fd);
      if (copy !== null) found.push(copy);
    } finally {
      closeSync(fd);
    }
  }
  return found;
}

function look(fd: number): RunningCopy | null {
  if (fstatSync(fd).size < HEADER_BYTES) return null;
  const page = mapShared(fd, HEADER_BYTES);
  const header = new RingHeader(page.buffer);
  const ours =
    header.get('magic0') === MAGIC[0] &&
    header.get('magic1') === MAGIC[1] &&
    header.get('layoutVersion') === LAYOUT_VERSION &&
    header.get('state') === RingState.ready;
  page.unmap();
  if (!ours) return null;
  const { mapping, ring } = mapTables(fd);
  const copy: RunningCopy = {
    source: withoutSecrets(ring.getText('sourceUri')),
    producerPid: ring.get('producerPid'),
    bytesRead: ring.getDouble('bytesRead'),
    blockSize: ring.geometry.blockBytes,
    blocksTotal: ring.get('blockCount'),
    position: ring.get('position'),
    gatherMs: ring.get('head') === 0 ? Math.max(0, ring.getDouble('gatherUntilMs') - Date.now()) : 0,
    consumers: consumersOf(ring, fd),
  };
  mapping.unmap();
  return copy;
}

function consumersOf(ring: Ring, fd: number): RunningConsumer[] {
  return ring.entries
    .filter(
      (entry) => entry.get('state') !== ConsumerState.free && isLockedByOther(fd, LockByte.consumer + entry.index),
    )
    .map((entry) => {
      const apart = entry.get('state') === ConsumerState.detached && entry.get('blocksLeft') > 0;
      return {
        pid: entry.get('pid'),
        target: withoutSecrets(entry.name),
        startBlock: entry.get('startBlock'),
        blocksLeft: entry.get('blocksLeft'),
        state: apart ? 'detached' : (activityNames[entry.get('activity')] ?? 'starting'),
        heldUpMs: entry.get('heldUpMs'),
      };
    });
}
