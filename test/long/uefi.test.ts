// Goal: a clone for a machine with other firmware memory starts. Debian's installer puts the boot loader into a folder of Debian's, and tells
// the firmware so; the UEFI of the other machine has never heard of it. Real firmware (OVMF), real GRUB, a real guest.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildGuests, copySparsely, GATEWAY, GUEST_APPEND, type Guests, SPARE } from '../../guests/mod.ts';
import { limits } from '../../src/base/mod.ts';
import { createIdentityEngine, type HostIdentity } from '../../src/identity/mod.ts';
import { BOOT_PATIENCE_MS, RunningGuest } from '../rig/guest.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { makeFile, place, run } from '../support/disk-image.ts';

const { MIB } = limits;
const ESP_BYTES = 128 * MIB;
const signal = new AbortController().signal;
const understudy: HostIdentity = {
  hostName: SPARE.hostName,
  interfaces: [{ name: SPARE.link, mac: SPARE.mac, addresses: [SPARE.address], gateway: GATEWAY }],
};
let folder: string;
let guests: Guests;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ust-uefi-'));
  guests = await buildGuests({ report: () => undefined, abort: signal });
}, patience(600_000));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** GPT: the firmware's partition with GRUB, kernel and initial file system; the lead's root, which mounts it at /boot/efi. */
function makeLeadDisk(disk: string): void {
  const root = join(folder, 'root.img');
  run('cp', ['--sparse=always', guests.webImage, root]);
  const fstab = join(folder, 'fstab');
  writeFileSync(fstab, run('debugfs', ['-R', 'cat /etc/fstab', root]));
  appendFileSync(fstab, '/dev/vda1 /boot/efi vfat umask=0077,noauto 0 1\n');
  run('debugfs', ['-w', '-f', '-', root], `rm /etc/fstab\ncd /etc\nwrite ${fstab} fstab\nmkdir /boot/efi\n`);
  const esp = makeFile(join(folder, 'esp.img'), ESP_BYTES);
  run('mkfs.vfat', ['-F', '32', esp]);
  const files = join(folder, 'esp', 'EFI', 'debian');
  mkdirSync(files, { recursive: true });
  const modules = ['part_gpt', 'fat', 'linux', 'normal', 'configfile', 'serial', 'terminal', 'echo', 'boot'];
  const grub = ['-O', 'x86_64-efi', '-p', '/EFI/debian', '-o', join(files, 'grubx64.efi'), ...modules];
  run('grub-mkimage', grub);
  const append = GUEST_APPEND.replace('root=/dev/vda', 'root=/dev/vda2');
  writeFileSync(join(files, 'grub.cfg'), `linux /vmlinuz ${append}\ninitrd /initrd.img\nboot\n`);
  run('mcopy', ['-s', '-i', esp, join(folder, 'esp', 'EFI'), '::/']);
  run('mcopy', ['-i', esp, guests.kernel, '::/vmlinuz']);
  run('mcopy', ['-i', esp, guests.initrd, '::/initrd.img']);
  const rootBytes = statSync(root).size;
  makeFile(disk, ESP_BYTES + rootBytes + 2 * MIB);
  const table = [
    'label: gpt',
    `start=2048, size=${ESP_BYTES / 512}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B`,
    `start=${2048 + ESP_BYTES / 512}, size=${rootBytes / 512}`,
    '',
  ];
  run('sfdisk', ['-q', disk], table.join('\n'));
  place(esp, disk, MIB);
  place(root, disk, MIB + ESP_BYTES);
  for (const part of [esp, root]) truncateSync(part, 0);
}

it(
  'uefi - a clone starts on a machine whose firmware has never heard of its boot loader, as the original does not',
  async () => {
    const disk = join(folder, 'lead.img');
    makeLeadDisk(disk);
    const original = await RunningGuest.start(guests, SPARE, disk, { fromDisk: 'uefi' });
    try {
      const nothing = /No bootable option|failed to load|Shell>/;
      await eventually('the firmware gives up', () => nothing.test(original.said), BOOT_PATIENCE_MS);
      expect(original.said).not.toContain('Linux version');
    } finally {
      await original.kill();
    }
    const clone = join(folder, 'clone.img');
    await copySparsely(disk, clone);
    const engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
    const request = { lead: await engine.identify(clone, signal), understudy, otherHardware: true };
    const plan = await engine.plan(clone, request, signal);
    expect(plan.findings.filter(({ rule }) => rule === 'boot-loader').map(({ path }) => path)).toEqual([
      '/boot/efi/EFI/BOOT/BOOTX64.EFI',
    ]);
    await engine.apply(clone, plan, signal);
    expect(await engine.verify(clone, request, plan, signal)).toEqual({ verified: true, problems: [] });
    const guest = await RunningGuest.start(guests, SPARE, clone, { fromDisk: 'uefi' });
    try {
      await guest.serves('/whoami.php');
      expect(await guest.run('hostname')).toBe('spare1\n');
      expect(await guest.run('findmnt -no UUID /')).toBe(
        await guest.run('sed "s/.*root=UUID=//; s/ .*//" /proc/cmdline'),
      );
    } finally {
      await guest.kill();
    }
  },
  3 * BOOT_PATIENCE_MS,
);
