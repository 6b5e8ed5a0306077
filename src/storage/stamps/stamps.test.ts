import { describe, expect, it } from 'vitest';
import type { Texts, VolumeState } from './contract.ts';
import { Stamps } from './stamps.ts';

interface Folder {
  readonly files: Map<string, string>;
  readonly texts: Texts;
  /** Names that were read, in their order. */
  readonly reads: string[];
}

function folder(): Folder {
  const files = new Map<string, string>();
  const reads: string[] = [];
  const texts: Texts = {
    names: async () => [...files.keys()],
    read: async (name) => {
      reads.push(name);
      return files.get(name) ?? null;
    },
    write: async (name, text) => void files.set(name, text),
    remove: async (name) => void files.delete(name),
  };
  return { files, texts, reads };
}

const OWN: VolumeState = { content: { kind: 'own' }, attachedTo: null, generation: 1 };
const REPLICA: VolumeState = {
  content: { kind: 'replica', of: 'web1', engagement: 'wiki-7', takenAt: '2026-11-24T10:00:00.000Z', identityOf: null },
  attachedTo: 'spare1',
  generation: 2,
};

function stampsOf(texts: Texts): Stamps {
  return new Stamps({ texts, diskOf: (volume) => `inode-${volume}`, pathOf: (volume) => `/disks/${volume}` });
}

describe('the highest numbers beside the volumes', () => {
  it('stamps - a new folder has none', async () => {
    expect(await stampsOf(folder().texts).floor()).toMatchObject({ epoch: 0, sequence: 0, unsettled: null });
  });

  it.each([
    ['is lost', null],
    ['is not JSON', 'x'],
    ['is of another kind', '{"format":9}'],
  ])('stamps - are never lower than those of a stamp, when the file of the installation %s', async (_, text) => {
    const { files, texts } = folder();
    const before = stampsOf(texts);
    await before.raise({ epoch: 4, sequence: 7 });
    before.saw(4);
    await before.keep('spare1', OWN, REPLICA);
    if (text === null) files.delete('installation');
    else files.set('installation', text);
    const floor = await stampsOf(texts).floor();
    expect(floor).toMatchObject({ epoch: 4, sequence: 7 });
    // Whether the store is believed is not known any more, unless nothing says that it was ever asked.
    expect(floor.unsettled).toEqual(text === null ? null : expect.stringContaining('installation.json'));
    const later = stampsOf(texts);
    await later.raise({ sequence: 3 });
    expect(await later.floor()).toMatchObject({ epoch: 4, sequence: 7 });
    await expect(
      (async () => {
        const earlier = stampsOf(texts);
        earlier.saw(3);
        await earlier.keep('spare1', REPLICA, OWN);
      })(),
    ).rejects.toMatchObject({ code: 'EPOCH_STALE' });
  });
});

describe('the stamp of a volume', () => {
  const VOLUMES = Array.from({ length: 40 }, (_, index) => `volume${index}`);

  it('stamps - of a volume is read alone, however many there are', async () => {
    const { texts, reads } = folder();
    const before = stampsOf(texts);
    for (const volume of VOLUMES) await before.keep(volume, OWN, REPLICA);
    reads.splice(0);
    const stamps = stampsOf(texts);
    for (const volume of VOLUMES) expect(await stamps.of(volume)).toMatchObject({ volume, to: REPLICA });
    expect(reads).toEqual(VOLUMES.map((volume) => `inode-${volume}`));
  });

  it('stamps - of new volumes are looked for once, and those that are there are found by name on another disk', async () => {
    const { texts, reads } = folder();
    const before = stampsOf(texts);
    for (const volume of VOLUMES) await before.keep(volume, OWN, REPLICA);
    reads.splice(0);
    const moved = new Stamps({ texts, diskOf: (volume) => `disk-${volume}`, pathOf: (volume) => `/dev/${volume}` });
    expect(await moved.of('volume7')).toMatchObject({ volume: 'volume7', disk: 'inode-volume7' });
    for (const volume of ['new1', 'new2', 'new3']) expect(await moved.of(volume)).toBe(null);
    expect(reads.length).toBeLessThan(2 * VOLUMES.length);
    // Kept under its own disk from then on, and nowhere else.
    await moved.keep('volume7', REPLICA, OWN);
    expect(await moved.of('volume7')).toMatchObject({ disk: 'disk-volume7', to: OWN });
    expect((await moved.all()).filter(({ stamp }) => stamp?.volume === 'volume7')).toHaveLength(1);
  });
});
