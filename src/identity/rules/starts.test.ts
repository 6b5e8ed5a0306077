// Rules that disable what they find, against every way in which a system may start it all the same.
import { describe, expect, test } from 'vitest';
import { type Files, planFor, textAfter } from '../../../test/support/planned-files.ts';

const planned = (files: Files) => planFor(files, ['cron', 'timers', 'clusters']);
const CONF = { '/etc/keepalived/keepalived.conf': 'vrrp_instance VI_1 {\n}\n' };
const UNIT = '[Unit]\nDescription=VRRP\n[Service]\nExecStart=/usr/sbin/keepalived --dont-fork\n';
const VENDOR = { '/usr/lib/systemd/system/keepalived.service': UNIT };
const SCRIPT =
  '#!/bin/sh\nDAEMON=/usr/sbin/keepalived\ncase "$1" in start) start-stop-daemon --start --exec $DAEMON ;; esac\n';
const INIT = { '/etc/init.d/keepalived': { program: SCRIPT } };
const SYSTEMD = { '/sbin/init': { link: '/lib/systemd/systemd' }, '/lib': { link: 'usr/lib' } };
const ADMIN = '/etc/systemd/system';
const enabled = (unit: string): Files => ({
  [`${ADMIN}/multi-user.target.wants/${unit}`]: { link: `${ADMIN}/${unit}` },
});
const DROP_IN = expect.stringContaining('ConditionPathExists=/.understudy/never');

