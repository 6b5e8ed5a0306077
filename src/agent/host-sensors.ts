// What the host itself says of its performance, read from /proc. A file that is missing or not understood makes its signals
// null, with the reason; nothing here throws for what a kernel does or does not offer. Seed row P23.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, errnoOf } from '../base/mod.ts';
import { type Pressure, type PressureLine, parsePressure, stalledPercent } from './pressure.ts';
import type { SignalReading } from './protocol.ts';

const RESOURCES = ['cpu', 'memory', 'io'] as const;
type Resource = (typeof RESOURCES)[number];

/** Processors come and go rarely, and /proc/stat is long on large machines. */
const PROCESSORS_COUNTED_EVERY_MS = 60_000;
/** Averages over less than this say nothing. */
const INTERVAL_MS_MIN = 10;

interface Earlier {
  readonly atMs: number;
  readonly pressure: Pressure;
}

export type Readings = Map<string, SignalReading>;

export class HostSensors {
  readonly #procFolder: string;
  readonly #clock: Clock;
  readonly #earlier = new Map<Resource, Earlier>();
  #processors: { readonly count: number; readonly atMs: number } | null = null;

  /** @param procFolder "/proc", or a folder that looks like it */
  constructor(procFolder: string, clock: Clock) {
    this.#procFolder = procFolder;
    this.#clock = clock;
    for (const resource of RESOURCES) this.#pressureOf(resource);
  }

  /** Readings now; those that are averages go back to the call before, or to the construction. */
  sample(): Readings {
    const readings: Readings = new Map();
    for (const resource of RESOURCES) this.#addPressure(readings, resource);
    readings.set('load.perCpu', this.#loadPerProcessor());
    readings.set('memory.available', this.#memoryAvailable());
    return readings;
  }

  #read(name: string): string {
    return readFileSync(join(this.#procFolder, name), 'utf8');
  }

  /** The pressure now, remembered as the beginning of the next interval; or why there is none. */
  #pressureOf(resource: Resource): Earlier | string {
    const name = `pressure/${resource}`;
    try {
      const pressure = parsePressure(this.#read(name));
      if (pressure === null) return `${name} is not understood`;
      const now = { atMs: this.#clock.nowMs(), pressure };
      this.#earlier.set(resource, now);
      return now;
    } catch (error) {
      this.#earlier.delete(resource);
      return `${name} cannot be read: ${reasonOf(error)}`;
    }
  }

  #addPressure(readings: Readings, resource: Resource): void {
    const before = this.#earlier.get(resource);
    const now = this.#pressureOf(resource);
    const ofLine = (line: 'some' | 'full', suffix: string): void => {
      const share = typeof now === 'string' ? now : stalledShare(before, now, line);
      readings.set(`${resource}.pressure${suffix}`, percent(share));
      const average = typeof now === 'string' ? now : (now.pressure[line]?.avg10 ?? 'this kernel does not tell it');
      readings.set(`${resource}.pressure${suffix}Avg10`, percent(average));
    };
    ofLine('some', '');
    ofLine('full', 'Full');
  }

  /** Runnable tasks, without the one that asks, for each processor: proc(5), /proc/loadavg, fourth field. */
  #loadPerProcessor(): SignalReading {
    try {
      const runnable = /^\S+ \S+ \S+ ([0-9]+)\/[0-9]+ /.exec(this.#read('loadavg'))?.[1];
      if (runnable === undefined) return { value: null, unit: '1', error: 'loadavg is not understood' };
      const processors = this.#processorCount();
      if (processors === 0) return { value: null, unit: '1', error: 'stat names no processor' };
      return { value: rounded(Math.max(0, Number(runnable) - 1) / processors), unit: '1' };
    } catch (error) {
      return { value: null, unit: '1', error: `the run queue cannot be read: ${reasonOf(error)}` };
    }
  }

  #processorCount(): number {
    const nowMs = this.#clock.nowMs();
    if (this.#processors === null || nowMs - this.#processors.atMs >= PROCESSORS_COUNTED_EVERY_MS) {
      this.#processors = { count: (this.#read('stat').match(/^cpu[0-9]+ /gm) ?? []).length, atMs: nowMs };
    }
    return this.#processors.count;
  }

  /** What could be given to programs without swapping, as a share of all: proc(5), /proc/meminfo, MemAvailable. */
  #memoryAvailable(): SignalReading {
    try {
      const text = this.#read('meminfo');
      const total = Number(/^MemTotal: +([0-9]+) kB$/m.exec(text)?.[1]);
      const available = Number(/^MemAvailable: +([0-9]+) kB$/m.exec(text)?.[1]);
      return percent(total > 0 && available >= 0 ? (100 * available) / total : 'meminfo is not understood');
    } catch (error) {
      return percent(`meminfo cannot be read: ${reasonOf(error)}`);
    }
  }
}

function stalledShare(before: Earlier | undefined, now: Earlier, line: 'some' | 'full'): number | string {
  const intervalMs = before === undefined ? 0 : now.atMs - before.atMs;
  const [first, last]: (PressureLine | null | undefined)[] = [before?.pressure[line], now.pressure[line]];
  if (last === null) return 'this kernel does not tell it';
  if (!first || !last || intervalMs < INTERVAL_MS_MIN) return 'no interval has passed yet';
  return stalledPercent(first.totalUs, last.totalUs, intervalMs) ?? 'the counter went back';
}

function percent(value: number | string): SignalReading {
  if (typeof value === 'number') return { value: rounded(value), unit: '%' };
  return { value: null, unit: '%', error: value };
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** EOPNOTSUPP is what a kernel says that was started with psi=0. */
function reasonOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno === 'ENOENT') return 'this kernel does not have it';
  if (errno === 'EOPNOTSUPP' || errno === 'ENOTSUP') return 'it is switched off (psi=0)';
  if (errno === null) throw error;
  return errno;
}
