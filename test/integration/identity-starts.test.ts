// Goal: what a system starts by ways of its own does not start on a clone any more, and everything beside it still
// does: judged by the programs of such a system (systemd, a shell, run-parts), on a real file system.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { createIdentityEngine, type IdentityEngine, type Plan } from '../../src/identity/mod.ts';
import {
  type Content,
  checkImage,
  LEAD,
  makeImage,
  SPARE,
  type SystemImage,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const { MIB } = limits;
const signal = new AbortController().signal;
const request = { lead: LEAD, understudy: SPARE };
const ADMIN = '/etc/systemd/system';
let folder: string;
let engine: IdentityEngine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-identity-starts-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const program = (text: string): Content => ({ text, mode: 0o755 });
const unit = (exec: string, more = ''): string =>
  `[Unit]\nDescription=x\n${more}[Service]\nExecStart=${exec}\n[Install]\nWantedBy=multi-user.target\n`;
const wanted = (name: string): Record<string, Content> => ({
  [`${ADMIN}/multi-user.target.wants/${name}`]: { link: `${ADMIN}/${name}` },
});

/** Each thing that must not run twice starts in a way of its own; beside it, what is to go on. */
const FILES: Record<string, Content> = {
  '/etc/keepalived/keepalived.conf': 'vrrp_instance VI_1 {\n}\n',
  '/usr/lib/systemd/system/keepalived.service': unit('/bin/true'),
  [`${ADMIN}/shop.service`]: unit('/bin/true', 'Requires=keepalived.service\n'),
  ...wanted('shop.service'),
  [`${ADMIN}/vip.service`]: unit('/bin/sh -c "exec /usr/sbin/keepalived -n"'),
  ...wanted('vip.service'),
  '/etc/rc.local': program('#!/bin/sh -e\nif true; then\n  keepalived -D\nfi\necho "it\'s late" >> "$OUT"\nexit 0\n'),
  '/etc/salt/minion_id': 'web1\n',
  '/etc/init.d/salt-minion': program('#!/bin/sh\nexec salt-minion -d\n'),
  '/etc/rc2.d/S20salt-minion': { link: '../init.d/salt-minion' },
  '/etc/rc2.d/S20other': { link: '../init.d/other' },
  '/etc/init.d/other': program('#!/bin/sh\nexit 0\n'),
  '/etc/wireguard/wg0.conf': { text: '[Interface]\nPrivateKey = c2VjcmV0\n', mode: 0o600 },
  '/etc/network/interfaces.d/wg0':
    'auto wg0\niface wg0 inet static\n\taddress 192.168.77.1/24\n\tpre-up ip link add wg0 type wireguard\n' +
    '\tpre-up wg setconf wg0 /etc/wireguard/wg0.conf\n\tpost-down ip link del wg0\n',
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\nci:x:1001:1001::/home/ci:/bin/sh\n',
  '/var/lib/systemd/linger/ci': '',
  '/home/ci/actions-runner/.credentials': { text: '{}', mode: 0o600, uid: 1001 },
  '/home/ci/.config/systemd/user/jobs.service': unit('%h/actions-runner/run.sh'),
  '/home/ci/.config/systemd/user/default.target.wants/jobs.service': { link: '../jobs.service' },
  '/home/ci/.config/systemd/user/send.timer': '[Timer]\nOnCalendar=hourly\n[Install]\nWantedBy=timers.target\n',
  '/home/ci/.config/systemd/user/timers.target.wants/send.timer': { link: '../send.timer' },
  '/etc/cron.daily/report': program('#!/bin/sh\n/opt/report\n'),
  '/etc/cron.daily/report.sh': program('#!/bin/sh\n/opt/report\n'),
  '/etc/cron.d/nightly': '0 3 * * * root run-parts /opt/nightly\n',
};

async function personalised(files: Readonly<Record<string, Content>>): Promise<{ disk: SystemImage; plan: Plan }> {
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...files });
  const disk = makeImage(join(folder, 'image'), tree, { sizeBytes: 64 * MIB });
  const plan = await engine.plan(disk.path, request, signal);
  await engine.apply(disk.path, plan, signal);
  expect(await engine.verify(disk.path, request, plan, signal)).toEqual({ verified: true, problems: [] });
  expect(checkImage(disk)).toBe('');
  return { disk, plan };
}

