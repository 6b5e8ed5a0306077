import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore, StoreMemory } from '../../src/store/mod.ts';
import { describeStore } from './store.ts';
import type { StoreWorld } from './store-bench.ts';

function memoryWorld(): StoreWorld {
  const memory = new StoreMemory();
  return { open: async (options) => memory.open(options), dispose: async () => {} };
}

function sqliteWorld(): StoreWorld {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-store-'));
  return {
    open: (options) => openSqliteStore(join(folder, 'store.db'), options),
    dispose: async () => rmSync(folder, { recursive: true }),
  };
}

describeStore('memory', memoryWorld);
describeStore('sqlite', sqliteWorld);
