// `understudy backup` and `understudy restore`: the store as of one moment, tokens and certificates, in one tar file.
// No backup of a volume is in it. What is restored is older than the volumes, so it always goes through `recover`.
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errnoOf, messageOf, requireTool, runTool, UnderstudyError } from '../src/base/mod.ts';
import type { Ask, BackedUp, Recovered, RecoverOptions } from '../src/cli/mod.ts';
import { type Configuration, loadConfiguration } from '../src/config/mod.ts';
import { stampsIn } from '../src/storage/mod.ts';
import { copySqliteStore } from '../src/store/mod.ts';
import { driverSchemas } from './drivers.ts';
import { putAside, recoverState } from './recover.ts';
import { storePath, takeState } from './state-folder.ts';

const MANIFEST = 'manifest.json';
const STORE = 'store.db';
const TAR_MS_MAX = 600_000;

interface Manifest {
  readonly format: 1;
  /** ISO 8601. */
  readonly takenAt: string;
  readonly state: string;
  /** SHA-256, hexadecimal, by the name in the archive. */
  readonly files: Readonly<Record<string, string>>;
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  const { format, takenAt, files } = value as Partial<Record<keyof Manifest, unknown>>;
  const isMap = typeof files === 'object' && files !== null && !Array.isArray(files);
  return format === 1 && typeof takenAt === 'string' && isMap;
}

/** Files beside the store, by their name in the archive. */
function filesOf({ api, tls, hosts }: Configuration): ReadonlyMap<string, string> {
  const files = new Map([['tokens', api.tokensFile]]);
  for (const { name, agentTokenFile } of hosts.values()) {
    if (agentTokenFile !== null) files.set(`agents/${name}`, agentTokenFile);
  }
  const folder = tls?.folder;
  if (folder === undefined || !existsSync(folder)) return files;
  for (const name of readdirSync(folder)) {
    if (lstatSync(join(folder, name)).isFile()) files.set(`pki/${name}`, join(folder, name));
  }
  return files;
}

