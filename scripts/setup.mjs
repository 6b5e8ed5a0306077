// Makes a clean clone ready: `node scripts/setup.mjs build|run|demo|loop|test|proof|bench`. It runs before anything is installed, so
// it is plain JavaScript with Node.js built-ins only. With nothing missing it says nothing and takes a fraction of a second.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MIN = [20, 19];

/** Lists of system-packages.json that each purpose needs. */
const PURPOSES = {
  build: [],
  run: ['run'],
  demo: ['run', 'demo'],
  loop: ['run', 'demo', 'serve'],
  test: ['run', 'demo', 'serve', 'test'],
  proof: ['run', 'demo', 'serve', 'test', 'proof'],
  bench: ['run', 'demo', 'serve', 'bench'],
};

class SetupError extends Error {}

function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Runs a program with the terminal's streams; a failure ends the set-up. */
function run(what, command, args, env = {}) {
  if (what !== null) say(what);
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, ...env } });
  if (result.error) throw new SetupError(`${command}: ${result.error.message}`);
  if (result.status !== 0) throw new SetupError(`${command} ${args[0]} ended with status ${result.status}`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  throw new SetupError(`Node.js ${NODE_MIN.join('.')} or newer is needed; this is ${process.versions.node}`);
}

function wantedPackages(purpose) {
  const lists = JSON.parse(readFileSync(join(root, 'scripts/system-packages.json'), 'utf8'));
  return [...new Set(PURPOSES[purpose].flatMap((name) => Object.keys(lists[name])))].sort();
}

/** Those of the Debian packages that are not installed, by one call; null where there is no dpkg. */
function missingPackages(wanted) {
  const format = `--showformat=\${Package} \${db:Status-Status}\\n`;
  const result = spawnSync('dpkg-query', ['--show', format, ...wanted], { encoding: 'utf8' });
  if (result.error) return null;
  const installed = new Set();
  for (const line of result.stdout.split('\n')) {
    const [name, status] = line.split(' ');
    if (status === 'installed') installed.add(name);
  }
  return wanted.filter((name) => !installed.has(name));
}

function installSystemPackages(purpose) {
  const wanted = wantedPackages(purpose);
  if (wanted.length === 0) return;
  const missing = missingPackages(wanted);
  if (missing === null) {
    // Other distributions name their packages differently. Every command of ours names what it misses when it misses it.
    say(`This is not a Debian system; these Debian packages, or their like, have to be there: ${wanted.join(' ')}`);
    return;
  }
  if (missing.length === 0) return;
  const install = ['install', '--yes', '--no-install-recommends', ...missing];
  if (process.getuid() !== 0) {
    say('Debian packages are missing. Run this line, then try again:');
    process.stdout.write(`sudo apt-get update && sudo apt-get ${install.join(' ')}\n`);
    throw new SetupError(`${missing.length} Debian packages are missing`);
  }
  const patience = ['-o', 'DPkg::Lock::Timeout=120', '-q'];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('Reading the package lists ...', 'apt-get', [...patience, 'update'], env);
  run(`Installing ${missing.join(' ')} ...`, 'apt-get', [...patience, ...install], env);
}

function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
}

/** Whether node_modules is what package-lock.json says: npm keeps its own record of what it installed. */
function npmPackagesAreCurrent() {
  const wanted = readJson(join(root, 'package-lock.json'));
  const installed = readJson(join(root, 'node_modules/.package-lock.json'));
  if (installed === null) return false;
  for (const [path, entry] of Object.entries(wanted.packages)) {
    if (path === '') continue;
    const found = installed.packages[path];
    // npm leaves out optional packages that are for other machines.
    if (found === undefined && entry.optional) continue;
    if (found === undefined || found.version !== entry.version || found.integrity !== entry.integrity) return false;
    if (!existsSync(join(root, path, 'package.json'))) return false;
  }
  return Object.keys(installed.packages).every((path) => path in wanted.packages);
}

function installNpmPackages() {
  if (npmPackagesAreCurrent()) return;
  const npm = process.env.npm_execpath;
  if (npm?.endsWith('.js')) run('Installing npm packages ...', process.execPath, [npm, 'ci']);
  else run('Installing npm packages ...', 'npm', ['ci']);
}

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

/** What the build depends on besides the sources. */
const BUILD_INPUTS = ['tsconfig.json', 'package-lock.json', 'scripts/bundle.mjs'];

/** What the build depends on, as one digest: a deleted file changes it, which the newest time stamp would not show. */
function sourcesDigest() {
  const hash = createHash('sha256');
  const { include } = readJson(join(root, 'tsconfig.json'));
  const folders = include.map((pattern) => join(root, pattern.split('/')[0])).filter((folder) => existsSync(folder));
  const sources = folders.flatMap((folder) => [...filesBelow(folder)]).filter((path) => path.endsWith('.ts'));
  for (const path of [...sources, ...BUILD_INPUTS.map((path) => join(root, path))].sort()) {
    const { mtimeMs, size } = statSync(path);
    hash.update(`${relative(root, path)} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex');
}

/** Removes what earlier builds made of sources that are gone. */
function removeOrphans() {
  const bundles = join(root, 'dist/run/');
  for (const path of filesBelow(join(root, 'dist'))) {
    if (path.startsWith(bundles)) continue;
    const match = /^(.*?)(\.d\.ts|\.js)$/.exec(path);
    if (match && !existsSync(join(root, `${relative(join(root, 'dist'), match[1])}.ts`))) rmSync(path);
  }
}

/** Compiles when a source has changed. For tests, type errors are left to the type check, which reports and counts them. */
function build(purpose) {
  const stamp = join(root, 'dist/.built');
  const digest = sourcesDigest();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  say('Building ...');
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const result = spawnSync(process.execPath, [tsc, '-p', root], { cwd: root, encoding: 'utf8' });
  if (result.error) throw new SetupError(`tsc: ${result.error.message}`);
  mkdirSync(join(root, 'dist'), { recursive: true });
  removeOrphans();
  run(null, process.execPath, [join(root, 'scripts/bundle.mjs'), root]);
  if (result.status === 0) return writeFileSync(stamp, digest);
  rmSync(stamp, { force: true });
  if (purpose === 'test') return;
  say(result.stdout + result.stderr);
  throw new SetupError('the sources do not compile');
}

function main() {
  const purpose = process.argv[2] ?? 'run';
  if (!Object.hasOwn(PURPOSES, purpose) || process.argv.length > 3) {
    throw new SetupError(`usage: node scripts/setup.mjs ${Object.keys(PURPOSES).join('|')}`);
  }
  checkNode();
  installSystemPackages(purpose);
  installNpmPackages();
  build(purpose);
}

try {
  main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(`setup: ${error.message}`);
  process.exitCode = 1;
}
