// The list of what starts: each way is in it with its file and its programs, and with what knows it.
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type MemoryNode, memoryTree } from '../../test/support/memory-tree.ts';
import { LEAD } from '../../test/support/system-image.ts';
import { seededRandom } from '../base/mod.ts';
import type { StartEntry } from './contract.ts';
import { builtinRules } from './rules/mod.ts';
import { showStarts } from './show.ts';
import { startsIn } from './started.ts';
import { fileTree } from './tree/mod.ts';

const ADMIN = '/etc/systemd/system';
const wants = (unit: string): string => `${ADMIN}/multi-user.target.wants/${unit}`;

async function entriesOf(files: Readonly<Record<string, MemoryNode>>): Promise<Inspected> {
  const tree = fileTree(memoryTree(files));
  const findings = [];
  for (const rule of builtinRules)
    findings.push(...(await rule.find(tree, { lead: LEAD, understudy: null, claimed: new Set() })));
  return startsIn(tree, findings);
}

type Inspected = Awaited<ReturnType<typeof startsIn>>;
const facts = (entries: Inspected, wanted: (entry: StartEntry) => boolean): unknown[] =>
  entries.filter(wanted).map(({ way, name, path, line, programs }) => [way, name, path, line, programs]);

const everyWay: Readonly<Record<string, MemoryNode>> = {
  '/etc/passwd': 'ci:x:1001:1001::/home/ci:/bin/sh\n',
  '/var/lib/systemd/linger/ci': '',
  [`${ADMIN}/shop.service`]:
    '[Service]\nExecStartPre=+/opt/shop/prepare\nExecStart=/opt/shop/server --key=hidden-word\n',
  [wants('shop.service')]: { link: '../shop.service' },
  '/home/ci/.config/systemd/user/bot.service': '[Service]\nExecStart=%h/bot\n',
  '/home/ci/.config/systemd/user/default.target.wants/bot.service': { link: '../bot.service' },
  [wants('masked.service')]: { link: '/x' },
  [`${ADMIN}/masked.service`]: { link: '/dev/null' },
  '/etc/systemd/system-generators/site': { program: '#!/bin/sh\n/opt/site/units\n' },
  '/etc/init.d/old': { program: '#!/bin/sh\n/opt/old/daemon\n' },
  '/etc/rc3.d/S50old': { link: '../init.d/old' },
  '/etc/runlevels/default/rc': { link: '/etc/init.d/rc' },
  '/etc/init.d/rc': { program: '#!/sbin/openrc-run\ncommand=/opt/rc/daemon\n' },
  '/etc/inittab': 'x1:2345:respawn:/opt/console --pass hidden-word\n',
  '/etc/rc.local': { program: '#!/bin/sh\n/opt/late hidden-word\n' },
  '/etc/cron.d/shop': '@reboot root /opt/shop/cache -phidden-word\n',
  '/etc/udev/rules.d/99-usb.rules': 'SUBSYSTEM=="usb", \\\n  RUN+="/opt/usb-added"\n',
  '/etc/network/interfaces': 'iface eth0 inet dhcp\n  up /opt/announce\n',
  '/etc/NetworkManager/dispatcher.d/50-site': { program: '#!/bin/sh\n/opt/site-up\n' },
  '/etc/supervisor/conf.d/web.conf': '[program:web]\ncommand=/opt/web/run -p hidden-word\n',
  '/etc/service/queue/run': { program: '#!/bin/sh\nexec /opt/queue\n' },
  '/home/ci/.pm2/dump.pm2': '[{"name": "api", "pm_exec_path": "/opt/api.js"}]',
  '/etc/inetd.conf': 'x stream tcp nowait root /opt/x x\n',
  '/etc/xinetd.d/y': 'service y\n{\n  server = /opt/y\n}\n',
  '/etc/libvirt/qemu/autostart/vm.xml': { link: '/etc/libvirt/qemu/vm.xml' },
  '/var/lib/lxc/box/config': 'lxc.start.auto = 1\n',
  '/etc/kubernetes/manifests/api.yaml': 'kind: Pod\n',
};

