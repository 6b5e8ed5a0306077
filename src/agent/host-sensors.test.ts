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
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
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
    expect(new HostSensors({ procFolder: folder, cgroupFolder: null }, clock).sample().get('load.perCpu')).toEqual({
      value: 2,
      unit: '1',
    });
  });

  it('sensors - processors that are added are counted later on', () => {
    writeAll();
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    sensors.sample();
    write('stat', 'cpu  1 2\ncpu0 1 2\n');
    expect(sensors.sample().get('load.perCpu')?.value).toBe(2);
    nowMs += 60_000;
    expect(sensors.sample().get('load.perCpu')?.value).toBe(8);
  });

  it('sensors - memory is what programs could have, as a share', () => {
    writeAll();
    expect(new HostSensors({ procFolder: folder, cgroupFolder: null }, clock).sample().get('memory.available')).toEqual(
      { value: 25, unit: '%' },
    );
  });

  it('sensors - without pressure information the signals have no value, and a reason', () => {
    writeAll();
    rmSync(join(folder, 'pressure'), { recursive: true });
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    nowMs += 1000;
    const error = 'pressure/cpu cannot be read: this kernel does not have it';
    expect(sensors.sample().get('cpu.pressure')).toEqual({ value: null, unit: '%', error });
    expect(sensors.sample().get('cpu.pressureAvg10')).toEqual({ value: null, unit: '%', error });
    expect(sensors.sample().get('memory.available')?.value).toBe(25);
  });

  it('sensors - pressure that begins to be there has a value from the second reading on', () => {
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    writeAll();
    const none = { value: null, unit: '%', error: 'no interval has passed yet' };
    expect(sensors.sample().get('memory.pressure')).toEqual(none);
    nowMs += 1000;
    expect(sensors.sample().get('memory.pressure')?.value).toBe(0);
  });

  it('sensors - a counter that went back has no value once', () => {
    writeAll();
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    nowMs += 1000;
    writePressure('io', 5, 5);
    expect(sensors.sample().get('io.pressure')?.error).toBe('the counter went back');
    nowMs += 1000;
    expect(sensors.sample().get('io.pressure')?.value).toBe(0);
  });

  it('sensors - files that make no sense, or none at all, are no values and no exceptions', () => {
    for (const name of [
      'pressure/cpu',
      'pressure/memory',
      'pressure/io',
      'loadavg',
      'stat',
      'meminfo',
      'diskstats',
      'net/dev',
      'net/snmp',
    ]) {
      write(name, 'nonsense\n');
    }
    for (const where of [folder, join(folder, 'nowhere')]) {
      const readings = [...new HostSensors({ procFolder: where, cgroupFolder: null }, clock).sample().values()];
      expect(readings).toHaveLength(21);
      for (const { value, error } of readings) expect([value, typeof error]).toEqual([null, 'string']);
    }
  });

  it('sensors - of disks the slowest counts, partitions and what lies above do not', () => {
    // Reads, merged, sectors, ms, writes, merged, sectors, ms, under way, ms busy, ms of all.
    const disks = (vda: string, vdb: string): string =>
      `253 0 vda ${vda}\n253 1 vda1 9999 0 0 999999 0 0 0 0 0 0 0\n253 16 vdb ${vdb}\n252 0 dm-0 0 0 0 0 0 0 0 0 0 0 0\n`;
    writeAll();
    write('diskstats', disks('100 0 0 1000 100 0 0 1000 0 500 2000', '10 0 0 10 0 0 0 0 0 5 10'));
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    nowMs += 2000;
    write('diskstats', disks('105 0 0 1100 105 0 0 1300 3 1500 6000', '10 0 0 10 0 0 0 0 0 5 10'));
    const readings = sensors.sample();
    expect(readings.get('disk.milliseconds')).toEqual({ value: 40, unit: 'ms' });
    expect(readings.get('disk.queue')).toEqual({ value: 2, unit: '1' });
    expect(readings.get('disk.busy')).toEqual({ value: 50, unit: '%' });
    nowMs += 1000;
    expect(sensors.sample().get('disk.milliseconds')?.value).toBe(1000);
    write('diskstats', disks('105 0 0 1100 105 0 0 1300 0 1500 6000', '10 0 0 10 0 0 0 0 0 5 10'));
    expect(sensors.sample().get('disk.milliseconds')?.value ?? 0).toBe(0);
  });

  it('sensors - a disk that finishes nothing is slow, the longer the slower', () => {
    const line = (done: number, under: number): string => `8 0 sda ${done} 0 0 0 0 0 0 0 ${under} 0 0\n`;
    write('diskstats', line(5, 2));
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    const reads = (text: string): number | null | undefined => {
      nowMs += 1000;
      write('diskstats', text);
      return sensors.sample().get('disk.milliseconds')?.value;
    };
    expect([reads(line(5, 2)), reads(line(5, 3)), reads(line(6, 3)), reads(line(6, 3))]).toEqual([1000, 2000, 0, 1000]);
    expect(reads(line(6, 0))).toBe(0);
    // Another disk under its name.
    expect(reads(line(1, 0))).toBeNull();
  });

  it('sensors - of the network its cards count, and what TCP sends again', () => {
    const devices = (eth0: string): string =>
      `Inter-| Receive\n face |bytes\n lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n eth0: ${eth0}\n veth1: 7 7 7 7 0 0 0 0 7 7 7 7 0 0 0 0\n`;
    const snmp = (sent: number, again: number): string =>
      `Ip: Forwarding\nIp: 1\nTcp: OutSegs RetransSegs\nTcp: ${sent} ${again}\n`;
    write('net/dev', devices('1000 1 0 0 0 0 0 0 2000 2 0 0 0 0 0 0'));
    write('net/snmp', snmp(100, 1));
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: null }, clock);
    nowMs += 2000;
    write('net/dev', devices('5000 9 1 2 0 0 0 0 3000 5 1 0 0 0 0 0'));
    write('net/snmp', snmp(300, 5));
    const readings = sensors.sample();
    expect(readings.get('network.receivedBytes')).toEqual({ value: 2000, unit: 'B/s' });
    expect(readings.get('network.sentBytes')).toEqual({ value: 500, unit: 'B/s' });
    expect(readings.get('network.errors')).toEqual({ value: 2, unit: '/s' });
    expect(readings.get('network.retransmits')).toEqual({ value: 2, unit: '%' });
    nowMs += 1000;
    write('net/dev', devices('0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0'));
    expect(sensors.sample().get('network.errors')?.value).toBeNull();
  });

  it('sensors - a control group that is the host is measured instead of the machine', () => {
    writeAll();
    const group = join(folder, 'group');
    const line = (totalUs: number): string => `some avg10=1.00 avg60=0.00 avg300=0.00 total=${totalUs}\n`;
    write('group/cpu.pressure', line(1000));
    write('group/memory.max', '1000000\n');
    write('group/memory.current', '900000\n');
    write('group/memory.stat', 'anon 1\ninactive_file 200000\n');
    const sensors = new HostSensors({ procFolder: folder, cgroupFolder: group }, clock);
    nowMs += 1000;
    write('group/cpu.pressure', line(301_000));
    const readings = sensors.sample();
    expect(readings.get('cpu.pressure')).toEqual({ value: 30, unit: '%' });
    expect(readings.get('io.pressure')?.error).toContain('io.pressure cannot be read');
    expect(readings.get('memory.available')).toEqual({ value: 30, unit: '%' });
    write('group/memory.max', 'max\n');
    expect(sensors.sample().get('memory.available')?.value).toBe(25);
  });

  it('sensors - the real /proc of this machine is understood', () => {
    let nowMs = performance.now();
    const sensors = new HostSensors({ procFolder: '/proc', cgroupFolder: null }, { nowMs: () => nowMs });
    nowMs += 1000;
    const readings = sensors.sample();
    expect(readings.get('memory.available')?.value).toBeGreaterThan(0);
    for (const name of ['load.perCpu', 'disk.milliseconds', 'network.receivedBytes', 'network.retransmits']) {
      expect(readings.get(name)?.value).toBeGreaterThanOrEqual(0);
    }
  });
});
