// Tunnels, agents and jobs by whatever way the system of an image starts them.
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Files, planFor } from '../../../test/support/planned-files.ts';

const planned = (files: Files) => planFor(files, ['cron', 'timers', 'vpn', 'registrations']);
const ADMIN = '/etc/systemd/system';
const enabled = (unit: string): Files => ({
  [`${ADMIN}/multi-user.target.wants/${unit}`]: { link: `${ADMIN}/${unit}` },
});
const WG = { '/etc/wireguard/wg0.conf': '[Interface]\nPrivateKey = c2VjcmV0\n' };
const WG_QUICK = {
  '/usr/lib/systemd/system/wg-quick@.service': '[Service]\nExecStart=/usr/bin/wg-quick up %i $OPTIONS\n',
};
const RUNNER = '/home/ci/actions-runner';
const PEOPLE = {
  '/etc/passwd': 'root:x:0:0::/root:/bin/sh\nci:x:1001:1001::/home/ci:/bin/sh\nsrv:x:120:120::/srv/app:/bin/sh\n',
};
const NONE: readonly string[] = [];

test.each([
  [
    'WireGuard by a command of ifupdown',
    {
      ...WG,
      '/etc/network/interfaces':
        'iface wg0 inet static\n pre-up ip link add wg0 type wireguard\n' +
        ' pre-up wg setconf wg0 /etc/wireguard/wg0.conf\n',
    },
    'disable',
    ['/etc/network/interfaces'],
  ],
  [
    'WireGuard by an option of ifupdown-ng',
    { ...WG, '/etc/network/interfaces': 'auto wg0\niface wg0\n\tuse wireguard\n\taddress 10.9.9.1/24\n' },
    'disable',
    ['/etc/network/interfaces'],
  ],
  [
    'WireGuard by OpenRC',
    { ...WG, '/etc/runlevels/default/wg-quick.wg0': { link: '/etc/init.d/wg-quick' } },
    'disable',
    ['/etc/runlevels/default/wg-quick.wg0'],
  ],
  [
    'WireGuard by rc.local, for all tunnels',
    { ...WG, '/etc/rc.local': { program: '#!/bin/sh\nfor one in /etc/wireguard/*.conf; do wg-quick up $one; done\n' } },
    'unknown',
    NONE,
  ],
  [
    'another tunnel of WireGuard',
    {
      ...WG,
      ...WG_QUICK,
      [`${ADMIN}/multi-user.target.wants/wg-quick@wg1.service`]: { link: '/x' },
      '/etc/rc.local': { program: '#!/bin/sh\nwg-quick up wg1\n' },
    },
    'keep',
    NONE,
  ],
  [
    'OpenVPN by a unit of another name',
    {
      '/etc/openvpn/client/office.conf': 'remote x\n',
      [`${ADMIN}/office.service`]:
        '[Service]\nExecStart=/usr/sbin/openvpn --cd /etc/openvpn/client --config office.conf\n',
      ...enabled('office.service'),
    },
    'disable',
    [`${ADMIN}/multi-user.target.wants/office.service`],
  ],
  [
    'an agent by a unit of its own',
    {
      [`${RUNNER}/.credentials`]: '{}',
      [`${ADMIN}/actions.runner.shop.web1.service`]: `[Service]\nExecStart=${RUNNER}/runsvc.sh\nUser=ci\n`,
      ...enabled('actions.runner.shop.web1.service'),
    },
    'disable',
    [`${ADMIN}/multi-user.target.wants/actions.runner.shop.web1.service`],
  ],
  [
    'an agent by a unit of a user who lingers',
    {
      ...PEOPLE,
      '/var/lib/systemd/linger/ci': '',
      [`${RUNNER}/.credentials`]: '{}',
      '/home/ci/.config/systemd/user/jobs.service': '[Service]\nExecStart=%h/actions-runner/run.sh\n',
      '/home/ci/.config/systemd/user/default.target.wants/jobs.service': { link: '../jobs.service' },
    },
    'disable',
    ['/home/ci/.config/systemd/user/default.target.wants/jobs.service'],
  ],
  [
    'an agent by a unit of a user that another one wants',
    {
      ...PEOPLE,
      '/var/lib/systemd/linger/srv': '',
      '/etc/salt/minion_id': 'web1\n',
      '/srv/app/.config/systemd/user/salt.service': '[Service]\nExecStart=/usr/bin/salt-minion\n',
      '/srv/app/.config/systemd/user/app.service': '[Unit]\nRequires=salt.service\n',
      '/srv/app/.config/systemd/user/default.target.wants/app.service': { link: '../app.service' },
    },
    'disable',
    ['/srv/app/.config/systemd/user/salt.service.d/zz-understudy.conf'],
  ],
  [
    'an agent that all managers of users start',
    {
      '/etc/zabbix/zabbix_agentd.conf': '',
      '/usr/lib/systemd/user/z.service': '[Service]\nExecStart=/usr/sbin/zabbix_agentd -f\n',
      '/etc/systemd/user/default.target.wants/z.service': { link: '/usr/lib/systemd/user/z.service' },
    },
    'disable',
    ['/etc/systemd/user/default.target.wants/z.service'],
  ],
] as const)('%s', async (_, files, action, changed) => {
  const { plan, problems, again } = await planned(files);
  expect(plan.findings.map((one) => one.action)).toEqual([action]);
  expect(plan.changes.map(({ path }) => path)).toEqual(changed);
  expect(problems).toEqual([]);
  expect(again.changes).toEqual([]);
});

