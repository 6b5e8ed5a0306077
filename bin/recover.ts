// `understudy recover`, composed: what volumes, backups, daemons and machines say becomes the store again.
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, memoryEpochGate, messageOf, UnderstudyError } from '../src/base/mod.ts';
import type { Ask, Recovered, RecoverOptions } from '../src/cli/mod.ts';
import { type Configuration, loadConfiguration } from '../src/config/mod.ts';
import { historyOf, planRecovery, type Recovery, recordRecovery } from '../src/controller/mod.ts';
import { daemonsOf, recordSurvey, type Say, type Survey, stampsIn, surveyVolumes } from '../src/storage/mod.ts';
import { openSqliteStore, type Store, type StoredRecord, storeEpochGate } from '../src/store/mod.ts';
import { driverSchemas } from './drivers.ts';
import { virtualMachines } from './serve.ts';
import { storePath, takeState } from './state-folder.ts';

/** Of the storage node in keys of the store (serve.ts). */
const NODE = 'storage';
const UNFINISHED = 'understudy recover was begun, and has not ended';

/** @throws CONTROLLER_RUNNING, VOLUME_UNKNOWN, STORE_FAILED, STORAGE_FAILED, INTERRUPTED, and what `ask` throws */
export async function recover(file: string, options: RecoverOptions, ask: Ask): Promise<Recovered> {
  const configuration = await loadConfiguration(file, driverSchemas);
  const release = takeState(configuration, options.say);
  try {
    return await recoverState(configuration, options, ask);
  } finally {
    release();
  }
}

/** The same, of a state folder that this process has. */
export async function recoverState(
  configuration: Configuration,
  options: RecoverOptions,
  ask: Ask,
): Promise<Recovered> {
  const { signal } = options;
  const { folder } = configuration.storage;
  const volumes = [...configuration.volumes.values()];
  const found = await readStore(configuration, async (store) => {
    const survey = await surveyVolumes({ folder, volumes, store, say: saidOf(configuration, options), signal });
    const numbers = store === null ? null : { sequence: await sequenceIn(store) };
    const recovery = planRecovery(configuration, survey, numbers, Date.now());
    const history = store === null || recovery.storeStays ? [] : await historyOf(store);
    return { survey, recovery, history };
  });
  const { survey, recovery, why } = { ...found.value, why: found.why };
  const lines = [...(why === null ? [] : [why]), ...recovery.lines, ...processes(configuration)];
  await ask(lines, recovery.unclear);
  signal.throwIfAborted();
  const stamps = stampsIn(folder, volumes);
  await stamps.unsettle(UNFINISHED);
  const { history } = found.value;
  const aside = recovery.storeStays ? null : await remake(configuration, survey, recovery, history);
  if (recovery.storeStays) await believe(configuration, survey);
  if (recovery.unclear.length === 0) await stamps.settle();
  return {
    plan: lines,
    unclear: recovery.unclear,
    engagements: recovery.engagements.map(({ name }) => name),
    aside,
  };
}

/** @throws VOLUME_UNKNOWN */
function saidOf({ volumes }: Configuration, { keep, restore }: RecoverOptions): ReadonlyMap<string, Say> {
  const said = [...keep.map((name) => [name, 'keep'] as const), ...restore.map((name) => [name, 'restore'] as const)];
  const unknown = said.find(([name]) => !volumes.has(name));
  if (unknown !== undefined) throw new UnderstudyError('VOLUME_UNKNOWN', `there is no volume "${unknown[0]}"`);
  return new Map(said);
}

/** The store as it is, where it can be opened; nothing is written to it. */
async function readStore<T>(
  configuration: Configuration,
  work: (store: Store | null) => Promise<T>,
): Promise<{ readonly value: T; readonly why: string | null }> {
  const path = storePath(configuration);
  if (!existsSync(path)) return { value: await work(null), why: `${path} is not there` };
  let store: Store | null = null;
  try {
    store = await openSqliteStore(path);
    await store.list('');
  } catch (error) {
    if (codeOf(error) === null) throw error;
    await closeUnreadable(store);
    return { value: await work(null), why: `${path} cannot be read: ${messageOf(error)}` };
  }
  try {
    return { value: await work(store), why: null };
  } finally {
    await store.close();
  }
}

/** What is wrong with it is told already. */
async function closeUnreadable(store: Store | null): Promise<void> {
  try {
    await store?.close();
  } catch (error) {
    if (codeOf(error) === null) throw error;
  }
}

async function sequenceIn(store: Store): Promise<number> {
  try {
    return Number((await store.get('counter/engagement'))?.value ?? 0);
  } catch (error) {
    if (codeOf(error) === null) throw error;
    return 0;
  }
}

/** What still runs of the time before, for people: it is taken over or ended by the next `understudy up`. */
function processes(configuration: Configuration): readonly string[] {
  const daemons = daemonsOf(join(configuration.state, 'node')).map(
    (pid) => `storage daemon: process ${pid} runs; understudy up takes it over, or starts another one in its place`,
  );
  const machines = virtualMachines(
    configuration,
    { status: () => Promise.reject(new Error('not asked')) },
    memoryEpochGate(),
  );
  const running = [...configuration.hosts.keys()].flatMap((host) =>
    machines.processesOf(host).map((pid) => `${host}: its machine runs as process ${pid}, and goes on`),
  );
  return [...daemons, ...running];
}

/** Controllers that only advised had higher epochs than the store knows. */
async function believe(configuration: Configuration, { floor }: Survey): Promise<void> {
  if (floor.epoch === 0) return;
  const store = await openSqliteStore(storePath(configuration));
  try {
    await storeEpochGate(store).admit('controller', floor.epoch);
  } finally {
    await store.close();
  }
}

/** @returns where the old store is now; null: there was none */
async function remake(
  configuration: Configuration,
  survey: Survey,
  recovery: Recovery,
  history: readonly StoredRecord[],
): Promise<string | null> {
  const aside = putAside(storePath(configuration));
  const store = await openSqliteStore(storePath(configuration));
  try {
    const { folder } = configuration.storage;
    await recordSurvey({ folder, volumes: [...configuration.volumes.values()] }, survey, store, NODE);
    await recordRecovery(store, recovery, survey, history, Date.now());
  } finally {
    await store.close();
  }
  return aside;
}

/** With the log that belongs to it: https://www.sqlite.org/walformat.html */
export function putAside(path: string): string | null {
  const ends = ['', '-wal', '-shm'].filter((end) => existsSync(`${path}${end}`));
  if (ends.length === 0) return null;
  const name = `${path}.lost-${new Date().toISOString().replaceAll(/[^0-9]/g, '')}`;
  for (const end of ends) renameSync(`${path}${end}`, `${name}${end}`);
  return name;
}
