// Goal: nothing gives the machine-id of the lead back to a clone, wherever it stands: on command lines of the kernel,
// in entries of boot loaders, in names of files and folders, in what has copied it; on each file system that can be
// edited.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { IdentityEngine, Plan } from '../../src/identity/mod.ts';
import { createIdentityEngine } from '../../src/identity/mod.ts';
import { run } from '../support/disk-image.ts';
import { catFat, checkSeveral, makeSeveral } from '../support/several-file-systems.ts';
import {
  type Content,
  checkImage,
  digestOfFile,
  LEAD,
  MACHINE_ID,
  makeDirty,
  makeImage,
  SPARE,
  type SystemImage,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
const DASHED = '01234567-89ab-cdef-0123-456789abcdef';
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-machine-id-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function image(files: Readonly<Record<string, Content | null>>): SystemImage {
  return makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), { ...systemFiles(), ...files }));
}

async function personalise(path: string): Promise<Plan> {
  const plan = await engine.plan(path, request, signal);
  await engine.apply(path, plan, signal);
  expect(await engine.verify(path, request, plan, signal)).toEqual({ verified: true, problems: [] });
  const after = digestOfFile(path);
  await engine.apply(path, plan, signal);
  expect(digestOfFile(path)).toBe(after);
  return plan;
}

/** Every file and every name, by programs that are not ours. */
function left(disk: SystemImage): string {
  return withMount(
    disk,
    `{ grep -rIliE '${MACHINE_ID}|${DASHED}' $M; find $M -iname '*${MACHINE_ID}*' -o -iname '*${DASHED}*'; ` +
      `find $M -lname '*${MACHINE_ID}*'; } || true`,
  ).replaceAll(`${disk.path}.mnt`, '');
}

const entry = (id: string): string =>
  `title Debian GNU/Linux 12\nversion 6.1.0-18\nmachine-id ${id}\nsort-key debian\n` +
  `options root=UUID=5e1f systemd.machine_id=${id} quiet\nlinux /${id}/6.1.0-18/linux\ninitrd /${id}/6.1.0-18/initrd\n`;

/** As Debian 12 with systemd-boot and with GRUB, Fedora's GRUB, extlinux and the journal have it. */
const PLACES: Readonly<Record<string, Content>> = {
  [`/boot/loader/entries/${MACHINE_ID}-6.1.0-18.conf`]: entry(MACHINE_ID),
  [`/boot/${MACHINE_ID}/6.1.0-18/linux`]: { text: Buffer.alloc(3_000_000, 0xa5) },
  [`/boot/${MACHINE_ID}/6.1.0-18/${MACHINE_ID}-initrd`]: { text: 'initrd', mode: 0o600 },
  '/boot/vmlinuz': { link: `${MACHINE_ID}/6.1.0-18/linux` },
  [`/boot/${MACHINE_ID}/latest`]: { link: `/boot/${MACHINE_ID}/6.1.0-18` },
  '/etc/default/grub': `GRUB_CMDLINE_LINUX="quiet systemd.machine_id=${DASHED}"\n`,
  '/boot/grub/grub.cfg': `menuentry x {\n\tlinux /vmlinuz root=/dev/sda1 systemd.machine_id=${MACHINE_ID.toUpperCase()}\n}\n`,
  '/boot/grub2/grubenv': `# GRUB Environment Block\nsaved_entry=${MACHINE_ID}-6.1.0-18\n${'#'.repeat(945)}`,
  '/boot/extlinux/extlinux.conf': `append root=/dev/sda1 systemd.machine_id=${MACHINE_ID}\n`,
  '/etc/kernel/cmdline': `root=UUID=5e1f systemd.machine_id=${MACHINE_ID}\n`,
  '/etc/kernel/entry-token': `${MACHINE_ID}\n`,
  '/etc/machine-info': `KERNEL_INSTALL_MACHINE_ID=${MACHINE_ID}\n`,
  [`/var/log/journal/${MACHINE_ID}/system.journal`]: { text: `LPKSHHRH\0\0${MACHINE_ID}` },
  [`/var/lib/app/${MACHINE_ID}-${'ab'.repeat(16)}`]: 'x\n',
  '/opt/agent/state.json': `{"id": "${DASHED}"}\n`,
  [`/srv/cache-${DASHED}`]: 'x\n',
};

