// Stamps of volumes and headers of backups: a store that was lost, emptied or replaced by an older copy is not
// believed, and nothing is done by it.
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { memoryEpochGate } from '../../src/base/mod.ts';
import { NodeOfBackend } from '../../src/storage/node.ts';
import { diskKey, gateAboveFloor, type Stamp, Stamps } from '../../src/storage/stamps/mod.ts';
import { memoryStore, type Store } from '../../src/store/mod.ts';
import { type MarkDisk, markIdentity, markOf } from '../support/mark-identity.ts';
import { MemoryBackend, type MemoryDisks, memoryTexts } from '../support/memory-backend.ts';

const VOLUMES = ['web1', 'spare1'];
const REPLICATE = { engagement: 'wiki-1', from: 'web1', to: 'spare1' };
let store: Store;
let world: MemoryDisks;

/** A life of the node, with gates that remember nothing but what lies beside the volumes. */
async function begin(on: Store = store): Promise<NodeOfBackend> {
  const none: MarkDisk = { read: () => markOf('nobody'), write: () => undefined };
  const backend = new MemoryBackend(world);
  const stamps = new Stamps({ texts: backend.stamps, diskOf: backend.diskOf, pathOf: backend.pathOf });
  const gate = gateAboveFloor(memoryEpochGate(), () => stamps.floor());
  const node = new NodeOfBackend({
    name: 'n',
    volumes: VOLUMES,
    store: on,
    gate,
    identity: markIdentity(none),
    backend,
  });
  await node.start();
  return node;
}

function callOf(epoch = 1) {
  return { epoch, signal: new AbortController().signal };
}

beforeEach(() => {
  store = memoryStore();
  const disks = new Map(VOLUMES.map((name) => [name, Buffer.from(`data of ${name}`.padEnd(16))]));
  world = { disks, backups: new Map(), secrets: new Map(), served: new Set(), roomBytes: 1e6, texts: new Map() };
});

/** A store with all records that this one has now. */
async function copyOf(from: Store): Promise<Store> {
  const copy = memoryStore();
  for (const { key, value } of await from.list('')) await copy.put(key, value, 0);
  return copy;
}

async function engaged(): Promise<NodeOfBackend> {
  const node = await begin();
  await node.attach('web1', 'web1', callOf());
  await node.backup('spare1', 'wiki-1', callOf());
  await node.replicate(REPLICATE, callOf());
  return node;
}