test('each way of starting is listed, with its file and program, and without arguments', async () => {
  const entries = await entriesOf(everyWay);
  expect(facts(entries, () => true)).toEqual([
    ['systemd', 'shop.service', `${ADMIN}/shop.service`, null, ['/opt/shop/prepare', '/opt/shop/server']],
    ['systemd', 'site', '/etc/systemd/system-generators/site', null, ['/etc/systemd/system-generators/site']],
    ['systemd user', 'ci: bot.service', '/home/ci/.config/systemd/user/bot.service', null, ['/home/ci/bot']],
    ['sysv', 'old', '/etc/init.d/old', null, ['/opt/old/daemon']],
    ['openrc', 'rc', '/etc/init.d/rc', null, ['/opt/rc/daemon']],
    ['inittab', 'inittab x1', '/etc/inittab', 1, ['/opt/console']],
    ['rc.local', 'rc.local', '/etc/rc.local', null, ['/opt/late']],
    ['cron', 'shop', '/etc/cron.d/shop', 1, ['/opt/shop/cache']],
    ['udev', '99-usb.rules', '/etc/udev/rules.d/99-usb.rules', 1, ['/opt/usb-added']],
    ['ifupdown', 'interfaces', '/etc/network/interfaces', 2, ['/opt/announce']],
    ['hook', '50-site', '/etc/NetworkManager/dispatcher.d/50-site', null, ['/opt/site-up']],
    ['supervisor', 'web', '/etc/supervisor/conf.d/web.conf', 1, ['/opt/web/run']],
    ['supervisor', 'queue', '/etc/service/queue/run', null, ['/opt/queue']],
    ['supervisor', 'ci: api.js', '/home/ci/.pm2/dump.pm2', null, ['/opt/api.js']],
    ['inetd', 'x', '/etc/inetd.conf', 1, ['/opt/x']],
    ['inetd', 'y', '/etc/xinetd.d/y', null, ['/opt/y']],
    ['container', 'vm.xml', '/etc/libvirt/qemu/autostart/vm.xml', null, []],
    ['container', 'api.yaml', '/etc/kubernetes/manifests/api.yaml', null, []],
    ['container', 'box', '/var/lib/lxc/box/config', null, []],
  ]);
  expect(JSON.stringify(entries)).not.toContain('hidden-word');
  const open = entries.filter(({ knownBy }) => knownBy === null);
  expect(open.map(({ way }) => way)).not.toContain('cron');
  const shown = showStarts(entries);
  expect(shown).toMatch(
    /^starts, not understood:\n {2}systemd {2}\/etc\/systemd\/system\/shop\.service {2}shop\.service: /,
  );
  expect(shown).toContain('  udev  /etc/udev/rules.d/99-usb.rules:1  99-usb.rules: /opt/usb-added\n');
  expect(shown.trim().split('\n')).toHaveLength(1 + open.length);
});

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const HOOK = '#!/bin/sh\n/usr/sbin/tool\n';
const installed = (name: string, priority: string, more = ''): string =>
  `Package: ${name}\nStatus: install ok installed\nPriority: ${priority}\n${more}\n`;
const DPKG: Readonly<Record<string, MemoryNode>> = {
  '/var/lib/dpkg/status': [
    installed('cool', 'important', `Conffiles:\n /etc/network/if-up.d/tool ${md5(HOOK)}\n`),
    installed('nginx-common', 'optional'),
    installed('syncthing', 'optional'),
    'Package: gone\nStatus: deinstall ok config-files\nPriority: required\n',
  ].join('\n'),
  '/var/lib/dpkg/info/cool:amd64.list': '/.\n/lib/systemd/system/cool.service\n/etc/network/if-up.d/tool\n/sbin/tool\n',
  '/var/lib/dpkg/info/nginx-common.list': '/usr/lib/systemd/system/nginx.service\n/usr/sbin/nginx\n',
  '/var/lib/dpkg/info/syncthing.list': '/usr/lib/systemd/system/syncthing.service\n',
  '/var/lib/dpkg/info/gone.list': '/usr/lib/systemd/system/gone.service\n',
};
const unit = (name: string, program: string): Record<string, MemoryNode> => ({
  [`/usr/lib/systemd/system/${name}`]: `[Service]\nExecStart=${program}\n`,
  [wants(name)]: { link: `/usr/lib/systemd/system/${name}` },
});

test.each<readonly [what: string, files: Readonly<Record<string, MemoryNode>>, knownBy: string | null]>([
  ['a unit of a package that every system has', unit('cool.service', '/usr/bin/true'), 'package cool'],
  ['a unit of a package that is known', unit('nginx.service', '/usr/sbin/nginx'), 'package nginx-common'],
  ['a unit of a package that nobody knows', unit('syncthing.service', '/usr/bin/syncthing'), null],
  ['a unit of a package that is gone', unit('gone.service', '/usr/bin/true'), null],
  ['a unit of no package', unit('own.service', '/usr/sbin/nginx'), null],
  [
    'a unit of a package with another program by a drop-in',
    {
      ...unit('nginx.service', '/usr/sbin/nginx'),
      [`${ADMIN}/nginx.service.d/1.conf`]: '[Service]\nExecStartPre=/opt/x\n',
      '/opt/x': { program: '#!/bin/sh\n' },
    },
    null,
  ],
  ['a file of configuration as it came', { '/etc/network/if-up.d/tool': { program: HOOK } }, 'package cool'],
  ['a file of configuration that was changed', { '/etc/network/if-up.d/tool': { program: `${HOOK}/opt/x\n` } }, null],
  [
    'what a rule disables',
    { ...unit('vip.service', '/usr/sbin/keepalived'), '/etc/keepalived/keepalived.conf': 'vrrp_instance A {\n' },
    'rule clusters',
  ],
  [
    'the agent',
    { ...unit('understudy-agent.service', '/usr/bin/node'), '/etc/understudy/agent.json': '{}' },
    'rule agent',
  ],
])('what knows it: %s', async (_, files, knownBy) => {
  const entries = await entriesOf({ ...DPKG, '/usr/sbin/nginx': 'ELF', '/usr/sbin/tool': 'ELF', ...files });
  expect(entries.map((entry) => entry.knownBy)).toEqual([knownBy]);
});