/** What starts keepalived, and what a path says once it does not. */
const disabled: Readonly<Record<string, readonly [files: Files, after: Readonly<Record<string, unknown>>]>> = {
  'a link of a run level': [
    {
      ...INIT,
      '/etc/rc2.d/S01keepalived': { link: '../init.d/keepalived' },
      '/etc/rc0.d/K01keepalived': { link: '../init.d/keepalived' },
    },
    { '/etc/rc2.d/S01keepalived': null },
  ],
  'a link of a run level of Red Hat, whose /etc/rc3.d is a link': [
    {
      ...INIT,
      '/etc/rc.d/rc3.d/S86keepalived': { link: '../../init.d/keepalived' },
      '/etc/rc3.d': { link: 'rc.d/rc3.d' },
    },
    { '/etc/rc.d/rc3.d/S86keepalived': null },
  ],
  'a link of a run level of SUSE': [
    { ...INIT, '/etc/init.d/rc5.d/S11keepalived': { link: '../keepalived' } },
    { '/etc/init.d/rc5.d/S11keepalived': null },
  ],
  'a link of a run level for a script of another name': [
    { '/etc/init.d/vip': { program: SCRIPT }, '/etc/rc2.d/S20vip': { link: '../init.d/vip' } },
    { '/etc/rc2.d/S20vip': null },
  ],
  'a script of System V that systemd makes a unit of': [
    { ...SYSTEMD, ...INIT, '/etc/rc3.d/S01keepalived': { link: '../init.d/keepalived' } },
    { '/etc/rc3.d/S01keepalived': null },
  ],
  'a script of System V that a unit wants': [
    { ...SYSTEMD, ...INIT, [`${ADMIN}/web.service`]: '[Unit]\nWants=keepalived.service\n', ...enabled('web.service') },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'Wants= of a unit that is started': [
    {
      ...VENDOR,
      [`${ADMIN}/web.service`]: '[Unit]\nWants=a.service \\\n  keepalived.service\n',
      ...enabled('web.service'),
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'Wants= in a drop-in of a vendor target': [
    {
      ...VENDOR,
      '/usr/lib/systemd/system/default.target': '[Unit]\n',
      [`${ADMIN}/default.target.d/vip.conf`]: '[Unit]\nUpholds=keepalived.service\n',
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'Wants= in a drop-in of a target that has nothing else': [
    { ...VENDOR, [`${ADMIN}/multi-user.target.d/vip.conf`]: '[Unit]\nWants=keepalived.service\n' },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'an option of fstab': [
    {
      ...VENDOR,
      [`${ADMIN}/.keep`]: '',
      '/etc/fstab': 'UUID=1 /srv ext4 defaults,x-systemd.requires=keepalived.service 0 2\n',
    },
    { [`${ADMIN}/keepalived.service.d/zz-understudy.conf`]: DROP_IN },
  ],
  'Requires=, so that the other one does not fail': [
    { ...VENDOR, [`${ADMIN}/web.service`]: '[Unit]\nRequires=keepalived.service\n', ...enabled('web.service') },
    { [`${ADMIN}/keepalived.service.d/zz-understudy.conf`]: DROP_IN },
  ],
  'Wants= for a unit that lies where a mask would lie': [
    {
      [`${ADMIN}/keepalived.service`]: UNIT,
      [`${ADMIN}/web.service`]: '[Unit]\nWants=keepalived.service\n',
      ...enabled('web.service'),
    },
    { [`${ADMIN}/keepalived.service.d/zz-understudy.conf`]: DROP_IN },
  ],
  'a unit of another name': [
    { [`${ADMIN}/vip.service`]: UNIT, ...enabled('vip.service') },
    { [`${ADMIN}/multi-user.target.wants/vip.service`]: null },
  ],
  "a unit of another name by a shell, in a folder of the administrator's packages": [
    {
      '/usr/local/lib/systemd/system/vip.service':
        '[Service]\nExecStart=-/bin/sh -c "sleep 5; exec ionice -c3 /opt/k/sbin/keepalived -n"\n',
      [`${ADMIN}/multi-user.target.requires/vip.service`]: { link: '/usr/local/lib/systemd/system/vip.service' },
    },
    { [`${ADMIN}/multi-user.target.requires/vip.service`]: null },
  ],
  'an instance of a template, by a variable': [
    {
      '/usr/lib/systemd/system/run@.service': '[Service]\nEnvironment=D=/usr/sbin\nExecStart=$D/%i -n\n',
      [`${ADMIN}/multi-user.target.wants/run@keepalived.service`]: { link: '/usr/lib/systemd/system/run@.service' },
    },
    { [`${ADMIN}/multi-user.target.wants/run@keepalived.service`]: null },
  ],
  'a drop-in that gives a unit another program': [
    {
      [`${ADMIN}/vip.service`]: '[Service]\nExecStart=/bin/true\n',
      [`${ADMIN}/vip.service.d/10.conf`]: '[Service]\nExecStart=\nExecStart=/usr/sbin/keepalived -n\n',
      ...enabled('vip.service'),
    },
    { [`${ADMIN}/multi-user.target.wants/vip.service`]: null },
  ],
  'an alias': [
    {
      ...VENDOR,
      [`${ADMIN}/ha.service`]: { link: '/usr/lib/systemd/system/keepalived.service' },
      [`${ADMIN}/web.service`]: '[Unit]\nWants=ha.service\n',
      ...enabled('web.service'),
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null', [`${ADMIN}/ha.service`]: null },
  ],
  'a socket': [
    {
      ...VENDOR,
      [`${ADMIN}/vip.socket`]: '[Socket]\nListenStream=99\nService=keepalived.service\n',
      [`${ADMIN}/sockets.target.wants/vip.socket`]: { link: '../vip.socket' },
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'a path': [
    {
      ...VENDOR,
      [`${ADMIN}/keepalived.path`]: '[Path]\nPathExists=/etc/keepalived\n',
      [`${ADMIN}/paths.target.wants/keepalived.path`]: { link: '../keepalived.path' },
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'a rule of udev that wants the unit': [
    {
      ...VENDOR,
      [`${ADMIN}/.keep`]: '',
      '/etc/udev/rules.d/90-vip.rules': 'KERNEL=="eth0", TAG+="systemd", ENV{SYSTEMD_WANTS}+="keepalived.service"\n',
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'the command line of the kernel': [
    {
      ...VENDOR,
      [`${ADMIN}/.keep`]: '',
      '/etc/default/grub': 'GRUB_CMDLINE_LINUX="quiet systemd.wants=keepalived.service"\n',
    },
    { [`${ADMIN}/keepalived.service`]: '/dev/null' },
  ],
  'a line of rc.local': [
    { '/etc/rc.local': { program: '#!/bin/sh -e\n/usr/sbin/keepalived -f /etc/vip.conf &\nexit 0\n' } },
    { '/etc/rc.local': '#!/bin/sh -e\n: # understudy: /usr/sbin/keepalived -f /etc/vip.conf &\nexit 0\n' },
  ],
  'rc.local that is a unit as well': [
    {
      '/etc/rc.local': { program: '#!/bin/sh\nkeepalived\n' },
      '/usr/lib/systemd/system/rc-local.service': '[Service]\nExecStart=/etc/rc.local start\n',
      [`${ADMIN}/multi-user.target.wants/rc-local.service`]: { link: '/usr/lib/systemd/system/rc-local.service' },
    },
    { '/etc/rc.local': '#!/bin/sh\n: # understudy: keepalived\n' },
  ],
  'the only line of a block of rc.local': [
    { '/etc/rc.d/rc.local': { program: '#!/bin/sh\nif [ -f /etc/vip ]; then\n  service keepalived start\nfi\n' } },
    { '/etc/rc.d/rc.local': '#!/bin/sh\nif [ -f /etc/vip ]; then\n  : # understudy: service keepalived start\nfi\n' },
  ],
  'a script of OpenRC\'s service "local"': [
    { '/etc/local.d/vip.start': { program: '#!/bin/sh\nkeepalived\n' } },
    { '/etc/local.d/vip.start': '#!/bin/sh\n: # understudy: keepalived\n' },
  ],
  'a job of Upstart': [
    { '/etc/init/vip.conf': 'description "vip"\nstart on runlevel [2345]\nrespawn\nexec /usr/sbin/keepalived -n\n' },
    { '/etc/init/vip.override': 'manual\n' },
  ],
  'a job of Upstart by a script, with an override': [
    {
      '/etc/init/keepalived.conf': 'start on started networking\nscript\n  exec /opt/run-it\nend script\n',
      '/etc/init/keepalived.override': '# later\nstart on runlevel 3',
    },
    { '/etc/init/keepalived.override': '# later\nstart on runlevel 3\nmanual\n' },
  ],
  'a link of OpenRC': [
    { '/etc/runlevels/default/keepalived': { link: '/etc/init.d/keepalived' } },
    { '/etc/runlevels/default/keepalived': null },
  ],
  'a link of OpenRC for a script of another name': [
    {
      '/etc/init.d/vip': { program: '#!/sbin/openrc-run\ncommand="/usr/sbin/keepalived"\n' },
      '/etc/runlevels/boot/vip': { link: '/etc/init.d/vip' },
    },
    { '/etc/runlevels/boot/vip': null },
  ],
  'a line of inittab': [
    { '/etc/inittab': 'id:2:initdefault:\nka:2345:respawn:/usr/sbin/keepalived -n\n' },
    { '/etc/inittab': 'id:2:initdefault:\n# understudy: ka:2345:respawn:/usr/sbin/keepalived -n\n' },
  ],
  'a command of ifupdown': [
    {
      '/etc/network/interfaces': 'source interfaces.d/*\n',
      '/etc/network/interfaces.d/eth0': 'auto eth0\niface eth0 inet dhcp\n  post-up /usr/sbin/keepalived || true\n',
    },
    {
      '/etc/network/interfaces.d/eth0':
        'auto eth0\niface eth0 inet dhcp\n# understudy:   post-up /usr/sbin/keepalived || true\n',
    },
  ],
  'a rule of udev that runs it': [
    { '/etc/udev/rules.d/90-vip.rules': 'KERNEL=="eth0", RUN+="/usr/sbin/keepalived"\n' },
    { '/etc/udev/rules.d/90-vip.rules': '# understudy: KERNEL=="eth0", RUN+="/usr/sbin/keepalived"\n' },
  ],
  'a dispatcher of NetworkManager': [
    {
      '/etc/NetworkManager/dispatcher.d/50-vip': {
        program: '#!/bin/bash\n[ "$2" = up ] && systemctl start keepalived\n',
      },
    },
    {
      '/etc/NetworkManager/dispatcher.d/50-vip':
        '#!/bin/bash\n: # understudy: [ "$2" = up ] && systemctl start keepalived\n',
    },
  ],
  'a hook of ifupdown': [
    { '/etc/network/if-up.d/vip': { program: '#!/bin/sh\n/usr/sbin/keepalived\n' } },
    { '/etc/network/if-up.d/vip': '#!/bin/sh\n: # understudy: /usr/sbin/keepalived\n' },
  ],
  'cron at the start': [
    { '/etc/cron.d/vip': '@reboot root /usr/sbin/keepalived\n' },
    { '/etc/cron.d/vip': '# understudy: @reboot root /usr/sbin/keepalived\n' },
  ],
  inetd: [
    { '/etc/inetd.conf': 'vip stream tcp nowait root /usr/sbin/keepalived keepalived\n' },
    { '/etc/inetd.conf': '# understudy: vip stream tcp nowait root /usr/sbin/keepalived keepalived\n' },
  ],
};

describe('what starts by whatever way is disabled', () => {
  test.each(Object.entries(disabled))('%s', async (_, [files, after]) => {
    const { plan, problems, again } = await planned({ ...CONF, ...files });
    const found = plan.findings.filter(({ rule }) => rule === 'clusters');
    expect(found.map(({ action, why }) => [action, why.includes('Nothing starts it')])).toEqual([['disable', false]]);
    for (const [path, wanted] of Object.entries(after)) expect(textAfter(plan, path), path).toEqual(wanted);
    expect(plan.changes.map(({ path }) => path).sort()).toEqual(Object.keys(after).sort());
    expect(problems).toEqual([]);
    expect(again.changes).toEqual([]);
  });
});

/** What starts keepalived in a way that nothing of ours can end without doing more. */
const undecided: Readonly<Record<string, Files>> = {
  'rc.local by a variable': { '/etc/rc.local': { program: '#!/bin/sh\nD=/usr/sbin/keepalived\n$D -n\n' } },
  'rc.local by another script': {
    '/etc/rc.local': { program: '#!/bin/sh\n/opt/start-all.sh\n' },
    '/opt/start-all.sh': { program: '#!/bin/sh\n/opt/shop/server &\n/usr/sbin/keepalived\n' },
  },
  'rc.local in a line that goes on': { '/etc/rc.local': { program: '#!/bin/sh\nkeepalived \\\n  -n\n' } },
  'rc.local in a line that closes a block': {
    '/etc/rc.local': { program: '#!/bin/sh\nif true; then keepalived; fi\n' },
  },
  'rc.local in a line that begins a text': { '/etc/rc.local': { program: "#!/bin/sh\nkeepalived -x 'a\nb'\n" } },
  'rc.local by a line and by a variable': {
    '/etc/rc.local': { program: '#!/bin/sh\nD=/usr/sbin/keepalived\nkeepalived -a\n$D -b\n' },
  },
  'rc.local within a text': { '/etc/rc.local': { program: "#!/bin/sh\nsu web -c '\nkeepalived -n\n'\n" } },
  'rc.local after a text that is typed in': {
    '/etc/rc.local': { program: '#!/bin/sh\ncat > /x <<END\nkeepalived -n\nEND\n' },
  },
  'a unit by a script that does more': {
    [`${ADMIN}/site.service`]: '[Service]\nExecStart=/opt/start-all.sh\n',
    '/opt/start-all.sh': { program: '#!/bin/sh\n/opt/shop/server &\n/usr/sbin/keepalived\n' },
    ...enabled('site.service'),
  },
  'a service of OpenRC that another one needs': {
    '/etc/init.d/keepalived': { program: '#!/sbin/openrc-run\ncommand=/usr/sbin/keepalived\n' },
    '/etc/init.d/web': { program: '#!/sbin/openrc-run\ndepend() {\n\tneed net keepalived\n}\n' },
    '/etc/runlevels/default/web': { link: '/etc/init.d/web' },
  },
  supervisord: { '/etc/supervisor/conf.d/vip.conf': '[program:vip]\ncommand=/usr/sbin/keepalived -n\n' },
  monit: { '/etc/monit/conf.d/vip': 'check process vip\n  start program = "/usr/sbin/keepalived -n"\n' },
  runit: { '/etc/service/vip/run': { program: '#!/bin/sh\nexec keepalived -n\n' } },
  pm2: {
    '/etc/passwd': 'anna:x:1000:1000::/home/anna:/bin/sh\n',
    '/home/anna/.pm2/dump.pm2': '[{"pm_exec_path": "/opt/bin/keepalived"}]',
  },
};

test.each(Object.entries(undecided))('what cannot be disabled for sure is asked: %s', async (_, files) => {
  const { plan, again } = await planned({ ...CONF, ...files });
  expect(plan.unknown.map(({ rule, path }) => [rule, path])).toEqual([['clusters', '/etc/keepalived/keepalived.conf']]);
  expect(plan.unknown[0]?.why).toMatch(
    /^The clone would take .* It is started by \/.*\(.*: .*\), which cannot be switched off/,
  );
  expect(plan.changes).toEqual([]);
  expect(again.unknown).toEqual(plan.unknown);
});

/** What does not start it, however near it comes. */
const started: Readonly<Record<string, Files>> = {
  'a unit without a link': VENDOR,
  'a unit that is masked': {
    ...VENDOR,
    [`${ADMIN}/keepalived.service`]: { link: '/dev/null' },
    [`${ADMIN}/multi-user.target.wants/keepalived.service`]: { link: '/x' },
  },
  'Wants= of a unit that nothing starts': { ...VENDOR, [`${ADMIN}/web.service`]: '[Unit]\nWants=keepalived.service\n' },
  'a link that stops it': { ...INIT, '/etc/rc2.d/K01keepalived': { link: '../init.d/keepalived' } },
  'a link for a script whose unit is not enabled': {
    ...SYSTEMD,
    ...VENDOR,
    ...INIT,
    '/etc/rc2.d/S01keepalived': { link: '../init.d/keepalived' },
  },
  'rc.local that may not be run': { '/etc/rc.local': '#!/bin/sh\nkeepalived\n' },
  'rc.local with a comment': { '/etc/rc.local': { program: '#!/bin/sh\n# keepalived\necho 1 # keepalived\nexit 0\n' } },
  'inittab of a system with systemd': { ...SYSTEMD, '/etc/inittab': 'ka:2345:respawn:/usr/sbin/keepalived -n\n' },
  'a program of a name like it': { '/etc/rc.local': { program: '#!/bin/sh\n/opt/keepalived-exporter\n' } },
  'a program of supervisord that is not to start': {
    '/etc/supervisord.conf': '[program:vip]\ncommand=/usr/sbin/keepalived\nautostart=false\n',
  },
};

test.each(Object.entries(started))('what nothing starts is kept: %s', async (_, files) => {
  const { plan } = await planned({ ...CONF, ...files });
  const found = plan.findings.filter(({ rule }) => rule === 'clusters');
  expect(found.map(({ action, why }) => [action, why.endsWith('Nothing starts it by itself.')])).toEqual([
    ['keep', true],
  ]);
  expect(plan.changes).toEqual([]);
});

test('what two findings share is disabled once, and both are', async () => {
  const { plan, problems, again } = await planned({
    ...CONF,
    '/etc/keepalived/conf.d/b.conf': 'vrrp_instance VI_2 {\n',
    '/etc/rc.local': { program: '#!/bin/sh\nkeepalived\n' },
    '/usr/lib/systemd/system/rc-local.service': '[Service]\nExecStart=/etc/rc.local start\n',
    [`${ADMIN}/multi-user.target.wants/rc-local.service`]: { link: '/usr/lib/systemd/system/rc-local.service' },
  });
  expect(plan.changes.map(({ path }) => path)).toEqual(['/etc/rc.local']);
  expect(plan.unknown).toEqual([]);
  expect(problems).toEqual([]);
  expect(again.changes).toEqual([]);
  expect(plan.findings.map(({ action }) => action)).toEqual(['disable', 'disable']);
});
