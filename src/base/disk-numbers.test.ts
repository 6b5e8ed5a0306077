import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskNumbers } from './disk-numbers.ts';

let sys: string;

beforeEach(() => {
  sys = realpathSync(mkdtempSync(join(tmpdir(), 'understudy-sys-')));
});
afterEach(() => rmSync(sys, { recursive: true, force: true }));

/** The folder of a disk with these files. */
function disk(folder: string, files: Readonly<Record<string, string | Buffer>>): string {
  const path = join(sys, folder);
  mkdirSync(path, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

describe('numbers of a disk in sysfs', () => {
  it.each([
    ['NVMe', { wwid: 'eui.0025385b71b0a4f3\n' }, ['wwid=eui.0025385b71b0a4f3']],
    ['virtio', { serial: 'spare-1\n' }, ['serial=spare-1']],
    ['SATA', { 'device/wwid': 'naa.5002538e40b2\n', size: '8\n' }, ['device/wwid=naa.5002538e40b2']],
    ['device mapper', { 'dm/uuid': 'LVM-x1\n' }, ['dm/uuid=LVM-x1']],
    ['md', { 'md/uuid': '1:2:3:4\n' }, ['md/uuid=1:2:3:4']],
    ['SCSI, by its page', { 'device/vpd_pg80': Buffer.from('\0\x80\0\x06 S1D4 \0', 'latin1') }, ['vpd=S1D4']],
    ['one whose numbers are empty', { serial: '\n', wwid: '' }, []],
    ['one that has none', { size: '8\n' }, []],
  ])('disk-numbers - %s', (_, files, expected) => {
    expect(diskNumbers(disk('devices/pci0/block/sda', files), sys)).toEqual(expected);
  });

  it('disk-numbers - a disk on USB has the serial number of its device', () => {
    disk('devices/usb1/1-2', { idVendor: '0781\n', serial: '4C530001\n' });
    const folder = disk('devices/usb1/1-2/host3/block/sdb', {});
    expect(diskNumbers(folder, sys)).toEqual(['usb=4C530001']);
  });
});
