// How the host's disks do, from the counters of /proc/diskstats (Linux, Documentation/admin-guide/iostats.rst): the slowest of them.

/** Whole disks. Partitions are parts of them, and what lies above (device mapper, md, loop) would count everything twice. */
const WHOLE_DISK = /^(?:[shv]d[a-z]+|xvd[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+)$/;
const FIELDS_MIN = 14;

interface DiskCounters {
  /** Reads and writes that are done, and the milliseconds that they took together. */
  readonly done: number;
  readonly milliseconds: number;
  /** Under way now. */
  readonly pending: number;
  /** In which something was under way. */
  readonly busyMs: number;
  /** Milliseconds of all that was under way, together. */
  readonly queuedMs: number;
}

export interface DiskReading {
  /** Of a read or write, mean; of a disk that finishes none, how long it has been like that. 0: nothing was asked for. */
  readonly milliseconds: number;
  /** Under way, mean. */
  readonly queue: number;
  /** Share of the time in which something was, percent. */
  readonly busy: number;
}

export class DiskSensor {
  #before = new Map<string, DiskCounters>();
  #beforeMs = 0;
  /** Since when a disk finishes nothing though something is asked for. */
  readonly #stuckSinceMs = new Map<string, number>();

  /** @returns null: no interval has passed yet; or why there is no reading */
  sample(text: string, nowMs: number): DiskReading | string | null {
    const now = parseDiskstats(text);
    if (now.size === 0) return 'diskstats names no disk';
    const [before, intervalMs] = [this.#before, nowMs - this.#beforeMs];
    this.#before = now;
    this.#beforeMs = nowMs;
    const readings = [...now].flatMap(([name, counters]) => {
      const earlier = before.get(name);
      // A counter that went back is that of another disk of this name, or wrapped.
      if (earlier === undefined || counters.done < earlier.done || counters.queuedMs < earlier.queuedMs) return [];
      return [this.#between(name, earlier, counters, intervalMs, nowMs)];
    });
    if (readings.length === 0 || intervalMs < 1) return null;
    const most = (of: (reading: DiskReading) => number): number => Math.max(...readings.map(of));
    return {
      milliseconds: most(({ milliseconds }) => milliseconds),
      queue: most(({ queue }) => queue),
      busy: most(({ busy }) => busy),
    };
  }

  #between(name: string, before: DiskCounters, now: DiskCounters, intervalMs: number, nowMs: number): DiskReading {
    const done = now.done - before.done;
    const queue = (now.queuedMs - before.queuedMs) / intervalMs;
    const busy = Math.min(100, (100 * (now.busyMs - before.busyMs)) / intervalMs);
    if (done > 0 || now.pending === 0) {
      this.#stuckSinceMs.delete(name);
      return { milliseconds: done === 0 ? 0 : (now.milliseconds - before.milliseconds) / done, queue, busy };
    }
    const sinceMs = this.#stuckSinceMs.get(name) ?? nowMs - intervalMs;
    this.#stuckSinceMs.set(name, sinceMs);
    return { milliseconds: nowMs - sinceMs, queue, busy };
  }
}

function parseDiskstats(text: string): Map<string, DiskCounters> {
  const disks = new Map<string, DiskCounters>();
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/);
    const name = fields[2] ?? '';
    if (fields.length < FIELDS_MIN || !WHOLE_DISK.test(name)) continue;
    const at = (index: number): number => Number(fields[index]);
    disks.set(name, {
      done: at(3) + at(7),
      milliseconds: at(6) + at(10),
      pending: at(11),
      busyMs: at(12),
      queuedMs: at(13),
    });
  }
  return disks;
}
