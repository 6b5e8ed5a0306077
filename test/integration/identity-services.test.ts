// Goal: a pet with one of everything, on a real file system: each rule finds its part, and the report and the plan are
// those that were read by a person once. And systems that are not Debian, made from their documented formats.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { createIdentityEngine, type IdentityEngine, showFindings } from '../../src/identity/mod.ts';
import { run } from '../support/disk-image.ts';
import type { MemoryNode } from '../support/memory-tree.ts';
import { serviceCases } from '../support/pet-services.ts';
import {
  type Content,
  catFile,
  checkImage,
  digestOfFile,
  LEAD,
  makeImage,
  SPARE,
  type SystemImage,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const GOLDEN = new URL('./identity-services.golden.txt', import.meta.url);
const { MIB } = limits;
const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-identity-test-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state'), formats: 'detect' });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function image(files: Readonly<Record<string, Content | null>>): SystemImage {
  return makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), files), { sizeBytes: 64 * MIB });
}

function contentOf(node: MemoryNode): Content {
  if (typeof node === 'string') return node;
  if (Buffer.isBuffer(node)) return { text: node };
  return 'program' in node ? { text: node.program, mode: 0o755 } : node;
}

function pet(): SystemImage {
  const services = Object.values(serviceCases).flatMap(({ files }) => Object.entries(files));
  return image({ ...systemFiles(), ...Object.fromEntries(services.map(([path, node]) => [path, contentOf(node)])) });
}

