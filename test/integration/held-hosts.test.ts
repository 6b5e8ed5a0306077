import { describe, expect, it } from 'vitest';
import type { Engagement } from '../../src/controller/record.ts';
import { type Engagements, heldHosts, type UnusableRecord } from '../../src/controller/records.ts';
import type { StorageStatus, VolumeStatus } from '../../src/storage/mod.ts';
import { config } from '../sim/installation.ts';

function record(key: string, text: string): UnusableRecord {
  return { key: `engagement/${key}`, revision: 1, why: 'for some reason', text };
}

function engaged(name: string, understudy: string): Engagement {
  return { name, understudy, ended: false } as Engagement;
}

/** Volumes by whom they are marked for. */
function storage(marks: Readonly<Record<string, string>>): StorageStatus {
  const volumes = Object.entries(marks).map(([name, engagement]) => {
    const content = { kind: 'unfinished', engagement, step: 'replicate' } as const;
    return { name, content, backups: [] } as unknown as VolumeStatus;
  });
  const daemon = { running: true, restarts: 0 };
  return { name: 'sim', volumes, freeBytes: 0, insecure: false, daemon, unsettled: null };
}

function held(unusable: readonly UnusableRecord[], node: StorageStatus | null, all: readonly Engagement[] = []) {
  const engagements: Engagements = { all, unusable };
  return [...heldHosts(engagements, config, node).keys()].toSorted();
}

const NOTHING = storage({});

describe('hosts that a record may own', () => {
  it.each([
    ['the host that it names', '{"lead":"web1","understudy":"spare2"}', ['spare2']],
    ['also where it is not JSON', '{"lead":"web1","understudy":"spare2"', ['spare2']],
    ['every spare that it names, and no lead', '["web1","web2","spare1","spare3"]', ['spare1', 'spare3']],
    ['the pool of its service, where it names none', '{"phase":"boot"}', ['spare1', 'spare2', 'spare3']],
    ['the pool, where its host is no text', '{"understudy":{"toString":1}}', ['spare1', 'spare2', 'spare3']],
    ['none, where its host is not of this installation', '{"understudy":"ghost"}', []],
  ])('held - %s', (_, text, hosts) => {
    expect(held([record('wiki-1', text)], NOTHING)).toEqual(hosts);
    expect(held([record('wiki-1', text)], null)).toEqual(hosts);
  });

  it('held - a pool is that of the service that the key names, and every spare where it names none', () => {
    expect(held([record('shop-1', '')], NOTHING)).toEqual(['spare2', 'spare3']);
    expect(held([record('ghosts-1', '')], NOTHING)).toEqual(['spare1', 'spare2', 'spare3']);
  });

  it('held - a volume that is marked for it says more than the pool, and adds to what it names', () => {
    expect(held([record('wiki-1', '')], storage({ spare3: 'wiki-1' }))).toEqual(['spare3']);
    expect(held([record('wiki-1', '{"understudy":"spare1"}')], storage({ spare3: 'wiki-1' }))).toEqual([
      'spare1',
      'spare3',
    ]);
    // By the name that it gives itself, under another key.
    expect(held([record('wiki-9', '{"name":"wiki-1"}')], storage({ spare3: 'wiki-1' }))).toEqual(['spare3']);
  });

  it('held - not what a usable engagement has: by its volume where it is named, by its record where it is not', () => {
    const other = [engaged('shop-2', 'spare2')];
    expect(held([record('wiki-1', '{"understudy":"spare2"}')], NOTHING, other)).toEqual(['spare2']);
    expect(held([record('wiki-1', '{"understudy":"spare2"}')], storage({ spare2: 'shop-2' }), other)).toEqual([]);
    expect(held([record('wiki-1', '')], NOTHING, other)).toEqual(['spare1', 'spare3']);
  });
});
