// Records of the storage node that cannot be used: nothing is done with what they are about, and everything else goes
// on.
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryEpochGate } from '../../src/base/mod.ts';
import { NodeOfBackend } from '../../src/storage/node.ts';
import { Records } from '../../src/storage/records.ts';
import { Stamps } from '../../src/storage/stamps/mod.ts';
import { memoryStore, type Store } from '../../src/store/mod.ts';
import { type MarkDisk, markIdentity, markOf } from '../support/mark-identity.ts';
import { MemoryBackend, type MemoryDisks, memoryTexts } from '../support/memory-backend.ts';

const VOLUMES = ['web1', 'spare1'];
let store: Store;
let world: MemoryDisks;

function node(): NodeOfBackend {
  const none: MarkDisk = { read: () => markOf('nobody'), write: () => undefined };
  const identity = markIdentity(none);
  const backend = new MemoryBackend(world);
  return new NodeOfBackend({ name: 'n', volumes: VOLUMES, store, gate: memoryEpochGate(), identity, backend });
}

const call = { epoch: 1, signal: new AbortController().signal };

beforeEach(async () => {
  store = memoryStore();
  const disks = new Map(VOLUMES.map((name) => [name, Buffer.from(`data of ${name}`)]));
  world = { disks, backups: new Map(), secrets: new Map(), served: new Set(), roomBytes: 1e6, texts: new Map() };
  const first = node();
  await first.start();
  for (const name of VOLUMES) await first.attach(name, name, call);
  await first.close();
});

function memoryStamps(): Stamps {
  return new Stamps({ texts: memoryTexts(new Map()), diskOf: (volume) => volume, pathOf: (volume) => volume });
}

async function poison(key: string, value: unknown): Promise<void> {
  const record = await store.get(key);
  await store.put(key, value, record?.revision ?? 0);
}

describe('records of the storage node', () => {
  it('storage records - a volume of which it is not known who has it stays with whoever has it, and is given to nobody', async () => {
    await poison('storage/volume/web1', { content: { kind: 'elsewhere' } });
    const again = node();
    await again.start();
    expect([...world.served].toSorted()).toEqual(['spare1', 'web1']);
    const [web1, spare1] = (await again.status()).volumes;
    expect(web1).toMatchObject({ content: { kind: 'unknown' }, attachment: null, backups: [] });
    expect(web1?.problem).toMatch(/^the record storage\/volume\/web1 cannot be used: /);
    expect(spare1).toMatchObject({ content: { kind: 'own' }, attachment: { host: 'spare1' }, problem: null });
    const refused = { code: 'RECORD_UNUSABLE' };
    await expect(again.attach('web1', 'web1', call)).rejects.toMatchObject(refused);
    await expect(again.detach('web1', call)).rejects.toMatchObject(refused);
    await expect(again.backup('web1', 'wiki-1', call)).rejects.toMatchObject(refused);
    await again.detach('spare1', call);
    const request = { engagement: 'wiki-1', from: 'web1', to: 'spare1' };
    await expect(again.replicate(request, call)).rejects.toMatchObject(refused);
    expect(world.disks.get('spare1')?.toString()).toBe('data of spare1');
    expect((await again.backup('spare1', 'wiki-1', call)).bytes).toBe(14);
  });

  it('storage records - another disk under the name of one that somebody has is not written, and others are served', async () => {
    const record = await store.get<Record<string, unknown>>('storage/volume/spare1');
    await poison('storage/volume/spare1', { ...record?.value, path: '/elsewhere' });
    const again = node();
    await again.start();
    expect((await again.status()).volumes[1]).toMatchObject({ content: { kind: 'unknown' } });
    await expect(again.detach('spare1', call)).rejects.toMatchObject({ code: 'RECORD_UNUSABLE' });
    expect((await again.status()).volumes[0]).toMatchObject({ attachment: { host: 'web1' } });
  });

  it('storage records - the record of the daemon is kept in memory while the one in the store cannot be used', async () => {
    await store.put('storage/daemon/n', [], 0);
    const records = new Records(store, 'n', memoryStamps());
    expect((await records.daemon()).address).toBe('');
    await records.changeDaemon(({ starts }) => ({ starts: starts + 1, address: 'nbd://x' }));
    expect(await records.daemon()).toEqual({ starts: 1, shutdowns: 0, address: 'nbd://x' });
    expect((await store.get('storage/daemon/n'))?.value).toEqual([]);
  });
});
