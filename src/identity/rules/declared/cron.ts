// Jobs that start by the clock: crontab(5), cron.d, run-parts(8), anacrontab(5), at(1). What every system has stays: it looks after
// the system itself. Everything else is the lead's work, and goes on there.

import { type FileTree, nameOf, readText } from '../../tree/mod.ts';
import { clueRule } from '../clue.ts';
import type { Rule } from '../contract.ts';
import { finding, unusable } from '../finding.ts';
import { filesAt, isNameable } from '../glob.ts';

const RULE = 'cron';
const WHY = 'The job runs on the lead; on a clone it would run a second time.';
const SYSTEMS_OWN = 'It looks after the system that it is on, so every host needs it.';
const TABLES = [
  '/etc/crontab',
  '/etc/anacrontab',
  '/etc/cron.d/*',
  '/var/spool/cron/crontabs/*',
  '/var/spool/cron/*',
  '/etc/crontabs/*',
];
const SCRIPTS = ['/etc/cron.{hourly,daily,weekly,monthly,yearly}/*', '/etc/periodic/*/*'];
const COMMENT = '# understudy: ';
/** Of packages of Debian, Red Hat, SUSE and Alpine that serve the system itself. */
const KNOWN = new Set(
  (
    '.placeholder 0hourly 0anacron anacron apport apt-compat apt-show-versions aptitude apt bsdmainutils certwatch debtags dpkg ' +
    'e2scrub_all etckeeper exim4-base fake-hwclock fstrim google-chrome logrotate man-db man-db.cron mdadm mlocate passwd php ' +
    'plocate popularity-contest raid-check rhsmd rkhunter standard sysstat updatedb update-notifier-common zfsutils-linux ' +
    'run-parts'
  ).split(' '),
);
/** Lines by which a table runs the folders of scripts. */
const RUNS_FOLDERS = /\b(run-parts|anacron)\b/;
/** Ignored by cron itself: other files in these folders are no tables (cron(8), run-parts(8)). */
const IS_TABLE = /^[A-Za-z0-9_-]+$/;

interface Job {
  readonly line: number;
  /** What it runs, without its arguments, which may hold secrets. */
  readonly program: string;
}

export const cronRule: Rule = {
  name: RULE,
  async find(tree) {
    const tables = await filesAt(tree, TABLES);
    const scripts = await filesAt(tree, SCRIPTS);
    const found = [];
    for (const { path } of tables.files) {
      if (!isTable(path)) continue;
      const file = await readText(tree, path);
      if (file.status === 'unusable') found.push(unusable(RULE, file));
      if (file.status !== 'text') continue;
      const jobs = jobsIn(file.text, path);
      if (jobs.length === 0) continue;
      const value = jobs.map(({ line, program }) => `line ${line}: ${program}`).join(', ');
      const isOwn = KNOWN.has(nameOf(path)) && path.startsWith('/etc/cron.d/');
      found.push(
        finding({ rule: RULE, path, value, why: isOwn ? SYSTEMS_OWN : WHY, action: isOwn ? 'keep' : 'disable' }),
      );
    }
    for (const { path, mode } of scripts.files) {
      if ((mode & 0o111) === 0 || !isNameable(path)) continue;
      const isOwn = KNOWN.has(nameOf(path));
      const text = (await readText(tree, path)).status === 'text';
      const action = isOwn ? 'keep' : text ? 'disable' : 'unknown';
      found.push(finding({ rule: RULE, path, value: 'a script', why: isOwn ? SYSTEMS_OWN : WHY, action }));
    }
    if (tables.cut || scripts.cut)
      found.push(finding({ rule: RULE, path: '/etc', value: 'too many jobs', why: WHY, action: 'unknown' }));
    return found;
  },
  async change(found, tree) {
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    // A script that may not be run is passed over, run-parts(8); a table keeps its settings, and what it was is still to be read.
    if (!isTableFolder(found.path)) return [{ kind: 'write', path: found.path, text: file.text, mode: 0o644 }];
    const jobs = new Set(jobsIn(file.text, found.path).map(({ line }) => line));
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

async function stillRuns(tree: FileTree, path: string): Promise<boolean> {
  if (!isTableFolder(path)) return (((await tree.stat(path))?.mode ?? 0) & 0o111) !== 0;
  const file = await readText(tree, path);
  return file.status === 'text' && jobsIn(file.text, path).length > 0;
}

function isTableFolder(path: string): boolean {
  return /^\/etc\/(crontab|anacrontab|cron\.d\/[^/]+|crontabs\/[^/]+)$|^\/var\/spool\/cron\//.test(path);
}

function isTable(path: string): boolean {
  // The folder of at(1) lies beside those of users.
  if (/^\/var\/spool\/cron\/(atjobs|atspool|lastrun)(\/|$)/.test(path)) return false;
  return path.startsWith('/etc/cron.d/') ? IS_TABLE.test(nameOf(path)) : isNameable(path);
}

/** Lines that are neither comments nor settings, and that are not those by which scripts in folders are run. */
function jobsIn(text: string, path: string): Job[] {
  const isSystems = path.startsWith('/etc/cron');
  return text.split('\n').flatMap((line, index) => {
    const isJob = !/^\s*(#|$)/.test(line) && !/^\s*[A-Za-z_]\w*\s*=/.test(line) && !/^\s*"[^"]*"\s*=/.test(line);
    return isJob && !RUNS_FOLDERS.test(line) ? [{ line: index + 1, program: programOf(line, isSystems, path) }] : [];
  });
}

/** Five fields or "@daily" come first, in tables of the system then the user, in anacron's two numbers and a name. */
function programOf(line: string, isSystems: boolean, path: string): string {
  const words = line.trim().slice(0, 1000).split(/\s+/);
  const times = path === '/etc/anacrontab' ? 3 : words[0]?.startsWith('@') ? 1 : 5;
  const isUserNamed = isSystems && path !== '/etc/anacrontab' && !path.startsWith('/etc/crontabs/');
  const command = words.slice(times + (isUserNamed ? 1 : 0));
  return command.find((word) => /^[\w./-]+$/.test(word)) ?? '(a command)';
}

/** Jobs that at(1) keeps for a moment to come. */
export const atJobsRule = clueRule('at-jobs', [
  {
    at: ['/var/spool/cron/{atjobs,atspool}/*', '/var/spool/at/*', '/var/spool/atjobs/*'],
    value: 'a job for later',
    secret: true,
    why: WHY,
    becomes: { action: 'disable', by: 'removal' },
  },
]);