test.each<readonly [what: string, files: Readonly<Record<string, MemoryNode>>, knownBy: string | null]>([
  ['a unit of the system', unit('sshd.service', '/usr/sbin/sshd'), 'system sshd'],
  [
    'a unit of the administrator by such a name',
    { [`${ADMIN}/sshd.service`]: '[Service]\n', [wants('sshd.service')]: { link: '/x' } },
    null,
  ],
  ['a unit of the system that runs something else', unit('sshd.service', '/opt/sshd'), null],
  ['a unit of another name', unit('syncthing.service', '/usr/bin/syncthing'), null],
  ['a rule of udev', { '/usr/lib/udev/rules.d/60-x.rules': 'RUN+="/usr/sbin/x"\n' }, 'system 60-x.rules'],
  ['a rule of udev of the administrator', { '/etc/udev/rules.d/60-x.rules': 'RUN+="/usr/sbin/x"\n' }, null],
])('without a database of packages: %s', async (_, files, knownBy) => {
  expect((await entriesOf(files)).map((entry) => entry.knownBy)).toEqual([knownBy]);
});

test('what a timer starts that a rule disables is known by the same rule', async () => {
  const entries = await entriesOf({
    [`${ADMIN}/send.timer`]: '[Timer]\nOnCalendar=daily\n',
    [`${ADMIN}/send.service`]: '[Service]\nExecStart=/opt/send\n',
    [`${ADMIN}/timers.target.wants/send.timer`]: { link: '../send.timer' },
  });
  expect(entries.map(({ name, knownBy }) => [name, knownBy])).toEqual([
    ['send.service', 'rule timers'],
    ['send.timer', 'rule timers'],
  ]);
});

test('whatever an image holds in these places, the list is made, bounded and printable', async () => {
  const random = seededRandom(SEED);
  const files = { ...everyWay, ...DPKG, '/etc/loop': { link: '/etc/loop' } };
  const paths = Object.keys(files);
  for (let round = 0; round < 150; round += 1) {
    const odd: Record<string, MemoryNode> = { ...files };
    for (let blows = 1 + random.below(4); blows > 0; blows -= 1) {
      const path = paths[random.below(paths.length)] ?? '';
      const node = odd[path];
      const whole = typeof node === 'string' ? node : typeof node === 'object' && 'program' in node ? node.program : '';
      odd[path] = random.below(2) === 0 ? mangled(whole, random) : (ODD[random.below(ODD.length)] ?? '');
    }
    for (const entry of await entriesOf(odd)) {
      expect(`${entry.name}${entry.path}${entry.programs.join('')}`, `round ${round}`).not.toMatch(
        /[\p{Cc}\p{Cf}\p{Cs}]/u,
      );
      expect(entry.name.length + entry.path.length).toBeLessThan(5000);
    }
  }
});

const SEED = 20_261_130;
const ODD: readonly MemoryNode[] = [
  '',
  '\0\0[Service]\nExecStart=\n',
  Buffer.from([0xff, 0xfe, 0x23, 0x21, 0x41]),
  `#!/bin/sh\n${'\n'.repeat(50_000)}`,
  `${'"\\'.repeat(20_000)}\n`,
  `[Unit]\nWants=${'a.service '.repeat(5000)}\n[Service]\nExecStart=${'$'.repeat(9000)}\n`,
  { program: `#!/bin/sh\n${'$(/opt/x '.repeat(5000)}` },
  { program: '#!/bin/sh\n. /etc/rc.local\n/etc/rc.local \u001b[2J\u202e\n' },
  { link: '/etc/loop' },
  'folder:',
  'device:',
];

/** A text with a piece of it gone, doubled or turned round. */
function mangled(text: string, random: ReturnType<typeof seededRandom>): string {
  const from = random.below(text.length + 1);
  const to = from + random.below(text.length - from + 1);
  const piece = text.slice(from, to);
  return (
    text.slice(0, from) + ([piece + piece, '', [...piece].reverse().join('')][random.below(3)] ?? '') + text.slice(to)
  );
}

test('units that want each other, in circles and by the thousand, end', async () => {
  const many = Array.from({ length: 6000 }, (_, index): [string, MemoryNode] => [
    `${ADMIN}/u${index}.service`,
    `[Unit]\nWants=u${(index + 1) % 6000}.service u0.service\n[Service]\nExecStart=/opt/u\n`,
  ]);
  const files = { ...Object.fromEntries(many), [wants('u0.service')]: { link: '../u0.service' } };
  const entries = await startsIn(fileTree(memoryTree(files)), []);
  expect(entries.at(-1)).toMatchObject({ way: 'not read', name: 'more than 5000 units of systemd are started' });
});
