// Goal: a system that lies on several file systems of its disk is one system: all of it is looked into, changed and
// verified, at once or not at all.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { IdentityEngine, Plan } from '../../src/identity/mod.ts';
import { createIdentityEngine, ruleSet } from '../../src/identity/mod.ts';
import { run } from '../support/disk-image.ts';
import {
  addXfs,
  catFat,
  checkSeveral,
  ESP_UUID,
  makeSeveral,
  ROOT_UUID,
  type SeveralDisk,
} from '../support/several-file-systems.ts';
import {
  type Content,
  catFile,
  digestOfFile,
  JOURNALLED,
  LEAD,
  makeDirty,
  SPARE,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
const LOADER = 'the boot loader of a vendor\n'.repeat(3000);
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-several-test-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function personalise(disk: SeveralDisk, asked: Parameters<IdentityEngine['plan']>[1] = request): Promise<Plan> {
  const plan = await engine.plan(disk.path, asked, signal);
  await engine.apply(disk.path, plan, signal);
  expect(await engine.verify(disk.path, asked, plan, signal)).toEqual({ verified: true, problems: [] });
  expect(checkSeveral(disk)).toBe('');
  const after = digestOfFile(disk.path);
  await engine.apply(disk.path, plan, signal);
  expect(digestOfFile(disk.path)).toBe(after);
  return plan;
}

describe('a system on several file systems', () => {
  test.each([12, 16, 32] as const)('what lies in /var and on FAT%i is found and changed', async (fatBits) => {
    const variable = {
      '/spool/cron/crontabs/anna': '@daily /usr/bin/report\n',
      '/lib/misc/host': 'web1 has 10.0.0.11\n',
    };
    const esp = { '/loader/random-seed': 'seed', '/a name that is long.txt': 'kept\n' };
    const disk = makeSeveral(folder, { fatBits, variable, esp });
    const before = digestOfFile(disk.path);
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    expect(digestOfFile(disk.path)).toBe(before);
    const found = (rule: string): string[] => findings.filter((one) => one.rule === rule).map(({ path }) => path);
    expect(found('random-seed')).toEqual(['/var/lib/systemd/random-seed', '/boot/efi/loader/random-seed']);
    expect(found('cron')).toContain('/var/spool/cron/crontabs/anna');
    // What is mounted over hides it: no system ever reads it.
    expect(findings.filter(({ path }) => path.includes('below-the-mount'))).toEqual([]);
    expect(found('file-systems').length).toBe(1);

    const plan = await personalise(disk);
    expect(plan.unknown.filter(({ rule }) => rule === 'file-systems')).toEqual([]);
    expect(catFat(disk, '/loader/random-seed')).toBeNull();
    expect(catFat(disk, '/a name that is long.txt')).toBe('kept\n');
    expect(withMount(disk.variable, 'ls $M/lib/systemd')).toBe('');
    expect(catFile(disk.root, '/etc/hostname')).toBe('spare1\n');
    expect(catFile(disk.root, '/var/below-the-mount')).toBe('web1 10.0.0.11\n');
  });

  test.each([
    ['something', {}],
    ['nothing', { '/lib/systemd/random-seed': null }],
  ])(
    'as a snapshot of a running host leaves it: a FAT in use, a journal in /var, where %s is to be changed',
    async (_, variable) => {
      const disk = makeSeveral(folder, { variable, esp: { '/loader/random-seed': 'seed' } });
      makeDirty(
        disk.variable,
        'mkdir $M/spool; echo 10.0.0.11 > $M/spool/only-in-the-journal; sync $M/spool/only-in-the-journal',
      );
      // The kernel's mark of a FAT that is mounted: bit 0 of byte 65 of FAT32's boot sector, and its copy.
      const esp = Number(disk.esp.split('@@')[1]);
      run('sh', [
        '-c',
        `for at in 65 3137; do printf '\\001' | dd of="$1" bs=1 seek=$((${esp} + at)) conv=notrunc status=none; done`,
        'sh',
        disk.path,
      ]);
      await personalise(disk);
      expect(catFile({ ...disk.variable }, JOURNALLED)).toBe('yes\n');
      expect(catFat(disk, '/loader/random-seed')).toBeNull();
    },
  );

  test.each([
    ['FAT', '/boot/efi/loader/random-seed'],
    ['/var', '/var/lib/systemd/random-seed'],
  ])('only %s changes, and a root that says it is whole still tells that the writing has begun', async (_, path) => {
    const disk = makeSeveral(folder, { esp: { '/loader/random-seed': 'seed' } });
    const own = {
      name: 'seed',
      why: 'A trial.',
      path: [path],
      action: 'delete',
      secret: false,
      units: [],
      run: [],
    } as const;
    const steps: string[] = [];
    const narrow = createIdentityEngine({
      stateFolder: join(folder, 'state'),
      rules: ruleSet('a trial', [own], { only: true, canRun: false }),
      onStep: (step) => void steps.push(step),
    });
    const plan = await narrow.plan(disk.path, request, signal);
    expect(plan.changes.map((change) => change.path)).toEqual([path]);
    await narrow.apply(disk.path, plan, signal);
    expect(steps).toContain('write superblock');
    expect(await narrow.verify(disk.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(await narrow.plan(disk.path, request, signal)).toMatchObject({ changes: [] });
  });

  test('what is mounted and is not on the disk is for somebody to decide', async () => {
    const absent = (last: number): string => `UUID=0d4b5d1c-0000-4000-8000-00000000000${last}`;
    const elsewhere = [
      `${absent(1)} /srv ext4 defaults 0 2`,
      '/dev/mapper/vg0-home /home ext4 defaults 0 2',
      `${absent(2)} /backup ext4 defaults,nofail 0 2`,
      `${absent(3)} none swap sw 0 0`,
      'UUID=A1B2-C3D4 /boot/efi vfat subvolid=5 0 1',
      'tmpfs /tmp tmpfs defaults 0 0',
      '/srv/a /srv/b none bind 0 0',
      '',
    ].join('\n');
    const own = (lines: string) => ({
      root: { '/etc/fstab': `UUID=${ROOT_UUID} / ext4 defaults 0 1\n${lines}${elsewhere}` },
    });
    const says = async (disk: SeveralDisk) => {
      const { findings } = await engine.inspect(disk.path, LEAD, signal);
      // Nothing is told of what is not a part of the system.
      const inVar = findings.some(({ path }) => path.startsWith('/var/lib'));
      return {
        inVar,
        lines: findings.filter(({ rule }) => rule === 'file-systems').map(({ action, value }) => [action, value]),
      };
    };
    const efi = 'UUID=A1B2-C3D4 /boot/efi';
    expect(await says(makeSeveral(folder, own('')))).toEqual({
      inVar: false,
      lines: [
        ['keep', `UUID=${ROOT_UUID}`],
        // The one that is dispensable may be the one that nothing mounts.
        ['unknown', `${absent(1)} /srv, /dev/mapper/vg0-home /home, ${absent(2)} /backup, ${efi}`],
        ['keep', absent(3)],
        ['keep', 'at byte 1048576: fat, which nothing mounts'],
        ['keep', 'at byte 76546048: ext, which nothing mounts'],
      ],
    });
    rmSync(join(folder, 'disk'));
    const all = `${efi} vfat defaults 0 1\nLABEL=var /var ext4 defaults 0 2\n`;
    expect(await says(makeSeveral(folder, own(all)))).toEqual({
      inVar: true,
      lines: [
        ['keep', `UUID=${ROOT_UUID}, UUID=A1B2-C3D4, LABEL=var`],
        ['unknown', `${absent(1)} /srv, /dev/mapper/vg0-home /home, ${efi}`],
        ['keep', `${absent(2)} /backup`],
        ['keep', absent(3)],
      ],
    });
  });

  test('a file system that systemd finds by itself, one that may be mounted, and a link in the place of one', async () => {
    const fstab = [
      '/dev/vdb2 / ext4 defaults 0 1',
      '# more than one disk has a third partition',
      '/dev/vda3 /srv ext4 defaults 0 2',
      'PARTLABEL=variable\\040data /data/var ext4 noauto 0 2',
      '',
    ].join('\n');
    const files = { '/etc/fstab': fstab, '/efi/.keep': null, '/data/there': { link: '/srv' }, '/srv/.keep': '' };
    const disk = makeSeveral(folder, { root: files, esp: { '/loader/random-seed': 'seed' } });
    run('sh', ['-c', 'sfdisk -q --part-label "$1" 3 "variable data"', 'sh', disk.path]);
    run('debugfs', ['-w', '-R', 'mkdir /efi', disk.root.ext]);
    run('debugfs', ['-w', '-R', 'mkdir /data/var', disk.root.ext]);
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    const found = (rule: string): string[] => findings.filter((one) => one.rule === rule).map(({ path }) => path);
    expect(found('random-seed')).toEqual(['/efi/loader/random-seed']);
    expect(findings.filter(({ rule }) => rule === 'file-systems').map(({ value }) => value)).toEqual([
      'PARTLABEL=variable\\040data',
      '/dev/vda3 /srv',
    ]);
    const plan = await personalise(disk, { ...request, otherHardware: true });
    expect(catFile(disk.root, '/etc/fstab')).toContain(`UUID=${ROOT_UUID} / ext4`);
    // Nothing is mounted over the files that have the address of the lead.
    expect(plan.unknown.map(({ rule, value }) => [rule, value])).toEqual([
      ['disk-names', '/dev/vda3'],
      ['boot-loader', 'no boot loader'],
      ['mentions', '10.0.0.11 in line 1; web1 in line 1'],
      ['mentions', '10.0.0.11 in line 1; web1 in line 1'],
    ]);
  });

  test('on other hardware: disks by their UUID, and the boot loader where any firmware looks', async () => {
    const fstab =
      '/dev/sda2 / ext4 defaults 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n/dev/sda3 /var ext4 defaults 0 2\n';
    const esp = {
      '/EFI/debian/shimx64.efi': `shim ${LOADER}`,
      '/EFI/debian/grubx64.efi': `grub ${LOADER}`,
      '/EFI/debian/mmx64.efi': `mok ${LOADER}`,
      '/loader/entries/debian.conf': 'options root=/dev/sda2 ro\n',
    };
    const disk = makeSeveral(folder, { root: { '/etc/fstab': fstab }, esp });
    const plan = await personalise(disk, { ...request, otherHardware: true });
    expect(plan.unknown).toEqual([]);
    const uuid = run('sh', [
      '-c',
      `debugfs -R 'show_super_stats -h' "$1" 2>/dev/null | sed -n 's/.*UUID: *//p'`,
      'sh',
      disk.variable.ext,
    ]).trim();
    expect(catFile(disk.root, '/etc/fstab')).toBe(
      `UUID=${ROOT_UUID} / ext4 defaults 0 1\nUUID=${ESP_UUID} /boot/efi vfat umask=0077 0 1\nUUID=${uuid} /var ext4 defaults 0 2\n`,
    );
    expect(catFat(disk, '/EFI/BOOT/BOOTX64.EFI')).toBe(`shim ${LOADER}`);
    expect(catFat(disk, '/EFI/BOOT/grubx64.efi')).toBe(`grub ${LOADER}`);
    expect(catFat(disk, '/EFI/BOOT/mmx64.efi')).toBe(`mok ${LOADER}`);
    expect(catFat(disk, '/loader/entries/debian.conf')).toBe(`options root=UUID=${ROOT_UUID} ro\n`);
    expect(engine.show(plan)).toContain('(what /boot/efi/EFI/debian/shimx64.efi is)');
  });

  /** A program that writes the file it is asked for, and fails when what is hidden by a mount can be seen. */
  function shop(): { program: Content; rules: ReturnType<typeof ruleSet>; mounts: Record<string, Content> } {
    const source = `#include <stdio.h>
      #include <stdlib.h>
      int main(int n, char **v) {
        FILE *f = fopen(getenv("UNDERSTUDY_PATH"), "w");
        FILE *hidden = fopen("/var/below-the-mount", "r");
        return f == NULL || hidden != NULL || fprintf(f, "id=%s\\n", v[1]) < 0 || fclose(f) != 0;
      }`;
    writeFileSync(join(folder, 'id.c'), source);
    run('gcc', ['-static', '-o', join(folder, 'id'), join(folder, 'id.c')]);
    const rule = {
      name: 'shop-id',
      why: 'The shop knows its nodes by it.',
      path: ['/var/lib/shop/id', '/etc/shop/id'],
      secret: false,
      action: 'run',
      units: [],
      run: ['/usr/sbin/shop-id', '{{hostName}}'],
    } as const;
    return {
      program: { text: readFileSync(join(folder, 'id')), mode: 0o755 },
      rules: ruleSet('shop.yaml', [rule], { canRun: true }),
      mounts: Object.fromEntries(['proc', 'dev', 'run', 'tmp'].map((name) => [`/${name}/.keep`, ''])),
    };
  }

  test('a program of the image runs with all of them where the system has them', async () => {
    const { program, rules, mounts } = shop();
    const disk = makeSeveral(folder, {
      root: { '/usr/sbin/shop-id': program, ...mounts },
      variable: { '/lib/shop/id': 'id=web1\n' },
      esp: { '/loader/random-seed': 'seed' },
    });
    engine = createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true, rules });
    await personalise(disk);
    expect(catFile(disk.variable, '/lib/shop/id')).toBe('id=spare1\n');
    expect(catFile(disk.root, '/etc/hostname')).toBe('spare1\n');
    expect(catFat(disk, '/loader/random-seed')).toBeNull();
  });

  test('no link in the place of a mount leads what is mounted into the files of this machine', async () => {
    const { program, rules, mounts } = shop();
    // For the system, /a/b lies in the FAT. Where that is not mounted it is a link, which only a program in the image
    // would follow.
    const fstab = `UUID=${ROOT_UUID} / ext4 defaults 0 1\nUUID=${ESP_UUID} /a vfat defaults 0 2\nLABEL=var /a/b ext4 defaults 0 2\n`;
    const disk = makeSeveral(folder, {
      root: {
        '/usr/sbin/shop-id': program,
        '/etc/shop/id': 'id=web1\n',
        '/etc/fstab': fstab,
        '/a/b': { link: '/opt' },
        '/var/below-the-mount': null,
        ...mounts,
      },
      esp: { '/b/.keep': '' },
    });
    const led: string[] = [];
    engine = createIdentityEngine({
      stateFolder: join(folder, 'state'),
      kernelMount: true,
      rules,
      onStep: (step) => {
        if (step === 'run') led.push(...everyMount().filter((place) => place === '/opt'));
      },
    });
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    expect(findings.filter(({ action, value }) => action === 'keep' && value.includes('LABEL=var'))).toHaveLength(1);
    await personalise(disk);
    expect(led).toEqual([]);
    expect(catFile(disk.root, '/etc/shop/id')).toBe('id=spare1\n');
  });

  test.each([
    ['changed', { '/lib/systemd/random-seed': 'seed' }],
    ['left as it is', { '/lib/here': 'yes' }],
  ])('an XFS of its own, which only a kernel mount can read, is %s', async (_, files) => {
    const disk = makeSeveral(folder, {
      root: {
        '/etc/fstab': `UUID=${ROOT_UUID} / ext4 defaults 0 1\nLABEL=data /srv xfs defaults 0 2\n`,
        '/srv/.keep': '',
      },
    });
    const data = addXfs(disk, writeTree(join(folder, 'data'), files));
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    const isAsked = (one: (typeof findings)[number]): boolean =>
      one.action === 'unknown' && one.value === 'LABEL=data /srv';
    expect(findings.filter(isAsked)).toHaveLength(1);
    const rule = {
      name: 'seeds',
      why: 'It must not exist twice.',
      path: ['/srv/lib/systemd/*'],
      secret: false,
      action: 'delete',
      units: [],
      run: [],
    } as const;
    const rules = ruleSet('seeds.yaml', [rule], { canRun: true });
    engine = createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true, rules });
    const seen = await engine.inspect(disk.path, LEAD, signal);
    expect(seen.findings.filter(isAsked)).toEqual([]);
    const plan = await engine.plan(disk.path, request, signal);
    await engine.apply(disk.path, plan, signal);
    expect(await engine.verify(disk.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(catFile(disk.root, '/etc/hostname')).toBe('spare1\n');
    expect(data('find . -type f | sort')).toBe('/lib/here' in files ? './lib/here\n' : '');
  });

  test('interrupted at any step it is all of one host or, once called again, all of the other', async () => {
    const disk = makeSeveral(folder, { fatBits: 16, esp: { '/loader/random-seed': 'seed' } });
    const plan = await engine.plan(disk.path, request, signal);
    const original = join(folder, 'original');
    run('cp', ['--sparse=always', disk.path, original]);
    const whole = digestOfFile(disk.path);
    let written = 0;
    for (let stop = 1, steps = Number.POSITIVE_INFINITY; stop <= steps; stop += stop < 7 ? 2 : 3) {
      run('cp', ['--sparse=always', original, disk.path]);
      let seen = 0;
      const broken = createIdentityEngine({
        stateFolder: join(folder, 'state'),
        onStep: () => {
          seen += 1;
          if (seen === stop) throw new Error('stopped here');
        },
      });
      const ended = await broken.apply(disk.path, plan, signal).then(
        () => true,
        () => false,
      );
      if (ended) steps = seen;
      if (!ended && digestOfFile(disk.path) !== whole) written += 1;
      await engine.apply(disk.path, plan, signal);
      expect(await engine.verify(disk.path, request, plan, signal), `stopped at ${stop}`).toEqual({
        verified: true,
        problems: [],
      });
      expect(checkSeveral(disk)).toBe('');
      expect(catFat(disk, '/loader/random-seed')).toBeNull();
    }
    expect(written).toBeGreaterThan(0);
  });
});

/** Where anything is mounted for any process of this machine. */
function everyMount(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n');
      } catch {
        // It has ended.
        return [];
      }
    })
    .map((line) => line.split(' ')[4] ?? '');
}
