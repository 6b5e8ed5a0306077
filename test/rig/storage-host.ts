// A process that runs a storage node for a test, and can be killed like any other. Its argument is a StorageSetting.

import { gatewayTls } from '../../bin/gateway-tls.ts';
import { type Call, messageOf, UnderstudyError } from '../../src/base/mod.ts';
import { type CopyProgress, createStorageNode, type Listen, type LocalStorageNode } from '../../src/storage/mod.ts';
import { openSqliteStore, type Store, storeEpochGate } from '../../src/store/mod.ts';
import { markIdentity } from '../support/mark-identity.ts';
import type { FromHost, StorageRequest, StorageSetting, ToHost, WireError } from './storage-wire.ts';

function say(message: FromHost): void {
  process.send?.(message);
}

function wireError(error: unknown): WireError {
  if (error instanceof UnderstudyError) return { code: error.code, message: error.message, details: error.details };
  return { code: null, message: `${messageOf(error)} ${error instanceof Error ? error.stack : ''}`, details: {} };
}

/** Dies by its own hand at the wanted write after it was ready, as if somebody had pulled the plug. */
function mortal(store: Store, dieAt: StorageSetting['dieAt'], isReady: () => boolean): Store {
  if (dieAt === null) return store;
  let writes = 0;
  const die = (): Promise<never> => {
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => {});
  };
  return {
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    async put(key, value, expected) {
      // The gate's and the daemon's records are no steps of an operation.
      if (isReady() && key.startsWith('storage/volume/')) writes += 1;
      const last = isReady() && writes === dieAt.write && key.startsWith('storage/volume/');
      if (last && dieAt.when === 'before') return die();
      const revision = await store.put(key, value, expected);
      return last ? die() : revision;
    },
    delete: (key, expected) => store.delete(key, expected),
    watch: (prefix, signal) => store.watch(prefix, signal),
    lease: (name, holder, ttlMs, above) => store.lease(name, holder, ttlMs, above),
    close: () => store.close(),
  };
}

const calls = new Map<number, AbortController>();

function run(node: LocalStorageNode, ask: StorageRequest, call: Call, onProgress: (p: CopyProgress) => void) {
  switch (ask.method) {
    case 'status':
      return node.status();
    case 'attach':
      return node.attach(ask.volume, ask.host, call);
    case 'detach':
      return node.detach(ask.volume, call);
    case 'backup':
      return node.backup(ask.volume, ask.engagement, call, onProgress);
    case 'replicate':
      return node.replicate({ ...ask.request, onProgress }, call);
    case 'inspect':
      return node.inspect(ask.volume, ask.lead, call);
    case 'personalise':
      return node.personalise(ask.request, call);
    case 'restore':
      return node.restore(ask.volume, ask.engagement, call, onProgress);
    case 'discard':
      return node.discard(ask.volume, ask.engagement, call);
    case 'renewCertificates':
      return node.renewCertificates();
    case 'close':
      return node.close();
    case 'shutdown':
      return node.shutdown();
  }
}

async function answer(node: LocalStorageNode, id: number, ask: StorageRequest, epoch: number): Promise<void> {
  const abort = new AbortController();
  calls.set(id, abort);
  try {
    const value = await run(node, ask, { epoch, signal: abort.signal }, (progress) => say({ id, progress }));
    say({ id, value: value ?? null });
  } catch (error) {
    say({ id, error: wireError(error) });
  } finally {
    calls.delete(id);
  }
}

function listenOf({ listen }: StorageSetting): Listen {
  if (listen.kind !== 'range') return listen;
  return { ...listen, tls: listen.tls === null ? null : gatewayTls(listen.tls.folder, listen.tls.name) };
}

async function main(): Promise<void> {
  const setting = JSON.parse(process.argv[2] ?? '{}') as StorageSetting;
  let ready = false;
  const store = mortal(await openSqliteStore(setting.store), setting.dieAt, () => ready);
  try {
    const gate = storeEpochGate(store);
    const listen = listenOf(setting);
    const node = await createStorageNode({ ...setting, listen, store, gate, identity: markIdentity() });
    process.on('message', (message: ToHost) => {
      if ('abort' in message) calls.get(message.abort)?.abort();
      else void answer(node, message.id, message.ask, message.epoch);
    });
    process.on('disconnect', () => process.exit(0));
    ready = true;
    say({ ready: true });
  } catch (error) {
    say({ failed: wireError(error) });
    process.disconnect();
  }
}

await main();
