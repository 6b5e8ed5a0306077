// The sensors on folders that look like /proc, of kernels with and without pressure information, and of none that exists.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostSensors } from './host-sensors.ts';

let folder = '';
let nowMs = 0;
const clock = { nowMs: () => nowMs };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-proc-'));
  nowMs = 1000;
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
}

function writePressure(resource: string, someUs: number, fullUs: number): void {
  const line = (totalUs: number): string => `avg10=12.50 avg60=2.61 avg300=9.73 total=${totalUs}\n`;
  write(`pressure/${resource}`, `some ${line(someUs)}full ${line(fullUs)}`);
}

function writeAll(): void {
  for (const resource of ['cpu', 'memory', 'io']) writePressure(resource, 1_000_000, 500_000);
  write('loadavg', '0.27 1.01 0.66 9/101 23411\n');
  write('stat', `cpu  1 2\n${[0, 1, 2, 3].map((index) => `cpu${index} 1 2\n`).join('')}intr 1 2\n`);
  write('meminfo', 'MemTotal:       1000 kB\nMemFree:        1 kB\nMemAvailable:   250 kB\n');
}

describe('HostSensors', () => {
  it('sensors - pressure is that of the interval since the reading before', () => {
    writeAll();
    const sensors = new HostSensors(folder, clock);
    nowMs += 2000;
    writePressure('cpu', 2_000_000, 600_000);
    const first = sensors.sample();
    expect(first.get('cpu.pressure')).toEqual({ value: 50, unit: '%' });
    expect(first.get('cpu.pressureFull')).toEqual({ value: 5, unit: '%' });
    expect(first.get('cpu.pressureAvg10')).toEqual({ value: 12.5, unit: '%' });
    expect(first.get('io.pressure')).toEqual({ value: 0, unit: '%' });
    nowMs += 1000;
    expect(sensors.sample().get('cpu.pressure')).toEqual({ value: 0, unit: '%' });
  });

  it('sensors - load is of runnable tasks for each processor, without the one that asks', () => {
    writeAll();
    expect(new HostSensors(folder, clock).sample().get('load.perCpu')).toEqual({ value: 2, unit: '1' });
  });

  it('sensors - processors that are added are counted later on', () => {
    writeAll();
    const sensors = new HostSensors(folder, clock);
    sensors.sample();
    write('stat', 'cpu  1 2\ncpu0 1 2\n');
    expect(sensors.sample().get('load.perCpu')?.value).toBe(2);
    nowMs += 60_000;
    expect(sensors.sample().get('load.perCpu')?.value).toBe(8);
  });

  it('sensors - memory is what programs could have, as a share', () => {
    writeAll();
    expect(new HostSensors(folder, clock).sample().get('memory.available')).toEqual({ value: 25, unit: '%' });
  });

  it('sensors - without pressure information the signals have no value, and a reason', () => {
    writeAll();
    rmSync(join(folder, 'pressure'), { recursive: true });
    const sensors = new HostSensors(folder, clock);
    nowMs += 1000;
    const error = 'pressure/cpu cannot be read: this kernel does not have it';
    expect(sensors.sample().get('cpu.pressure')).toEqual({ value: null, unit: '%', error });
    expect(sensors.sample().get('cpu.pressureAvg10')).toEqual({ value: null, unit: '%', error });
    expect(sensors.sample().get('memory.available')?.value).toBe(25);
  });

  it('sensors - pressure that begins to be there has a value from the second reading on', () => {
    const sensors = new HostSensors(folder, clock);
    writeAll();
    const none = { value: null, unit: '%', error: 'no interval has passed yet' };
    expect(sensors.sample().get('memory.pressure')).toEqual(none);
    nowMs += 1000;
    expect(sensors.sample().get('memory.pressure')?.value).toBe(0);
  });

  it('sensors - a counter that went back has no value once', () => {
    writeAll();
    const sensors = new HostSensors(folder, clock);
    nowMs += 1000;
    writePressure('io', 5, 5);
    expect(sensors.sample().get('io.pressure')?.error).toBe('the counter went back');
    nowMs += 1000;
    expect(sensors.sample().get('io.pressure')?.value).toBe(0);
  });

  it('sensors - files that make no sense, or none at all, are no values and no exceptions', () => {
    for (const name of ['pressure/cpu', 'pressure/memory', 'pressure/io', 'loadavg', 'stat', 'meminfo']) {
      write(name, 'nonsense\n');
    }
    for (const where of [folder, join(folder, 'nowhere')]) {
      const readings = [...new HostSensors(where, clock).sample().values()];
      expect(readings).toHaveLength(14);
      for (const { value, error } of readings) expect([value, typeof error]).toEqual([null, 'string']);
    }
  });

  it('sensors - the real /proc of this machine is understood', () => {
    const readings = new HostSensors('/proc', { nowMs: () => performance.now() }).sample();
    expect(readings.get('memory.available')?.value).toBeGreaterThan(0);
    expect(readings.get('load.perCpu')?.value).toBeGreaterThanOrEqual(0);
  });
});
