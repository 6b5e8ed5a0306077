// `npm run audit`: which packages of package-lock.json have a known advisory. The registry is asked where it answers,
// and what it says is added to scripts/advisories.json; where it does not, the lock file is compared with that list
// alone, and the list's age is told.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import semver from 'semver';

const DAY_MS = 24 * 60 * 60 * 1000;
const LIST = 'scripts/advisories.json';

/** Name and version of everything in a lock file of version 3, with the place where it is installed. */
export function lockedPackages(lock) {
  return Object.entries(lock.packages)
    .filter(([path]) => path !== '')
    .map(([path, { name, version }]) => ({
      path,
      // An alias is installed under another name than its own.
      name: name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version,
    }));
}

/**
 * What an advisory of the list says of a package in the lock file, whether accepted or not. A range or a version that
 * cannot be read is an error: it must not pass for "not affected".
 */
export function findings(lock, list) {
  const packages = lockedPackages(lock);
  return list.advisories.flatMap((advisory) => {
    if (semver.validRange(advisory.vulnerable) === null)
      throw new Error(`${advisory.id}: no range: ${advisory.vulnerable}`);
    return packages
      .filter(({ name }) => name === advisory.package)
      .filter(({ path, version }) => {
        if (semver.valid(version) === null) throw new Error(`${path}: no version: ${version}`);
        return semver.satisfies(version, advisory.vulnerable, { includePrerelease: true });
      })
      .map(({ path, version }) => ({ advisory, path, version }));
  });
}

/** Days since the list was last compared with what is published, and by what means. */
export function ageOf({ askedAt, gatheredAt }, now = Date.now()) {
  const days = (day) => Math.floor((now - Date.parse(day)) / DAY_MS);
  if (askedAt !== null) return `the registry was last asked ${days(askedAt)} days ago, on ${askedAt}`;
  return `the registry has never answered; the list was gathered by hand ${days(gatheredAt)} days ago, on ${gatheredAt}`;
}

/**
 * The list with what `npm audit --json` (report version 2) found. Older entries stay: they find a package that is set
 * back to a version that was left for a reason.
 */
export function merged(list, report, day) {
  const known = new Map(list.advisories.map((advisory) => [`${advisory.id} ${advisory.package}`, advisory]));
  for (const { via } of Object.values(report.vulnerabilities)) {
    for (const found of via) {
      // A text names another package of the report, through which this one is affected.
      if (typeof found === 'string') continue;
      const id = found.url.slice(found.url.lastIndexOf('/') + 1);
      const key = `${id} ${found.name}`;
      const { accepted } = known.get(key) ?? {};
      const { name, severity, range, title } = found;
      known.set(key, { id, package: name, severity, vulnerable: range, title, ...(accepted ? { accepted } : {}) });
    }
  }
  const advisories = [...known].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, advisory]) => advisory);
  return { ...list, askedAt: day, advisories };
}

/** What the registry says, or why it says nothing. */
function askRegistry(root) {
  const npm = process.env.npm_execpath;
  const [program, ...before] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  const args = [...before, 'audit', '--json', '--package-lock-only', '--fetch-retries=0', '--fetch-timeout=20000'];
  const { stdout, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (error) return { report: null, why: error.message };
  try {
    const report = JSON.parse(stdout);
    if (report.auditReportVersion === 2) return { report, why: null };
    return { report: null, why: report.message ?? report.error?.summary ?? 'no report' };
  } catch (cause) {
    return { report: null, why: cause instanceof Error ? cause.message : String(cause) };
  }
}

function main(root) {
  const path = join(root, LIST);
  let list = JSON.parse(readFileSync(path, 'utf8'));
  const { report, why } = askRegistry(root);
  if (report === null) {
    process.stderr.write(`audit: the registry did not say: ${why}; comparing with ${LIST} alone\n`);
  } else {
    list = merged(list, report, new Date().toISOString().slice(0, 10));
    writeFileSync(path, `${JSON.stringify(list, null, 2)}\n`);
  }
  process.stderr.write(`audit: ${list.advisories.length} advisories; ${ageOf(list)}\n`);
  const found = findings(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')), list);
  for (const { advisory, path: place, version } of found) {
    const { id, severity, title, accepted } = advisory;
    const end = accepted === undefined ? '' : ` (accepted: ${accepted})`;
    process.stdout.write(`${place} ${version}: ${id}, ${severity}: ${title}${end}\n`);
  }
  if (found.some(({ advisory }) => advisory.accepted === undefined)) process.exitCode = 1;
}

const self = fileURLToPath(import.meta.url);
if (process.argv[1] === self) main(dirname(dirname(self)));