const JOB = '*/5 * * * * root /opt/shop/send\n';
const OWN_JOB = '*/5 * * * * /opt/shop/send\n';
const RHEL = { '/etc/os-release': 'ID="rhel"\nID_LIKE="fedora"\n', '/usr/sbin/crond': { program: '\x7fELF' } };
const DEBIAN = { '/etc/os-release': 'ID=debian\n', '/var/lib/dpkg/status': '' };
const PHP_JOB = '09,39 * * * * root /usr/lib/php/sessionclean\n';
const PHP: Files = {
  '/etc/os-release': 'ID=debian\n',
  '/var/lib/dpkg/info/php-common.list': '/etc/cron.d/php\n',
  '/var/lib/dpkg/status':
    'Package: php-common\nStatus: install ok installed\nPriority: optional\nConffiles:\n' +
    ` /etc/cron.d/php ${createHash('md5').update(PHP_JOB).digest('hex')}\n`,
};
const SYSTEM_LINES =
  '17 * * * * root cd / && run-parts --report /etc/cron.hourly\n' +
  '25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n' +
  '47 6 * * 7 root test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.weekly )\n' +
  '01 * * * * root run-parts /etc/cron.hourly\n' +
  '-*/15 * * * * root test -x /usr/lib/cron/run-crons && /usr/lib/cron/run-crons >/dev/null 2>&1\n';

test.each([
  ['cronie: a table with a dot in its name', { ...RHEL, '/etc/cron.d/shop.cron': JOB }, ['/etc/cron.d/shop.cron']],
  [
    'cronie: what rpm and editors leave behind',
    { ...RHEL, '/etc/cron.d/a.rpmsave': JOB, '/etc/cron.d/b~': JOB, '/etc/cron.d/.c': JOB, '/etc/cron.d/#d': JOB },
    NONE,
  ],
  ['cron of Debian: a table with a dot in its name', { ...DEBIAN, '/etc/cron.d/shop.cron': JOB }, NONE],
  [
    'cronie on Debian',
    { ...DEBIAN, '/usr/sbin/crond': { program: '\x7fELF' }, '/etc/cron.d/shop.cron': JOB },
    ['/etc/cron.d/shop.cron'],
  ],
  [
    'cronie: a script with a dot in its name',
    { ...RHEL, '/etc/cron.daily/shop.sh': { program: '#!/bin/sh\n' } },
    ['/etc/cron.daily/shop.sh'],
  ],
  [
    'cron of Debian: a script with a dot in its name',
    { ...DEBIAN, '/etc/cron.daily/shop.sh': { program: '#!/bin/sh\n' } },
    NONE,
  ],
  [
    'a table by a name of the system that its package did not bring so',
    { ...PHP, '/etc/cron.d/php': `${PHP_JOB}${JOB}` },
    ['/etc/cron.d/php'],
  ],
  ['tables of users of SUSE', { '/var/spool/cron/tabs/anna': OWN_JOB }, ['/var/spool/cron/tabs/anna']],
  ['tables of users of Red Hat', { '/var/spool/cron/anna': OWN_JOB }, ['/var/spool/cron/anna']],
  [
    'run-parts of another folder',
    { '/etc/crontab': `${SYSTEM_LINES}0 3 * * * root run-parts /opt/shop/nightly\n` },
    ['/etc/crontab'],
  ],
  [
    'run-parts of a system folder and more',
    { '/etc/crontab': `${SYSTEM_LINES}0 3 * * * root run-parts /etc/cron.daily; /opt/shop/send\n` },
    ['/etc/crontab'],
  ],
  [
    'a program that is called like one of the system',
    { '/etc/crontab': `${SYSTEM_LINES}0 3 * * * root /opt/run-parts/send\n` },
    ['/etc/crontab'],
  ],
  ['lines by which the system runs its own folders', { '/etc/crontab': SYSTEM_LINES }, NONE],
  [
    'anacron of another folder',
    { '/etc/anacrontab': '1 5 cron.daily nice run-parts /etc/cron.daily\n7 10 shop run-parts /opt/shop/weekly\n' },
    ['/etc/anacrontab'],
  ],
  [
    'a timer that its users have',
    {
      '/usr/lib/systemd/user/send.timer': '[Timer]\nOnCalendar=hourly\n',
      '/etc/systemd/user/timers.target.wants/send.timer': { link: '/usr/lib/systemd/user/send.timer' },
    },
    ['/etc/systemd/user/timers.target.wants/send.timer'],
  ],
  [
    'a timer of a user of a directory',
    {
      '/home/anna/.config/systemd/user/send.timer': '[Timer]\nOnCalendar=hourly\n',
      '/home/anna/.config/systemd/user/timers.target.wants/send.timer': { link: '../send.timer' },
    },
    ['/home/anna/.config/systemd/user/timers.target.wants/send.timer'],
  ],
  [
    'a timer of a user who does not linger',
    {
      ...PEOPLE,
      '/home/ci/.config/systemd/user/send.timer': '[Timer]\nOnCalendar=hourly\n',
      '/home/ci/.config/systemd/user/timers.target.wants/send.timer': { link: '../send.timer' },
    },
    ['/home/ci/.config/systemd/user/timers.target.wants/send.timer'],
  ],
  [
    'a timer that is called like a service, which goes on',
    {
      '/usr/lib/systemd/system/nginx.service': '[Service]\nExecStart=/usr/sbin/nginx\n',
      [`${ADMIN}/multi-user.target.wants/nginx.service`]: { link: '/usr/lib/systemd/system/nginx.service' },
      [`${ADMIN}/nginx.timer`]: '[Timer]\nOnCalendar=daily\nUnit=rotate.service\n',
      [`${ADMIN}/rotate.service`]: '[Service]\nExecStart=/usr/sbin/nginx -s reopen\n',
      [`${ADMIN}/timers.target.wants/nginx.timer`]: { link: '../nginx.timer' },
    },
    [`${ADMIN}/timers.target.wants/nginx.timer`],
  ],
  [
    'a timer that a unit wants',
    {
      [`${ADMIN}/send.timer`]: '[Timer]\nOnCalendar=hourly\n',
      [`${ADMIN}/web.service`]: '[Unit]\nWants=send.timer\n',
      ...enabled('web.service'),
    },
    [`${ADMIN}/send.timer.d/zz-understudy.conf`],
  ],
  [
    'a timer in a folder for local packages, by a link of another target',
    {
      '/usr/local/lib/systemd/system/send.timer': '[Timer]\nOnCalendar=hourly\n',
      '/usr/local/lib/systemd/system/basic.target.wants/send.timer': { link: '../send.timer' },
    },
    [`${ADMIN}/send.timer`],
  ],
] as const)('jobs as the system reads them: %s', async (_, files, changed) => {
  const { plan, problems, again } = await planned({ [`${ADMIN}/.keep`]: '', ...files });
  expect(plan.changes.map(({ path }) => path)).toEqual(changed);
  expect(plan.findings.map(({ action }) => action)).toEqual(changed.map(() => 'disable'));
  expect(problems).toEqual([]);
  expect(again.changes).toEqual([]);
});

