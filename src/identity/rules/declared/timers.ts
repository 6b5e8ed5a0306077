// Timers of systemd: systemd.timer(5), of the system and of users. Those that every system has stay, as with cron.
import { type Start, startGraph } from '../../starts/mod.ts';
import type { FileTree } from '../../tree/mod.ts';
import type { Rule } from '../contract.ts';
import { finding } from '../finding.ts';
import { isNameable } from '../glob.ts';
import { stopsOf } from '../units.ts';
import { unitOf } from '../wanted.ts';

const RULE = 'timers';
const CUT = 'Not everything that the system starts could be read, so there may be more timers.';
const WHY = 'What it starts runs on the lead; on a clone it would run a second time.';
const KNOWN = new Set(
  (
    'anacron apt-listchanges apt-daily apt-daily-upgrade dnf-makecache dpkg-db-backup e2scrub_all e2scrub_reap ' +
    'exim4-base fstrim fwupd-refresh logrotate man-db mdadm-last-resort@ mdcheck_continue mdcheck_start ' +
    'mdmonitor-oneshot mlocate-updatedb motd-news phpsessionclean plocate-updatedb raid-check snapper-boot ' +
    'snapper-cleanup snapper-timeline sysstat-collect sysstat-summary systemd-tmpfiles-clean ua-timer ' +
    'ubuntu-advantage unbound-anchor update-notifier-download update-notifier-motd xfs_scrub_all'
  ).split(' '),
);

export const timersRule: Rule = {
  name: RULE,
  /** What starts is asked of the image as it is, before the first rule has changed anything. */
  async prepare(tree) {
    await startGraph(tree);
  },
  async find(tree) {
    const { starts, cut } = await startGraph(tree);
    const found = [];
    for (const start of starts) {
      const unit = unitOf(start);
      if (!unit.endsWith('.timer') || KNOWN.has(unit.replace(/\.timer$/, ''))) continue;
      const { starts: left, open } = await stopsOf(tree, { units: [start.name] });
      if (left.length === 0) continue;
      const path = pathOf(start);
      const action = open.length === 0 && isNameable(path) ? 'disable' : 'unknown';
      found.push(finding({ rule: RULE, path, value: start.name, why: WHY, action }));
    }
    found.sort((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
    for (const why of cut)
      found.push(finding({ rule: RULE, path: '/etc/systemd', value: why, why: CUT, action: 'unknown' }));
    return found;
  },
  change: async (found, tree) => (await stopsOf(tree, { units: [await nameIn(found.value, tree)] })).edits,
  async verify(tree, { findings }) {
    const problems: string[] = [];
    for (const { value } of findings.filter(({ rule, action }) => rule === RULE && action === 'disable')) {
      const { starts } = await stopsOf(tree, { units: [await nameIn(value, tree)] });
      for (const { start } of starts) for (const { path } of start.by) problems.push(`${path} still starts ${value}`);
    }
    return problems;
  },
};

/** The administrator's own unit, or the link by which he starts that of a package. */
function pathOf({ file, by, name }: Start): string {
  const link = by.find(({ kind, path }) => kind === 'link' && path.startsWith('/etc/'))?.path;
  return file !== null && (file.startsWith('/etc/') || link === undefined) ? file : (link ?? by[0]?.path ?? name);
}

/** Names in a report are shortened and made printable. */
async function nameIn(value: string, tree: FileTree): Promise<string> {
  const { starts } = await startGraph(tree);
  return (
    starts.find(({ name }) => finding({ rule: RULE, path: '/', value: name, why: WHY, action: 'keep' }).value === value)
      ?.name ?? value
  );
}