/** What runs when a shell runs rc.local: its programs leave their names. */
const RUN_LOCAL =
  'S=$(mktemp -d); OUT=$S/out; export OUT; printf \'#!/bin/sh\\necho "$0" >> "$OUT"\\n\' > $S/keepalived; ' +
  'chmod +x $S/keepalived; PATH=$S:$PATH sh "$M/etc/rc.local"; sed "s#$S/##" $OUT; rm -r $S';

test('a clone starts nothing twice, and all else, as systemd, a shell and run-parts see it', async () => {
  const { disk, plan } = await personalised(FILES);
  const actions = plan.findings
    .filter(({ rule }) => ['clusters', 'registrations', 'vpn', 'cron', 'timers'].includes(rule))
    .map(({ rule, path, action }) => `${rule} ${path} ${action}`);
  expect(actions).toEqual([
    'cron /etc/cron.d/nightly disable',
    'cron /etc/cron.daily/report disable',
    'timers /home/ci/.config/systemd/user/send.timer disable',
    'clusters /etc/keepalived/keepalived.conf disable',
    'vpn /etc/wireguard/wg0.conf disable',
    'registrations /etc/salt/minion_id disable',
    'registrations /home/ci/actions-runner/.credentials disable',
  ]);
  const seen = (command: string): string => withMount(disk, command).trim();
  expect(seen('for one in vip shop; do systemctl --root=$M is-enabled $one.service || true; done')).toBe(
    'disabled\nenabled',
  );
  expect(seen('systemd-analyze --root=$M condition --unit=keepalived.service 2>&1 || true')).toMatch(/never failed\./);
  expect(seen('ls $M/etc/rc2.d')).toBe('S20other');
  expect(seen(RUN_LOCAL)).toBe("it's late");
  expect(seen('run-parts --test $M/etc/cron.daily; [ -x $M/etc/cron.daily/report.sh ] && echo left')).toBe('left');
  expect(seen('cat $M/etc/network/interfaces.d/wg0')).toContain('\n# understudy: \tpre-up wg setconf wg0');
  expect(seen('cat $M/etc/network/interfaces.d/wg0')).toContain('\n\tpre-up ip link add wg0 type wireguard\n');
  expect(seen('find $M/home/ci/.config -type l')).toBe('');
});

test('the same tools see all of it start before', async () => {
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...FILES });
  const disk = makeImage(join(folder, 'image'), tree, { sizeBytes: 64 * MIB });
  const seen = (command: string): string => withMount(disk, command).trim();
  expect(seen('for one in vip shop; do systemctl --root=$M is-enabled $one.service; done')).toBe('enabled\nenabled');
  expect(seen('systemd-analyze --root=$M condition --unit=keepalived.service 2>&1')).toBe('');
  expect(seen(RUN_LOCAL)).toBe("keepalived\nit's late");
  expect(seen('run-parts --test $M/etc/cron.daily | xargs -n1 basename')).toBe('report');
});

test('the inspection lists what no rule and no package explains, whoever asks', async () => {
  const tree = writeTree(join(folder, 'tree'), { ...systemFiles(), ...FILES });
  const disk = makeImage(join(folder, 'image'), tree, { sizeBytes: 64 * MIB });
  const { starts } = await engine.inspect(disk.path, LEAD, signal);
  const open = starts.filter(({ knownBy }) => knownBy === null).map(({ way, name, path }) => [way, name, path]);
  expect(open).toEqual([
    ['systemd', 'shop.service', `${ADMIN}/shop.service`],
    ['sysv', 'other', '/etc/init.d/other'],
    ['rc.local', 'rc.local', '/etc/rc.local'],
    ['ifupdown', 'wg0', '/etc/network/interfaces.d/wg0'],
    ['ifupdown', 'wg0', '/etc/network/interfaces.d/wg0'],
  ]);
  expect(starts.find(({ name }) => name === 'vip.service')).toMatchObject({ knownBy: 'rule clusters' });
});
