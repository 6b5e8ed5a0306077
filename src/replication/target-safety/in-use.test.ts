// Devices that not every kernel can make (md, device mapper, bcache), as folders like those of sysfs.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { present } from '../../base/mod.ts';
import { findBlockDevice } from './block-device.ts';
import { type KernelUse, useOfDevice } from './in-use.ts';

let sysRoot: string;
const idle: KernelUse = { mounts: new Map(), swaps: new Set() };

beforeEach(() => {
  sysRoot = mkdtempSync(join(tmpdir(), 'understudy-sysfs-'));
  mkdirSync(join(sysRoot, 'dev/block'), { recursive: true });
  add('sda', '8:0', { size: 2000 });
  add('sda/sda1', '8:1', { partition: 1, start: 8, size: 500 });
  add('sda/sda2', '8:2', { partition: 2, start: 600, size: 1000 });
  add('sda/sda5', '8:5', { partition: 5, start: 700, size: 100 });
});
afterEach(() => rmSync(sysRoot, { recursive: true, force: true }));

function add(path: string, number: string, properties: Readonly<Record<string, number>>): void {
  const folder = join(sysRoot, 'devices', path);
  mkdirSync(join(folder, 'holders'), { recursive: true });
  writeFileSync(join(folder, 'dev'), `${number}\n`);
  for (const [name, value] of Object.entries(properties)) writeFileSync(join(folder, name), `${value}\n`);
  symlinkSync(folder, join(sysRoot, 'dev/block', number));
}

function hold(path: string, holder: string): void {
  symlinkSync(join('/nowhere', holder), join(sysRoot, 'devices', path, 'holders', holder));
}

function useOf(number: string, use: KernelUse = idle): string | null {
  return useOfDevice(present(findBlockDevice(number, sysRoot), number), use);
}

test('holders - a disk of an array, its partitions, and a disk with a partition in one', () => {
  expect(useOf('8:0')).toBeNull();
  hold('sda/sda1', 'md0');
  expect(useOf('8:1')).toBe('is part of md0');
  expect(useOf('8:0')).toBe('shares bytes with sda1, which is part of md0');
  expect(useOf('8:2')).toBeNull();
  hold('sda', 'dm-3');
  expect(useOf('8:2')).toBe('is part of sda, which is part of dm-3');
});

test('relatives - an extended partition is in use with its logical ones, and they with it', () => {
  const logicalMounted: KernelUse = { mounts: new Map([['block:8:5', '/srv']]), swaps: new Set() };
  expect(useOf('8:2', logicalMounted)).toBe('shares bytes with sda5, which is mounted on /srv');
  expect(useOf('8:1', logicalMounted)).toBeNull();
  const extendedSwap: KernelUse = { mounts: new Map(), swaps: new Set(['block:8:2']) };
  expect(useOf('8:5', extendedSwap)).toBe('shares bytes with sda2, which is active swap');
});

test('a number without a device', () => {
  expect(findBlockDevice('8:99', sysRoot)).toBeNull();
});
