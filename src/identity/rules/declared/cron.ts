// Jobs that start by the clock: crontab(5), cron.d, run-parts(8), anacrontab(5), at(1). What every system has stays: it
// looks after the system itself. Everything else is the lead's work, and goes on there.

import {
  CRON_TABLES,
  type CronJob,
  cronJobsIn,
  isCronName,
  isCronTable,
  isPackaged,
  isStrictCron,
  packagesOf,
} from '../../starts/mod.ts';
import { type FileTree, nameOf, readText } from '../../tree/mod.ts';
import { clueRule } from '../clue.ts';
import type { Rule } from '../contract.ts';
import { finding, unusable } from '../finding.ts';
import { isNameable, namesAt } from '../glob.ts';

const RULE = 'cron';
const WHY = 'The job runs on the lead; on a clone it would run a second time.';
const SYSTEMS_OWN = 'It looks after the system that it is on, so every host needs it.';
const SCRIPTS = ['/etc/cron.{hourly,daily,weekly,monthly,yearly}/*', '/etc/periodic/*/*'];
const COMMENT = '# understudy: ';
/** Of packages of Debian, Red Hat, SUSE and Alpine that serve the system itself. */
const KNOWN = new Set(
  (
    '0anacron 0hourly anacron apache2 apport apt apt-compat apt-show-versions aptitude bsdmainutils certwatch ' +
    'cracklib-runtime debtags dpkg e2scrub_all etckeeper exim4-base fake-hwclock fstrim google-chrome logrotate ' +
    'man-db man-db.cron mdadm mlocate ntp ntpsec passwd php .placeholder plocate popularity-contest raid-check ' +
    'rhsmd rkhunter run-parts standard sysstat update-notifier-common updatedb zfsutils-linux'
  ).split(' '),
);

export const cronRule: Rule = {
  name: RULE,
  async find(tree) {
    const tables = await namesAt(tree, CRON_TABLES);
    const scripts = await namesAt(tree, SCRIPTS);
    const isStrict = await isStrictCron(tree);
    const found = [];
    for (const { path } of tables.names) {
      if (!isNameable(path) || !isCronTable(path, isStrict)) continue;
      const file = await readText(tree, path);
      if (file.status === 'unusable') found.push(unusable(RULE, file));
      if (file.status !== 'text') continue;
      const jobs = cronJobsIn(file.text, path);
      if (jobs.length === 0) continue;
      const value = jobs.map((job) => `line ${job.line}: ${programOf(job)}`).join(', ');
      const isOwn = path.startsWith('/etc/cron.d/') && (await isOfSystem(tree, path));
      found.push(
        finding({ rule: RULE, path, value, why: isOwn ? SYSTEMS_OWN : WHY, action: isOwn ? 'keep' : 'disable' }),
      );
    }
    for (const { path, kind } of scripts.names) {
      const mode = (await tree.stat(path))?.mode ?? 0;
      if ((mode & 0o111) === 0 || !isNameable(path) || !isRun(path, isStrict)) continue;
      const isOwn = await isOfSystem(tree, path);
      const isLink = kind === 'link';
      const canChange = isLink || (await readText(tree, path)).status === 'text';
      const action = isOwn ? 'keep' : canChange ? 'disable' : 'unknown';
      const value = isLink ? 'a link to a script' : 'a script';
      found.push(finding({ rule: RULE, path, value, why: isOwn ? SYSTEMS_OWN : WHY, action }));
    }
    if (tables.cut || scripts.cut)
      found.push(finding({ rule: RULE, path: '/etc', value: 'too many jobs', why: WHY, action: 'unknown' }));
    return found;
  },
  async change(found, tree) {
    // What a link leads to may serve others as well: only the link is cron's.
    if ((await tree.lstat(found.path))?.kind === 'link') return [{ kind: 'remove', path: found.path }];
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    // A script that may not be run is passed over, run-parts(8); a table keeps its settings, and what it was is still
    // to be read.
    if (!isTableFolder(found.path)) return [{ kind: 'write', path: found.path, text: file.text, mode: 0o644 }];
    const jobs = new Set(cronJobsIn(file.text, found.path).map(({ line }) => line));
    const lines = file.text.split('\n').map((line, index) => (jobs.has(index + 1) ? COMMENT + line : line));
    return [{ kind: 'write', path: found.path, text: lines.join('\n') }];
  },
  async verify(tree, { findings }) {
    const problems: string[] = [];
    for (const { path } of findings.filter(({ rule, action }) => rule === RULE && action === 'disable')) {
      if (await stillRuns(tree, path)) problems.push(`${path} still has jobs of the lead`);
    }
    return problems;
  },
};

/** By its name; and as its package brought it, where there is a database that says so. */
async function isOfSystem(tree: FileTree, path: string): Promise<boolean> {
  if (!KNOWN.has(nameOf(path))) return false;
  return (await packagesOf(tree)) === null || (await isPackaged(tree, path));
}

/** run-parts(8); that of busybox takes all names. */
function isRun(path: string, isStrict: boolean): boolean {
  // What a link leads to has a name of its own.
  return !path.startsWith('/etc/cron.') || isCronName(nameOf(path), isStrict);
}

async function stillRuns(tree: FileTree, path: string): Promise<boolean> {
  if (!isTableFolder(path)) return (((await tree.stat(path))?.mode ?? 0) & 0o111) !== 0;
  const file = await readText(tree, path);
  return file.status === 'text' && cronJobsIn(file.text, path).length > 0;
}

function isTableFolder(path: string): boolean {
  return /^\/etc\/(crontab|anacrontab|cron\.d\/[^/]+|crontabs\/[^/]+)$|^\/var\/spool\/cron\//.test(path);
}

/** What it runs, without its arguments, which may hold secrets. */
function programOf({ command }: CronJob): string {
  const words = command.slice(0, 1000).split(/\s+/);
  return words.find((word) => /^[\w./-]+$/.test(word)) ?? '(a command)';
}

/** Jobs that at(1) keeps for a moment to come. */
export const atJobsRule = clueRule('at-jobs', [
  {
    at: ['/var/spool/cron/{atjobs,atspool}', '/var/spool/at', '/var/spool/atjobs'],
    value: 'jobs for later',
    why: WHY,
    becomes: { action: 'disable', by: 'emptying' },
  },
]);
