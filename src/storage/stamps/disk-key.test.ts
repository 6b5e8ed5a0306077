import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deviceKey } from './disk-key.ts';

let sys: string;

beforeEach(() => {
  sys = realpathSync(mkdtempSync(join(tmpdir(), 'understudy-sys-')));
});
afterEach(() => rmSync(sys, { recursive: true, force: true }));

function device(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(sys, 'devices', name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

describe('names of block devices', () => {
  it('disk-key - follows the serial number and the world wide name, not the name of the device', () => {
    const before = deviceKey(device('sda', { serial: 'S1\n', wwid: 'naa.1\n' }), sys);
    expect(before).toMatch(/^disk-[0-9a-f]{32}$/);
    expect(deviceKey(device('sdc', { serial: 'S1\n', wwid: 'naa.1\n' }), sys)).toBe(before);
    expect(deviceKey(device('sdd', { serial: 'S2\n', wwid: 'naa.1\n' }), sys)).not.toBe(before);
    expect(deviceKey(device('sde', { serial: 'S1\n', wwid: 'naa.2\n' }), sys)).not.toBe(before);
  });

  it('disk-key - partitions of one disk are told apart, and from the disk', () => {
    const disk = deviceKey(device('sda', { serial: 'S1\n' }), sys);
    const first = deviceKey(device('sda/sda1', { partition: '1\n' }), sys);
    const second = deviceKey(device('sda/sda2', { partition: '2\n' }), sys);
    expect(new Set([disk, first, second]).size).toBe(3);
    expect([disk, first, second]).not.toContain(null);
  });

  it('disk-key - a disk without a number has no such name', () => {
    expect(deviceKey(device('vda', { size: '8\n' }), sys)).toBe(null);
  });
});
