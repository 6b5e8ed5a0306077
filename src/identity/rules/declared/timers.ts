// Timers of systemd: systemd.timer(5). Those that every system has stay, as with cron.
import { type FileTree, join } from '../../tree/mod.ts';
import type { Rule } from '../contract.ts';
import { finding } from '../finding.ts';
import { isNameable } from '../glob.ts';
import { disableUnit, unitStarts } from '../units.ts';

const RULE = 'timers';
const FOLDERS = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];
const UNITS_MAX = 2000;
const WHY = 'What it starts runs on the lead; on a clone it would run a second time.';
const KNOWN = new Set(
  (
    'anacron apt-daily apt-daily-upgrade dnf-makecache dpkg-db-backup e2scrub_all e2scrub_reap exim4-base fstrim fwupd-refresh ' +
    'logrotate man-db mdadm-last-resort@ mdcheck_continue mdcheck_start mdmonitor-oneshot mlocate-updatedb motd-news ' +
    'phpsessionclean plocate-updatedb raid-check snapper-boot snapper-cleanup snapper-timeline sysstat-collect sysstat-summary ' +
    'systemd-tmpfiles-clean ua-timer ubuntu-advantage unbound-anchor update-notifier-download update-notifier-motd xfs_scrub_all'
  ).split(' '),
);

export const timersRule: Rule = {
  name: RULE,
  async find(tree) {
    const found = [];
    for (const { unit, path } of await timers(tree)) {
      if (KNOWN.has(unit.replace(/\.timer$/, '')) || (await unitStarts(tree, unit)).length === 0) continue;
      found.push(
        finding({ rule: RULE, path, value: unit, why: WHY, action: isNameable(path) ? 'disable' : 'unknown' }),
      );
    }
    return found;
  },
  change: (found, tree) => disableUnit(tree, found.value),
  async verify(tree, { findings }) {
    const problems: string[] = [];
    for (const { value } of findings.filter(({ rule, action }) => rule === RULE && action === 'disable')) {
      for (const start of await unitStarts(tree, value)) problems.push(`${start} still starts ${value}`);
    }
    return problems;
  },
};

/** By unit, the administrator's before the vendor's; an instance of a template by the link that starts it. */
async function timers(tree: FileTree): Promise<readonly { unit: string; path: string }[]> {
  const found = new Map<string, string>();
  for (const folder of FOLDERS) {
    const names = await tree.list(folder);
    const wants = names.filter((name) => name.endsWith('.wants'));
    const own = names.filter((name) => name.endsWith('.timer')).map((name) => ({ name, path: join(folder, name) }));
    const linked = [];
    for (const want of wants) {
      for (const name of await tree.list(join(folder, want))) {
        if (name.endsWith('.timer')) linked.push({ name, path: join(join(folder, want), name) });
      }
    }
    for (const { name, path } of [...own, ...linked].slice(0, UNITS_MAX)) {
      if (!found.has(name)) found.set(name, path);
    }
  }
  return [...found].map(([unit, path]) => ({ unit, path }));
}
