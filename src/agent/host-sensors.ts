// What the host itself says of its performance, read from /proc. A file that is missing or not understood makes its signals
// null, with the reason; nothing here throws for what a kernel does or does not offer. Seed row P23.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, errnoOf } from '../base/mod.ts';
import { type DiskReading, DiskSensor } from './disk-sensor.ts';
import { type NetworkReading, NetworkSensor } from './network-sensor.ts';
import { type Pressure, type PressureLine, parsePressure, stalledPercent } from './pressure.ts';
import type { SignalReading, SignalUnit } from './protocol.ts';

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

export interface HostPlaces {
  /** "/proc", or a folder that looks like it. */
  readonly procFolder: string;
  /**
   * Folder of a control group (v2) whose pressure and memory are those of the host: of a container that is one. null: the whole
   * machine's are.
   */
  readonly cgroupFolder: string | null;
}

export class HostSensors {
  readonly #procFolder: string;
  readonly #cgroupFolder: string | null;
  readonly #clock: Clock;
  readonly #disks = new DiskSensor();
  readonly #network = new NetworkSensor();
  readonly #earlier = new Map<Resource, Earlier>();
  #processors: { readonly count: number; readonly atMs: number } | null = null;

  constructor({ procFolder, cgroupFolder }: HostPlaces, clock: Clock) {
    this.#procFolder = procFolder;
    this.#cgroupFolder = cgroupFolder;
    this.#clock = clock;
    this.sample();
  }

  /** Readings now; those that are averages go back to the call before, or to the construction. */
  sample(): Readings {
    const readings: Readings = new Map();
    for (const resource of RESOURCES) this.#addPressure(readings, resource);
    readings.set('load.perCpu', this.#loadPerProcessor());
    readings.set('memory.available', this.#cgroupMemory() ?? this.#memoryAvailable());
    this.#addDisks(readings);
    this.#addNetwork(readings);
    return readings;
  }

  #read(name: string): string {
    return readFileSync(join(this.#procFolder, name), 'utf8');
  }

  /** The pressure now, remembered as the beginning of the next interval; or why there is none. */
  #pressureOf(resource: Resource): Earlier | string {
    const group = this.#cgroupFolder;
    const name = group === null ? `pressure/${resource}` : `${resource}.pressure`;
    try {
      const pressure = parsePressure(group === null ? this.#read(name) : readFileSync(join(group, name), 'utf8'));
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

  /** Of a control group with a limit; null: there is none, so the machine's memory is what counts. cgroup v2, memory.max. */
  #cgroupMemory(): SignalReading | null {
    if (this.#cgroupFolder === null) return null;
    try {
      const read = (name: string): string => readFileSync(join(this.#cgroupFolder ?? '', name), 'utf8');
      const most = read('memory.max').trim();
      if (most === 'max') return null;
      // The page cache can be given back, but for what was used just now.
      const reclaimable = Number(/^inactive_file ([0-9]+)$/m.exec(read('memory.stat'))?.[1] ?? 0);
      const free = Number(most) - Number(read('memory.current')) + reclaimable;
      const share = (100 * free) / Number(most);
      return percent(Number.isFinite(share) ? Math.max(0, Math.min(100, share)) : 'memory.max is not understood');
    } catch (error) {
      return percent(`the memory of the control group cannot be read: ${reasonOf(error)}`);
    }
  }

  #addDisks(readings: Readings): void {
    const reading = this.#counted('diskstats', (nowMs) => this.#disks.sample(this.#read('diskstats'), nowMs));
    const of = (value: (all: DiskReading) => number, unit: SignalUnit) => measured(reading, value, unit);
    readings.set(
      'disk.milliseconds',
      of(({ milliseconds }) => milliseconds, 'ms'),
    );
    readings.set(
      'disk.queue',
      of(({ queue }) => queue, '1'),
    );
    readings.set(
      'disk.busy',
      of(({ busy }) => busy, '%'),
    );
  }

  #addNetwork(readings: Readings): void {
    const reading = this.#counted('net/dev', (nowMs) => {
      return this.#network.sample(this.#read('net/dev'), this.#read('net/snmp'), nowMs);
    });
    const of = (value: (all: NetworkReading) => number, unit: SignalUnit) => measured(reading, value, unit);
    readings.set(
      'network.receivedBytes',
      of(({ receivedBytes }) => receivedBytes, 'B/s'),
    );
    readings.set(
      'network.sentBytes',
      of(({ sentBytes }) => sentBytes, 'B/s'),
    );
    readings.set(
      'network.errors',
      of(({ errors }) => errors, '/s'),
    );
    readings.set(
      'network.retransmits',
      of(({ retransmits }) => retransmits, '%'),
    );
  }

  #counted<T>(what: string, sample: (nowMs: number) => T | string | null): T | string {
    try {
      return sample(this.#clock.nowMs()) ?? 'no interval has passed yet';
    } catch (error) {
      return `${what} cannot be read: ${reasonOf(error)}`;
    }
  }
}

function measured<T>(reading: T | string, value: (all: T) => number, unit: SignalUnit): SignalReading {
  return typeof reading === 'string' ? { value: null, unit, error: reading } : { value: rounded(value(reading)), unit };
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