describe('a store that is not the one of the volumes', () => {
  it('stamps - beside an empty store every volume is unknown, nothing is written, and the lead keeps its disk', async () => {
    await (await engaged()).close();
    const before = [...world.disks.values()].map(String);
    const again = await begin(memoryStore());
    const { volumes, unsettled } = await again.status();
    expect(unsettled).toMatch(/^the store has no record of web1, and its stamp says: its own data, attached to web1/);
    expect(volumes.map(({ content }) => content.kind)).toEqual(['unknown', 'unknown']);
    expect(volumes[1]?.problem).toMatch(/a replica of web1 \(wiki-1\).*understudy recover/);
    expect([...world.served]).toEqual(['web1']);
    const refused = { code: 'STATE_LOST' };
    for (const name of VOLUMES) {
      await expect(again.attach(name, name, callOf(2))).rejects.toMatchObject(refused);
      await expect(again.backup(name, 'wiki-1', callOf(2))).rejects.toMatchObject(refused);
      await expect(again.restore(name, 'wiki-1', callOf(2))).rejects.toMatchObject(refused);
      await expect(again.discard(name, 'wiki-1', callOf(2))).rejects.toMatchObject(refused);
    }
    await expect(again.replicate({ ...REPLICATE, engagement: 'wiki-2' }, callOf(2))).rejects.toMatchObject(refused);
    expect([...world.disks.values()].map(String)).toEqual(before);
    expect([...world.backups.values()].map(String)).toEqual(['data of spare1  ']);
  });

  it.each(['backup', 'replicate', 'restore', 'discard'] as const)(
    'stamps - an older copy, of before %s',
    async (step) => {
      const node = await begin();
      const works = {
        backup: () => node.backup('spare1', 'wiki-1', callOf()),
        replicate: () => node.replicate(REPLICATE, callOf()),
        restore: () => node.restore('spare1', 'wiki-1', callOf()),
        discard: () => node.discard('spare1', 'wiki-1', callOf()),
      };
      let older: Store | null = null;
      for (const [name, work] of Object.entries(works)) {
        if (name === step) older = await copyOf(store);
        await work();
        if (name === step && step !== 'discard') break;
      }
      await node.close();
      const before = String(world.disks.get('spare1'));
      const again = await begin(older ?? store);
      const { unsettled } = await again.status();
      // Whether its backup is there is all that a discard changes: the volume holds its own data either way.
      if (step === 'discard') expect(unsettled).toBe(null);
      else expect(unsettled).toMatch(/spare1/);
      const code = step === 'discard' ? 'VOLUME_STATE' : 'STATE_LOST';
      const second = again.backup('spare1', 'wiki-1', callOf(2)).then(
        () => 'VOLUME_STATE',
        (error: { code: string }) => error.code,
      );
      expect(await second).toBe(code);
      expect(String(world.disks.get('spare1'))).toBe(before);
    },
  );

  it('stamps - a step whose record was not written any more is repeated', async () => {
    const node = await begin();
    await node.backup('spare1', 'wiki-1', callOf());
    const before = await copyOf(store);
    const put = store.put.bind(store);
    store.put = async (key, value, expected) => {
      if (JSON.stringify(value).includes('unfinished')) throw new Error('the plug is pulled');
      return put(key, value, expected);
    };
    await expect(node.replicate(REPLICATE, callOf())).rejects.toThrow('plug');
    const again = await begin(before);
    expect((await again.status()).unsettled).toBe(null);
    await again.replicate(REPLICATE, callOf());
    await again.restore('spare1', 'wiki-1', callOf());
    expect(String(world.disks.get('spare1'))).toBe('data of spare1  ');
  });

  it('stamps - a backup that the store does not know makes its volume unknown, and is not overwritten', async () => {
    const node = await begin();
    await node.close();
    world.backups.set('spare1 wiki-7', Buffer.from('the only copy   '));
    const again = await begin();
    expect((await again.status()).volumes[1]).toMatchObject({ content: { kind: 'unknown' } });
    expect((await again.status()).unsettled).toMatch(/the backup of spare1 by wiki-7/);
    expect(String(world.backups.get('spare1 wiki-7'))).toBe('the only copy   ');
  });

  it('stamps - a backup with other data under the same name is never overwritten, one with the same is taken', async () => {
    const node = await begin();
    world.backups.set('spare1 wiki-7', Buffer.from('the only copy   '));
    await expect(node.backup('spare1', 'wiki-7', callOf())).rejects.toMatchObject({ code: 'VOLUME_STATE' });
    expect(String(world.backups.get('spare1 wiki-7'))).toBe('the only copy   ');
    world.backups.set('spare1 wiki-8', Buffer.from('data of spare1  '));
    expect(await node.backup('spare1', 'wiki-8', callOf())).toMatchObject({ engagement: 'wiki-8', bytes: 16 });
  });

  it('stamps - what was found stays so until it is recovered, also when the store agrees the next time', async () => {
    await (await engaged()).close();
    await (await begin(memoryStore())).close();
    expect((await (await begin()).status()).unsettled).toMatch(/no record/);
  });

  it('stamps - a stamp that is damaged or gone makes a volume unknown that did not hold its own data', async () => {
    const first = await engaged();
    await first.floor.raise({ epoch: 1 });
    await first.close();
    const kept = world.texts.get('disk-spare1') ?? '';
    for (const text of ['{', kept.replace('"replica"', '"own"'), null]) {
      if (text === null) world.texts.delete('disk-spare1');
      else world.texts.set('disk-spare1', text);
      const again = await begin();
      expect((await again.status()).volumes[1]?.content).toEqual({ kind: 'unknown' });
      await again.close();
    }
  });

  it('stamps - a controller that was replaced is refused, also where the store knows nothing of its successor', async () => {
    const paused = await begin();
    await paused.backup('spare1', 'wiki-1', callOf(4));
    const next = await begin(await copyOf(store));
    await next.floor.raise({ epoch: 5 });
    await next.replicate(REPLICATE, callOf(5));
    const before = String(world.disks.get('spare1'));
    const stale = { code: 'EPOCH_STALE' };
    await expect(paused.restore('spare1', 'wiki-1', callOf(4))).rejects.toMatchObject(stale);
    await expect(paused.replicate({ ...REPLICATE, engagement: 'wiki-9' }, callOf(4))).rejects.toMatchObject(stale);
    expect(String(world.disks.get('spare1'))).toBe(before);
  });

  it('stamps - each says what it was and what it becomes, for which engagement, and with which epoch', async () => {
    const node = await engaged();
    await node.floor.raise({ epoch: 3 });
    await node.restore('spare1', 'wiki-1', callOf(3));
    expect(JSON.parse(world.texts.get('disk-spare1') ?? '') as Stamp).toMatchObject({
      volume: 'spare1',
      disk: 'disk-spare1',
      engagement: 'wiki-1',
      epoch: 3,
      from: { content: { kind: 'unfinished', step: 'restore' }, generation: 2 },
      to: { content: { kind: 'own' }, attachedTo: null, generation: 2 },
    });
  });
});

it('stamps - an installation of a version that had none gets them, and headers, and goes on', async () => {
  await (await engaged()).close();
  world.texts.clear();
  const again = await begin();
  expect(await again.status()).toMatchObject({ unsettled: null, volumes: [{}, { content: { kind: 'replica' } }] });
  expect([...world.texts.keys()].toSorted()).toEqual(['disk-spare1', 'disk-web1', 'spare1 wiki-1']);
  await again.restore('spare1', 'wiki-1', callOf(2));
  expect(String(world.disks.get('spare1'))).toBe('data of spare1  ');
  await again.discard('spare1', 'wiki-1', callOf(2));
  expect([...world.texts.keys()].toSorted()).toEqual(['disk-spare1', 'disk-web1']);
});

describe('the name of a storage', () => {
  it('stamps - it stays with a file that is renamed, and is not given again to another one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ustk-'));
    try {
      const [path, other] = [join(folder, 'a'), join(folder, 'b')];
      writeFileSync(path, 'x');
      const key = diskKey(path);
      expect(key).toMatch(new RegExp(`^inode-${statSync(path).ino}-`));
      renameSync(path, other);
      writeFileSync(other, readFileSync(other));
      expect(diskKey(other)).toBe(key);
      expect(diskKey(path)).toBe(null);
      unlinkSync(other);
      for (let file = 0; file < 50; file += 1) {
        writeFileSync(path, 'y');
        expect(diskKey(path)).not.toBe(key);
        unlinkSync(path);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

it('stamps - the floor is the highest that any stamp says where it was damaged itself', async () => {
  const node = await engaged();
  await node.detach('web1', callOf(9));
  world.texts.set('installation', 'no JSON');
  const texts = memoryTexts(world.texts);
  const stamps = new Stamps({ texts, diskOf: (volume) => `disk-${volume}`, pathOf: (volume) => volume });
  expect(await stamps.floor()).toMatchObject({ epoch: 9, sequence: 1 });
  expect((await stamps.floor()).unsettled).toMatch(/installation\.json/);
});
