// Tables of jobs, as the cron of the system reads them: cron(8) and run-parts(8) of Debian, crond(8) of cronie (Red
// Hat, SUSE, Arch), crond of busybox (Alpine), anacron(8).
import { type FileTree, join, nameOf, textOf } from '../tree/mod.ts';
import { runsOf } from './commands.ts';
import type { Reader, Start } from './contract.ts';
import { textAt } from './text-at.ts';

/** Patterns of paths of tables; "tabs" is SUSE's, "/etc/crontabs" that of busybox. */
export const CRON_TABLES = [
  '/etc/crontab',
  '/etc/anacrontab',
  '/etc/cron.d/*',
  '/var/spool/cron/crontabs/*',
  '/var/spool/cron/tabs/*',
  '/var/spool/cron/*',
  '/etc/crontabs/*',
];
/** Cron of Debian passes over all other names (cron(8)), and so does its run-parts(8). */
const DEBIAN_NAME = /^[A-Za-z0-9_-]+$/;
/** Left by package managers and editors: `not_a_crontab` of cronie, and what dpkg leaves. */
const LEFT_BEHIND = /^[.#]|~$|\.rpm(save|orig|new)$|\.dpkg-\w+$/;
/** Folders that the system's own tables run. */
const SYSTEM_FOLDER = /^\/etc\/(cron\.(hourly|daily|weekly|monthly|yearly)|periodic\/\w+)\/?$/;
/** All words of a command that does nothing but run those folders. */
const SYSTEM_WORDS = new Set(
  (
    'cd / test [ ] ! if then fi true nice ionice run-parts --report --lsbsysinit anacron /usr/sbin/anacron ' +
    '/sbin/anacron /usr/bin/run-parts /bin/run-parts /usr/lib/cron/run-crons /run/systemd/system /dev/null'
  ).split(' '),
);

/** Whether names with a dot are passed over. */
export async function isStrictCron(tree: FileTree): Promise<boolean> {
  const others = [
    '/usr/sbin/crond',
    '/usr/sbin/cronie',
    '/usr/lib/systemd/system-generators/systemd-crontab-generator',
  ];
  for (const path of others) if ((await tree.stat(path)) !== null) return false;
  const bytes = (await tree.read('/etc/os-release', 65_536)) ?? (await tree.read('/usr/lib/os-release', 65_536));
  const isDebian = /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(bytes === null ? '' : (textOf(bytes) ?? ''));
  return isDebian || (await tree.stat('/var/lib/dpkg/status')) !== null;
}

/** Whether cron takes a file for a table, by its path. */
export function isCronTable(path: string, isStrict: boolean): boolean {
  // The folder of at(1) lies beside those of users.
  if (/^\/var\/spool\/cron\/(atjobs|atspool|lastrun)(\/|$)/.test(path)) return false;
  return !path.startsWith('/etc/cron.d/') || isCronName(nameOf(path), isStrict);
}

/** Whether a name in a folder of tables or scripts counts. */
export function isCronName(name: string, isStrict: boolean): boolean {
  return isStrict ? DEBIAN_NAME.test(name) : !LEFT_BEHIND.test(name);
}

export interface CronJob {
  /** From 1. */
  readonly line: number;
  /** Without its times and its user. May hold secrets. */
  readonly command: string;
}

/**
 * Lines that are neither comments nor settings, and that are not those by which the system's folders of scripts are
 * run.
 */
export function cronJobsIn(text: string, path: string): CronJob[] {
  return text.split('\n').flatMap((line, index) => {
    if (/^\s*(#|$)/.test(line) || /^\s*(\w+|"[^"]*"|'[^']*')\s*=/.test(line)) return [];
    const command = commandOf(line, path);
    return runsSystemFolders(command) ? [] : [{ line: index + 1, command }];
  });
}

/** Five fields or "@daily" come first, in tables of the system then the user, in anacron's two times and a name. */
function commandOf(line: string, path: string): string {
  const bare = line.trim().replace(/^-/, '').slice(0, 16_384);
  const times = path === '/etc/anacrontab' ? 3 : bare.startsWith('@') ? 1 : 5;
  const isUserNamed = path === '/etc/crontab' || path.startsWith('/etc/cron.d/');
  const fields = times + (isUserNamed ? 1 : 0);
  const match = new RegExp(`^(?:\\S+\\s+){${fields}}`).exec(bare);
  return match === null ? bare : bare.slice(match[0].length);
}

function runsSystemFolders(command: string): boolean {
  const words = command
    .replace(/\d?>&?\S*|&>\s*\S+/g, ' ')
    .split(/[\s;&|(){}]+/)
    .filter((word) => word !== '');
  const runs = words.some((word) => /(^|\/)(run-parts|anacron|run-crons)$/.test(word));
  return (
    runs && words.every((word) => SYSTEM_WORDS.has(word) || /^(-[a-z]+\d*|\d+)$/.test(word) || SYSTEM_FOLDER.test(word))
  );
}

/** The tables that are there, as far as their names let them be one. */
async function cronTables(tree: FileTree): Promise<readonly string[]> {
  const isStrict = await isStrictCron(tree);
  const paths = new Set<string>();
  for (const pattern of CRON_TABLES) {
    const isFolder = pattern.endsWith('/*');
    const folder = pattern.slice(0, -2);
    const names = isFolder ? (await tree.list(folder)).map((name) => join(folder, name)) : [pattern];
    for (const name of names) {
      const entry = await tree.stat(name);
      if (entry?.kind === 'file' && isCronTable(name, isStrict)) paths.add(entry.path);
    }
  }
  return [...paths];
}

export const cronStarts: Reader = async (tree) => {
  const starts: Start[] = [];
  for (const path of await cronTables(tree)) starts.push(...(await jobsOf(tree, path)));
  return starts;
};

async function jobsOf(tree: FileTree, path: string): Promise<readonly Start[]> {
  const starts: Start[] = [];
  for (const { line, command } of cronJobsIn(await textAt(tree, path), path)) {
    const runs = await runsOf(tree, { kind: 'shell', text: command });
    const at = { by: [{ kind: 'file', path }] as const, file: path, line };
    starts.push({ way: 'cron', name: nameOf(path), aliases: [], ...at, ...runs, again: (now) => jobsOf(now, path) });
  }
  return starts;
}