test('a table of a package as that brought it stays', async () => {
  const { plan } = await planned({ ...PHP, '/etc/cron.d/php': PHP_JOB });
  expect(plan.findings.map(({ path, action }) => [path, action])).toEqual([['/etc/cron.d/php', 'keep']]);
  expect(plan.changes).toEqual([]);
});

const HOOK = '#!/bin/sh\nfor vpn in $IF_OPENVPN; do openvpn --config /etc/openvpn/$vpn.conf; done\n';
const TUNNEL: Files = {
  '/etc/openvpn/client/office.conf': 'remote x\n',
  '/etc/init.d/networking': { program: '#!/bin/sh\n/usr/lib/site/hook\n' },
  '/etc/rc2.d/S01net': { link: '../init.d/networking' },
  '/usr/lib/site/hook': { program: HOOK },
  '/var/lib/dpkg/status': 'Package: site\nStatus: install ok installed\nPriority: optional\n',
};

test.each([
  ['of a package, which asks before it does', '/etc/init.d/networking\n/usr/lib/site/hook\n', 'keep'],
  ['of no package', '/usr/share/doc\n', 'unknown'],
] as const)('a tunnel that a script may start, %s', async (_, list, action) => {
  const { plan } = await planned({ ...TUNNEL, '/var/lib/dpkg/info/site.list': list });
  expect(plan.findings.map((one) => one.action)).toEqual([action]);
});

test.each([
  ['as it came', '/etc/network/if-up.d/openvpn\n', 'keep'],
  ['of the administrator', '/usr/share/doc\n', 'unknown'],
] as const)('a tunnel that a hook may start, %s', async (_, list, action) => {
  const { plan } = await planned({
    '/etc/openvpn/client/office.conf': 'remote x\n',
    '/etc/network/if-up.d/openvpn': { program: HOOK },
    '/var/lib/dpkg/status': 'Package: site\nStatus: install ok installed\nPriority: optional\n',
    '/var/lib/dpkg/info/site.list': list,
  });
  expect(plan.findings.map((one) => one.action)).toEqual([action]);
});