/** Also while a controller runs. @throws TARGET_NOT_CONFIRMED when the file exists, STORE_FAILED, TOOL_MISSING */
export async function backup(file: string, target: string): Promise<BackedUp> {
  const configuration = await loadConfiguration(file, driverSchemas);
  const path = resolve(target);
  if (existsSync(path)) throw new UnderstudyError('TARGET_NOT_CONFIRMED', `${path} exists; name a file that does not`);
  if (!existsSync(storePath(configuration))) {
    throw new UnderstudyError('STATE_LOST', `${storePath(configuration)} is not there; run "understudy recover" first`);
  }
  return inFolderBeside(path, async (stage) => {
    const files = [...filesOf(configuration)].filter(([, from]) => existsSync(from));
    for (const [name, from] of files) {
      mkdirSync(dirname(join(stage, name)), { recursive: true, mode: 0o700 });
      copyFileSync(from, join(stage, name));
    }
    await copySqliteStore(storePath(configuration), join(stage, STORE));
    const names = [STORE, ...files.map(([name]) => name)];
    const takenAt = new Date().toISOString();
    const digests = Object.fromEntries(names.map((name) => [name, digestOf(join(stage, name))]));
    const manifest = { format: 1, takenAt, state: configuration.state, files: digests };
    writeFileSync(join(stage, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
    const archive = join(stage, 'archive.tar');
    await tar(['--create', '--file', archive, '--directory', stage, MANIFEST, ...names]);
    chmodSync(archive, 0o600);
    putInPlace(archive, path);
    return { file: path, takenAt, files: names };
  });
}

/** Nobody's file is overwritten. */
function putInPlace(archive: string, path: string): void {
  try {
    linkSync(archive, path);
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw cause;
    throw new UnderstudyError('TARGET_NOT_CONFIRMED', `${path} exists; name a file that does not`, { cause });
  }
}

async function inFolderBeside<T>(path: string, work: (folder: string) => Promise<T>): Promise<T> {
  let folder: string;
  try {
    folder = mkdtempSync(join(dirname(path), '.understudy-'));
  } catch (cause) {
    throw new UnderstudyError('TARGET_NOT_FOUND', `${dirname(path)} cannot be written: ${messageOf(cause)}`, { cause });
  }
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function tar(args: readonly string[]): Promise<void> {
  const done = await runTool(requireTool('tar', 'tar'), args, { timeoutMs: TAR_MS_MAX });
  if (done.status !== 0) throw new UnderstudyError('SOURCE_CORRUPT', `tar: ${done.stderr.trim()}`);
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/**
 * @throws CONTROLLER_RUNNING, SOURCE_NOT_FOUND, SOURCE_CORRUPT, and as `recover`
 */
export async function restore(file: string, source: string, options: RecoverOptions, ask: Ask): Promise<Recovered> {
  const path = resolve(source);
  // On a machine that lost everything the files are missing that the archive brings.
  const configuration = await loadConfiguration(file, driverSchemas, () => true);
  if (!existsSync(path)) throw new UnderstudyError('SOURCE_NOT_FOUND', `${path} does not exist`);
  const release = takeState(configuration, options.say);
  try {
    return await inFolderBeside(storePath(configuration), async (stage) => {
      await tar(['--extract', '--no-same-owner', '--file', path, '--directory', stage]);
      const { takenAt, files } = manifestOf(stage, path);
      const brought = new Set(Object.keys(files).map((name) => placeOf(configuration, name)));
      await loadConfiguration(file, driverSchemas, (secret) => brought.has(secret));
      await ask([`${path} was taken at ${takenAt}; tokens, certificates and the store are replaced by it`], []);
      const stamps = stampsIn(configuration.storage.folder, [...configuration.volumes.values()]);
      await stamps.unsettle(`the store was restored from ${path}, of ${takenAt}`);
      for (const name of Object.keys(files).filter((one) => one !== STORE)) {
        const to = placeOf(configuration, name);
        if (to === null) options.say(`${name} has no place in the configuration, and is left out`);
        else putFileBack(join(stage, name), to, options.say);
      }
      putStoreBack(configuration, stage, options.say);
      return recoverState(configuration, options, ask);
    });
  } finally {
    release();
  }
}

function manifestOf(stage: string, path: string): Manifest {
  const corrupt = (why: string): UnderstudyError => new UnderstudyError('SOURCE_CORRUPT', `${path}: ${why}`);
  const text = existsSync(join(stage, MANIFEST)) ? readFileSync(join(stage, MANIFEST), 'utf8') : null;
  if (text === null) throw corrupt(`it has no ${MANIFEST}: understudy backup did not make it`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw corrupt(`${MANIFEST} cannot be read: ${messageOf(cause)}`);
  }
  if (!isManifest(value)) throw corrupt(`${MANIFEST} is of another version`);
  for (const [name, digest] of Object.entries(value.files)) {
    const there = lstatSync(join(stage, name), { throwIfNoEntry: false });
    if (there?.isFile() !== true || digestOf(join(stage, name)) !== digest) throw corrupt(`${name} is damaged`);
  }
  if (value.files[STORE] === undefined) throw corrupt(`it has no ${STORE}`);
  return value;
}

function putStoreBack(configuration: Configuration, stage: string, say: (line: string) => void): void {
  const aside = putAside(storePath(configuration));
  if (aside !== null) say(`the store that was there is kept as ${aside}`);
  renameSync(join(stage, STORE), storePath(configuration));
}

/** What is there and is another is kept beside it. */
function putFileBack(from: string, to: string, say: (line: string) => void): void {
  if (existsSync(to) && digestOf(to) === digestOf(from)) return;
  if (existsSync(to)) {
    const aside = `${to}.before-restore-${randomBytes(4).toString('hex')}`;
    renameSync(to, aside);
    say(`${to} is kept as ${aside}`);
  }
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  copyFileSync(from, `${to}.new`);
  // As it was; nobody else could write it.
  chmodSync(`${to}.new`, lstatSync(from).mode & 0o644);
  renameSync(`${to}.new`, to);
}

/** By today's configuration; null: it has none. */
function placeOf({ api, tls, hosts }: Configuration, name: string): string | null {
  if (name === 'tokens') return api.tokensFile;
  const [kind, rest = ''] = [name.slice(0, name.indexOf('/')), name.slice(name.indexOf('/') + 1)];
  if (rest === '' || rest.includes('/') || rest.startsWith('.')) return null;
  if (kind === 'agents') return hosts.get(rest)?.agentTokenFile ?? null;
  return kind === 'pki' && tls !== null ? join(tls.folder, rest) : null;
}