describe('the machine-id of the lead', () => {
  test.each(['clean', 'dirty'])(
    'is left nowhere in a root with a %s journal, neither in texts nor in names',
    async (how) => {
      const disk = image(PLACES);
      if (how === 'dirty') makeDirty(disk, `echo ${MACHINE_ID} > $M/etc/kernel/install-id`);
      expect(left(disk)).not.toBe('');
      const { proof, unknown } = await personalise(disk.path);
      expect(unknown).toEqual([]);
      expect(checkImage(disk)).toBe('');
      expect(left(disk)).toBe('');
      const id = proof.machineId;
      const seen = withMount(
        disk,
        `cat $M/boot/loader/entries/${id}-6.1.0-18.conf; stat -c '%s %a %U' $M/boot/${id}/6.1.0-18/linux ` +
          `$M/boot/${id}/6.1.0-18/${id}-initrd $M/boot/grub2/grubenv; stat -L -c %s $M/boot/vmlinuz; ` +
          `readlink $M/boot/${id}/latest; ls $M/var/log/journal; cat $M/etc/default/grub`,
      );
      expect(seen).toContain(entry(id));
      expect(seen).toContain(`3000000 644 root\n6 600 root\n1024 644 root\n3000000\n/boot/${id}/6.1.0-18\n${id}\n`);
      expect(seen).toContain(`systemd.machine_id=${id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')}"`);
    },
  );

  test('is left nowhere on the FAT that the firmware starts from, and in /var by itself', async () => {
    const disk = makeSeveral(folder, {
      root: { '/etc/kernel/cmdline': `systemd.machine_id=${MACHINE_ID}\n` },
      esp: {
        [`/loader/entries/${MACHINE_ID}-6.1.0-18.conf`]: entry(MACHINE_ID),
        [`/${MACHINE_ID}/6.1.0-18/linux`]: 'kernel\n',
        '/loader/loader.conf': `default ${MACHINE_ID}-*\n`,
      },
      variable: { [`/log/journal/${MACHINE_ID}/system.journal`]: 'x\n' },
    });
    const { proof } = await personalise(disk.path);
    const id = proof.machineId;
    expect(checkSeveral(disk)).toBe('');
    expect([left(disk.root), left(disk.variable)]).toEqual(['', '']);
    expect(run('mdir', ['-/', '-b', '-i', disk.esp, '::/'])).not.toContain(MACHINE_ID);
    expect(catFat(disk, `/loader/entries/${id}-6.1.0-18.conf`)).toBe(entry(id));
    expect(catFat(disk, `/${id}/6.1.0-18/linux`)).toBe('kernel\n');
    expect(catFat(disk, '/loader/loader.conf')).toBe(`default ${id}-*\n`);
  });

  test('of a system that has it from the kernel alone is changed where the kernel has it from', async () => {
    const disk = image({
      '/etc/machine-id': '',
      '/etc/kernel/cmdline': `quiet systemd.machine_id=${MACHINE_ID}\n`,
      [`/boot/${MACHINE_ID}/linux`]: 'kernel\n',
    });
    const { proof } = await personalise(disk.path);
    expect(left(disk)).toBe('');
    const seen = withMount(disk, `cat $M/etc/machine-id $M/etc/kernel/cmdline $M/boot/${proof.machineId}/linux`);
    expect(seen).toBe(`${proof.machineId}\nquiet systemd.machine_id=${proof.machineId}\nkernel\n`);
  });

  test('is asked about where it cannot be changed', async () => {
    const disk = image({
      '/boot/efi/EFI/Linux/debian.efi': { text: Buffer.from(`MZ\0\0systemd.machine_id=${MACHINE_ID}\0`) },
      '/opt/latin1': { text: Buffer.concat([Buffer.from(`id=${MACHINE_ID} `), Buffer.from([0xe9, 0x0a])]) },
    });
    const { unknown } = await engine.plan(disk.path, request, signal);
    expect(unknown.map(({ rule, path }) => [rule, path])).toEqual([
      ['machine-id-copies', '/opt/latin1'],
      ['machine-id-copies', '/boot/efi/EFI/Linux/debian.efi'],
    ]);
  });

  test('is asked about where the firmware may start from a file system that the system does not mount', async () => {
    const root = { '/etc/fstab': 'LABEL=root / ext4 defaults 0 1\n', '/boot/efi/below-the-mount': 'x\n' };
    const disk = makeSeveral(folder, { root, esp: { '/loader/entries/a.conf': entry(MACHINE_ID) } });
    const { unknown, coverage } = await engine.plan(disk.path, request, signal);
    expect(unknown.filter(({ rule }) => rule === 'machine-id-copies').map(({ value }) => value)).toEqual([
      'at byte 1048576: fat, which nothing mounts',
    ]);
    expect(coverage?.isComplete).toBe(false);
  });

  test.each([
    ['in a text', `echo id=${MACHINE_ID} > $M/srv/late`, '/srv/late has the machine-id of the lead'],
    ['in a name', `mkdir $M/srv/${MACHINE_ID}`, `/srv/${MACHINE_ID} is named by the machine-id of the lead`],
    ['by the kernel', `echo systemd.machine_id=${'f'.repeat(32)} > $M/etc/kernel/cmdline`, 'another machine-id'],
    ['an address', 'echo listen 10.0.0.11 > $M/srv/late', '/srv/late has 10.0.0.11'],
    ['with dashes', `echo ${DASHED.toUpperCase()} > $M/opt/late`, '/opt/late has the machine-id'],
  ])('verification finds what has come back: %s', async (_, script, problem) => {
    const disk = image({ '/srv/x': 'x', '/opt/x': 'x', '/etc/kernel/x': 'x' });
    const plan = await personalise(disk.path);
    withMount(disk, script, 'rw');
    const { verified, problems } = await engine.verify(disk.path, request, plan, signal);
    expect([verified, problems.join('\n')]).toEqual([false, expect.stringContaining(problem)]);
  });

  test('a file that somebody has renamed since is not touched', async () => {
    const disk = image({ [`/boot/${MACHINE_ID}/linux`]: 'kernel\n' });
    const plan = await engine.plan(disk.path, request, signal);
    withMount(disk, `mv $M/boot/${MACHINE_ID} $M/boot/mine`, 'rw');
    await expect(engine.apply(disk.path, plan, signal)).rejects.toMatchObject({ code: 'IDENTITY_FAILED' });
    expect(withMount(disk, 'cat $M/etc/hostname $M/boot/mine/linux')).toBe('web1\nkernel\n');
  });
});
