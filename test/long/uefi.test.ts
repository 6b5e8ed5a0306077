// Goal: a clone for a machine with other firmware memory starts, and as itself. Debian's installer puts the boot loader
// into a folder of Debian's, and tells the firmware so; the UEFI of the other machine has never heard of it. What a
// boot loader tells the kernel, it tells a clone as well: a machine-id among it. Real firmware (OVMF), real GRUB, real
// systemd-boot, a real guest.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildGuests, copySparsely, GATEWAY, GUEST_APPEND, type Guests, LEAD, SPARE } from '../../guests/mod.ts';
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

const GIVEN = `systemd.machine_id=${LEAD.machineId}`;
const APPEND = `${GUEST_APPEND.replace('root=/dev/vda', 'root=/dev/vda2')} ${GIVEN}`;

/** GRUB where Debian's installer puts it, with kernel and initial file system. */
function putGrub(folder: string): void {
  const files = join(folder, 'EFI', 'debian');
  mkdirSync(files, { recursive: true });
  const modules = ['part_gpt', 'fat', 'linux', 'normal', 'configfile', 'serial', 'terminal', 'echo', 'boot'];
  run('grub-mkimage', ['-O', 'x86_64-efi', '-p', '/EFI/debian', '-o', join(files, 'grubx64.efi'), ...modules]);
  writeFileSync(join(files, 'grub.cfg'), `linux /vmlinuz ${APPEND}\ninitrd /initrd.img\nboot\n`);
  run('cp', [guests.kernel, join(folder, 'vmlinuz')]);
  run('cp', [guests.initrd, join(folder, 'initrd.img')]);
}

/** systemd-boot where any firmware looks, with an entry and a kernel as kernel-install(8) of Debian 12 names them. */
function putSystemdBoot(folder: string): void {
  for (const name of ['EFI/BOOT', 'loader/entries', `${LEAD.machineId}/6.1`])
    mkdirSync(join(folder, name), { recursive: true });
  run('cp', ['/usr/lib/systemd/boot/efi/systemd-bootx64.efi', join(folder, 'EFI/BOOT/BOOTX64.EFI')]);
  run('cp', [guests.kernel, join(folder, LEAD.machineId, '6.1/linux')]);
  run('cp', [guests.initrd, join(folder, LEAD.machineId, '6.1/initrd')]);
  writeFileSync(join(folder, 'loader/loader.conf'), `default ${LEAD.machineId}-*\ntimeout 0\n`);
  const lines = [
    ...['title Debian GNU/Linux 12', 'version 6.1', `machine-id ${LEAD.machineId}`, `options ${APPEND}`],
    ...[`linux /${LEAD.machineId}/6.1/linux`, `initrd /${LEAD.machineId}/6.1/initrd`, ''],
  ];
  writeFileSync(join(folder, `loader/entries/${LEAD.machineId}-6.1.conf`), lines.join('\n'));
}

/** GPT: the firmware's partition; the lead's root, which mounts it at /boot/efi. */
function makeLeadDisk(disk: string, putLoader: (folder: string) => void): void {
  const root = join(folder, 'root.img');
  run('cp', ['--sparse=always', guests.webImage, root]);
  const fstab = join(folder, 'fstab');
  writeFileSync(fstab, run('debugfs', ['-R', 'cat /etc/fstab', root]));
  appendFileSync(fstab, '/dev/vda1 /boot/efi vfat umask=0077,noauto 0 1\n');
  run('debugfs', ['-w', '-f', '-', root], `rm /etc/fstab\ncd /etc\nwrite ${fstab} fstab\nmkdir /boot/efi\n`);
  const esp = makeFile(join(folder, 'esp.img'), ESP_BYTES);
  run('mkfs.vfat', ['-F', '32', esp]);
  const files = `${disk}.esp`;
  mkdirSync(files);
  putLoader(files);
  run('sh', ['-c', 'mcopy -s -i "$2" "$1"/* ::/', 'sh', files, esp]);
  rmSync(files, { recursive: true });
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
    makeLeadDisk(disk, putGrub);
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
      expect(await guest.run('cat /etc/machine-id')).toBe(`${plan.proof.machineId}\n`);
      expect(await guest.run('cat /proc/cmdline')).toContain(`systemd.machine_id=${plan.proof.machineId}`);
      expect(await guest.run('findmnt -no UUID /')).toBe(
        await guest.run('sed "s/.*root=UUID=//; s/ .*//" /proc/cmdline'),
      );
    } finally {
      await guest.kill();
    }
  },
  3 * BOOT_PATIENCE_MS,
);

it(
  'uefi - a boot entry that gives the machine-id of the lead to the kernel gives the clone its own',
  async () => {
    const disk = join(folder, 'entries.img');
    makeLeadDisk(disk, putSystemdBoot);
    const engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
    const request = { lead: await engine.identify(disk, signal), understudy };
    const plan = await engine.plan(disk, request, signal);
    await engine.apply(disk, plan, signal);
    expect(await engine.verify(disk, request, plan, signal)).toEqual({ verified: true, problems: [] });
    const id = plan.proof.machineId;
    const guest = await RunningGuest.start(guests, SPARE, disk, { fromDisk: 'uefi' });
    try {
      await guest.serves('/whoami.php');
      // What the entry says is what counts, so that it has to be the entry that was changed.
      expect(await guest.run('cat /proc/cmdline')).toContain(`systemd.machine_id=${id}`);
      expect(await guest.run('cat /etc/machine-id')).toBe(`${id}\n`);
      expect(await guest.run('hostname')).toBe('spare1\n');
    } finally {
      await guest.kill();
    }
  },
  3 * BOOT_PATIENCE_MS,
);