describe('a pet with one of everything', () => {
  test('the report is the one that was read, with nothing secret in it', async () => {
    const disk = pet();
    const before = digestOfFile(disk.path);
    const { findings } = await engine.inspect(disk.path, LEAD, signal);
    const report = showFindings(findings);
    if (process.env.UNDERSTUDY_WRITE_GOLDEN !== undefined) writeFileSync(GOLDEN, report);
    expect(report).toBe(readFileSync(GOLDEN, 'utf8'));
    for (const secret of Object.values(serviceCases).flatMap(({ secrets = [] }) => secrets)) {
      expect(report).not.toContain(secret);
      expect(JSON.stringify(findings)).not.toContain(secret);
    }
    expect(digestOfFile(disk.path)).toBe(before);
  });

  test('planned, applied and verified; the kernel sees what was planned, and a second time changes nothing', async () => {
    const disk = pet();
    const plan = await engine.plan(disk.path, request, signal);
    expect((await engine.plan(disk.path, request, signal)).fingerprint).toBe(plan.fingerprint);
    await engine.apply(disk.path, plan, signal);
    expect(await engine.verify(disk.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(checkImage(disk)).toBe('');
    const gone = Object.values(serviceCases)
      .flatMap(({ after = {} }) => Object.entries(after))
      .filter(([, text]) => text === null)
      .map(([path]) => path);
    const left = withMount(disk, gone.map((path) => `[ ! -e "$M${path}" ] || echo "${path}"`).join('\n'));
    expect([gone.length > 10, left]).toEqual([true, '']);
    expect(catFile(disk, '/etc/cron.d/invoices')).toContain('# understudy: */5');
    const after = digestOfFile(disk.path);
    await engine.apply(disk.path, plan, signal);
    expect(digestOfFile(disk.path)).toBe(after);
  });

  test('as a qcow2 image: the same plan, and the same files afterwards', async () => {
    const disk = pet();
    const wanted = await engine.plan(disk.path, request, signal);
    const qcow = join(folder, 'image.qcow2');
    run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk.path, qcow]);
    const plan = await engine.plan(qcow, request, signal);
    expect(plan.fingerprint).toBe(wanted.fingerprint);
    await engine.apply(qcow, plan, signal);
    expect((await engine.verify(qcow, request, plan, signal)).verified).toBe(true);
    run('qemu-img', ['check', '-q', qcow]);
    run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', qcow, disk.path]);
    expect((await engine.verify(disk.path, request, plan, signal)).verified).toBe(true);
    expect(checkImage(disk)).toBe('');
  });

  test('a qcow2 image is one only for who expects it, and names no other files', async () => {
    const disk = pet();
    const qcow = join(folder, 'image.qcow2');
    run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', disk.path, '-F', 'raw', qcow]);
    const raw = createIdentityEngine({ stateFolder: join(folder, 'state') });
    await expect(raw.inspect(qcow, LEAD, signal)).rejects.toMatchObject({ code: 'IMAGE_UNSUPPORTED' });
    const refusal = { code: 'IMAGE_UNSUPPORTED', message: expect.stringContaining('partly in other files') };
    await expect(engine.inspect(qcow, LEAD, signal)).rejects.toMatchObject(refusal);
  });

  test('what somebody decided to keep is kept, with the reason', async () => {
    const disk = pet();
    const kept = [
      { rule: 'cron', path: '/etc/cron.d/invoices', because: 'It asks the database whose turn it is.' },
      { rule: 'file-systems', because: 'The share is read only by the application.' },
    ];
    const own = createIdentityEngine({ stateFolder: join(folder, 'state'), kept });
    const plan = await own.plan(disk.path, request, signal);
    expect(plan.changes.map(({ path }) => path)).not.toContain('/etc/cron.d/invoices');
    expect(plan.findings.find(({ path }) => path === '/etc/cron.d/invoices')).toMatchObject({
      action: 'keep',
      why: kept[0]?.because,
    });
    expect(plan.unknown.filter(({ rule }) => rule === 'file-systems')).toEqual([]);
    await own.apply(disk.path, plan, signal);
    expect(await own.verify(disk.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
  });
});

const NOT_DEBIAN: Readonly<Record<string, Content | null>> = {
  '/etc/network/interfaces': null,
  '/etc/understudy/agent.json': null,
  '/etc/systemd/system/multi-user.target.wants/understudy-agent.service': null,
  '/etc/systemd/system/understudy-agent.service': null,
  '/etc/nginx/sites-enabled/wiki': null,
};

const strangers: Readonly<Record<string, { files: Record<string, Content>; becomes: Record<string, RegExp> }>> = {
  'Ubuntu, with netplan and cloud-init': {
    files: {
      '/usr/lib/os-release': 'ID=ubuntu\nVERSION_ID="24.04"\n',
      '/etc/netplan/50-cloud-init.yaml':
        'network:\n    ethernets:\n        eth0:\n            addresses:\n            - 10.0.0.11/24\n            match:\n' +
        '                macaddress: 52:54:00:00:00:11\n            nameservers:\n                addresses: [10.0.0.2]\n' +
        '            routes:\n            -   to: default\n                via: 10.0.0.1\n            set-name: eth0\n    version: 2\n',
      '/etc/cloud/cloud.cfg': 'users: [default]\n',
      '/var/lib/cloud/data/instance-id': 'iid-datasource-none\n',
      '/var/lib/dbus/machine-id': { link: '/etc/machine-id' },
    },
    becomes: {
      '/etc/netplan/50-cloud-init.yaml':
        /- 10\.0\.0\.12\/24\n(.*\n)*\s*macaddress: 52:54:00:00:00:12\n(.*\n)*.*via: 10\.0\.0\.1\n/,
      '/etc/cloud/cloud-init.disabled': /clone/,
    },
  },
  'Fedora, with key files of NetworkManager': {
    files: {
      '/usr/lib/os-release': 'ID=fedora\nVERSION_ID=41\n',
      '/etc/NetworkManager/system-connections/Wired connection 1.nmconnection': {
        text:
          '[connection]\nid=Wired connection 1\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\n\n[ipv4]\naddress1=10.0.0.11/24,10.0.0.1\n' +
          'dns=10.0.0.2;\nmethod=manual\n\n[ipv6]\naddr-gen-mode=default\nmethod=auto\n',
        mode: 0o600,
      },
      '/var/lib/NetworkManager/secret_key': { text: Buffer.from([1, 2, 3, 4, 250, 251]), mode: 0o600 },
      '/var/lib/systemd/random-seed': { text: Buffer.alloc(32, 9), mode: 0o600 },
    },
    becomes: {
      '/etc/NetworkManager/system-connections/Wired connection 1.nmconnection':
        /address1=10\.0\.0\.12\/24,10\.0\.0\.1\n/,
    },
  },
  'Alpine, with OpenRC': {
    files: {
      '/usr/lib/os-release': 'ID=alpine\nVERSION_ID=3.20.3\n',
      '/etc/network/interfaces':
        'auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 10.0.0.11\n\tnetmask 255.255.255.0\n\tgateway 10.0.0.1\n',
      '/etc/crontabs/root': '*/15 * * * * run-parts /etc/periodic/15min\n0 2 * * * /usr/local/bin/send-bills\n',
      '/etc/wireguard/wg0.conf': { text: '[Interface]\nPrivateKey = x\n', mode: 0o600 },
      '/etc/runlevels/default/wg-quick@wg0': { link: '/etc/init.d/wg-quick' },
    },
    becomes: {
      '/etc/network/interfaces': /address 10\.0\.0\.12\n\tnetmask 255\.255\.255\.0\n/,
      '/etc/crontabs/root': /run-parts \/etc\/periodic\/15min\n# understudy: 0 2 /,
    },
  },
  'Red Hat, with ifcfg': {
    files: {
      '/usr/lib/os-release': 'ID="rhel"\nVERSION_ID="8.10"\n',
      '/etc/sysconfig/network-scripts/ifcfg-eth0':
        'TYPE=Ethernet\nBOOTPROTO=none\nDEVICE=eth0\nONBOOT=yes\nIPADDR=10.0.0.11\nPREFIX=24\nGATEWAY=10.0.0.1\n',
    },
    becomes: { '/etc/sysconfig/network-scripts/ifcfg-eth0': /IPADDR=10\.0\.0\.12\nPREFIX=24\nGATEWAY=10\.0\.0\.1\n/ },
  },
};

describe('systems of others', () => {
  test.each(Object.entries(strangers))('%s', async (_, { files, becomes }) => {
    const disk = image({ ...systemFiles(), ...NOT_DEBIAN, ...files });
    const who = await engine.identify(disk.path, signal);
    expect(who).toMatchObject({ hostName: 'web1', domain: 'example.org' });
    expect(who.interfaces.map(({ name, addresses }) => [name, addresses])).toEqual([['eth0', ['10.0.0.11/24']]]);
    const own = { lead: who, understudy: SPARE };
    const plan = await engine.plan(disk.path, own, signal);
    expect(plan.unknown).toEqual([]);
    await engine.apply(disk.path, plan, signal);
    expect(await engine.verify(disk.path, own, plan, signal)).toEqual({ verified: true, problems: [] });
    expect(checkImage(disk)).toBe('');
    const seen = Object.entries(becomes).map(([path, text]) => ({
      path,
      text,
      is: withMount(disk, `cat "$M${path}"`),
    }));
    for (const { path, text, is } of seen) expect(is, path).toMatch(text);
    expect(withMount(disk, 'grep -rlF 10.0.0.11 $M/etc || true')).toBe('');
    expect(await engine.identify(disk.path, signal)).toMatchObject({ hostName: 'spare1' });
  });
});

describe('a host with other hardware', () => {
  const lead: Record<string, Content> = {
    '/etc/fstab': '/dev/sda2 / ext4 errors=remount-ro 0 1\n',
    '/boot/grub/grub.cfg': 'linux /vmlinuz root=/dev/sda2 ro quiet\n',
  };

  test('names of its disk become what it keeps there; what nobody knows of the other host is asked', async () => {
    const disk = image({ ...systemFiles(), ...lead });
    const alike = await engine.plan(disk.path, request, signal);
    expect(alike.findings.filter(({ rule }) => rule === 'disk-names').map(({ action }) => action)).toEqual([
      'keep',
      'keep',
    ]);
    const other = { ...request, otherHardware: true };
    const plan = await engine.plan(disk.path, other, signal);
    await engine.apply(disk.path, plan, signal);
    expect(await engine.verify(disk.path, other, plan, signal)).toEqual({ verified: true, problems: [] });
    const uuid = run('blkid', ['-s', 'UUID', '-o', 'value', disk.path]).trim();
    expect(catFile(disk, '/etc/fstab')).toBe(`UUID=${uuid} / ext4 errors=remount-ro 0 1\n`);
    expect(catFile(disk, '/boot/grub/grub.cfg')).toBe(`linux /vmlinuz root=UUID=${uuid} ro quiet\n`);
  });

  test('disks that are not the root, and drivers that only the lead needs, are for somebody to decide', async () => {
    const disk = image({
      ...systemFiles(),
      '/etc/fstab': '/dev/sdb1 /srv ext4 defaults 0 2\n',
      '/etc/initramfs-tools/initramfs.conf': '# MODULES=most\nMODULES=dep\n',
    });
    const plan = await engine.plan(disk.path, { ...request, otherHardware: true }, signal);
    expect(plan.unknown.map(({ path, value }) => [path, value])).toEqual([
      ['/etc/fstab', '/dev/sdb1'],
      ['/etc/initramfs-tools/initramfs.conf', 'MODULES=dep'],
    ]);
  });

  test('an initial file system of dracut is made again by whatever name it has, but not one that rescues', async () => {
    const disk = image({
      ...systemFiles(),
      '/usr/lib/dracut/dracut.conf.d/01-dist.conf': 'hostonly="yes"\n',
      '/boot/initramfs-6.8.5-301.fc40.x86_64.img': 'as Fedora',
      '/boot/initramfs-0-rescue-0123.img': 'of nobody',
      '/boot/initrd.img-6.1.0-56-amd64': 'as Debian',
      '/usr/lib/modules/6.8.5-301.fc40.x86_64/modules.dep': '',
      '/usr/lib/modules/6.1.0-56-amd64/modules.dep': '',
      '/lib': { link: 'usr/lib' },
    });
    const allowed = createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true });
    const plan = await allowed.plan(disk.path, { ...request, otherHardware: true }, signal);
    const made = ['/boot/initramfs-6.8.5-301.fc40.x86_64.img', '/boot/initrd.img-6.1.0-56-amd64'];
    expect(plan.commands?.map(({ command }) => command)).toEqual([
      ['/usr/bin/dracut', '--force', '--no-hostonly', made[0], '6.8.5-301.fc40.x86_64'],
      ['/usr/bin/dracut', '--force', '--no-hostonly', made[1], '6.1.0-56-amd64'],
    ]);
    expect(plan.unknown).toEqual([]);
  });

  test.each(['bare', 'gpt', 'mbr'] as const)(
    'a larger disk is filled, %s, and doing it again changes nothing',
    async (layout) => {
      const tree = writeTree(join(folder, 'tree'), systemFiles());
      const disk = makeImage(join(folder, 'image'), tree, { layout, sizeBytes: 48 * MIB });
      truncateSync(disk.path, 160 * MIB);
      const grown = { ...request, grow: true };
      const plan = await engine.plan(disk.path, grown, signal);
      await engine.apply(disk.path, plan, signal);
      expect(await engine.verify(disk.path, grown, plan, signal)).toEqual({ verified: true, problems: [] });
      expect(checkImage(disk)).toBe('');
      const bytes = withMount(disk, 'stat -f -c "%S %b" $M').trim().split(' ').map(Number);
      expect((bytes[0] ?? 0) * (bytes[1] ?? 0)).toBeGreaterThan(120 * MIB);
      if (layout !== 'bare') expect(run('sfdisk', ['--verify', disk.path])).toContain('No errors detected');
      const after = digestOfFile(disk.path);
      await engine.apply(disk.path, plan, signal);
      expect(digestOfFile(disk.path)).toBe(after);
    },
  );
});
