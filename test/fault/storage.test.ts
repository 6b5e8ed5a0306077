// A storage node whose parts die or run out of room while its volumes are in use: nothing acknowledged is lost, nothing
// half made can be booted, and asked again it comes to the same end.
import { readFileSync, truncateSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/mod.ts';
import { backupBytesOf, type StorageNode, type VolumeStatus } from '../../src/storage/mod.ts';
import { callOf, codeThrown, personaliseOf } from '../conformance/storage.ts';
import type { NbdHost } from '../rig/nbd-host.ts';
import { StorageStage, type StorageStageOptions } from '../rig/storage-stage.ts';
import { eventually } from '../rig/wait.ts';
import { MARK_OFFSET, markOf, readMark } from '../support/mark-identity.ts';

const MIB = 1024 * 1024;
const BYTES = 24 * MIB;
const SECTOR = 512;
/** qemu-io writes one byte over and over, so counts begin again after so many. */
const COUNTS = 250;
/** Slow enough that something can happen while a copy is under way. */
const SLOW = 12 * MIB;

async function onStorage(options: Partial<StorageStageOptions>, play: (stage: StorageStage) => Promise<void>) {
  const mark = (name: string) => ({ offsetBytes: MARK_OFFSET, bytes: markOf(name) });
  const stage = await StorageStage.make({
    volumes: ['web1', 'spare1'].map((name) => ({ name, bytes: BYTES, patch: mark(name) })),
    ...options,
  });
  try {
    await play(stage);
  } finally {
    await stage.close();
  }
}

async function contentOf(node: StorageNode, volume: string): Promise<VolumeStatus['content']> {
  const found = (await node.status()).volumes.find(({ name }) => name === volume);
  if (found === undefined) throw new Error(`no volume ${volume}`);
  return found.content;
}

/** A host that counts at two places of its disk, first here and then there, each made durable before the next. */
class Counter {
  #count = 0;
  #going = true;
  readonly #done: Promise<void>;

  constructor(host: NbdHost) {
    this.#done = this.#run(host);
    // Told to whoever stops it.
    this.#done.catch(() => undefined);
  }

  async #run(host: NbdHost): Promise<void> {
    while (this.#going) {
      const next = (this.#count + 1) % COUNTS;
      await host.write(0, next, SECTOR);
      await host.write(BYTES - SECTOR, next, SECTOR);
      this.#count += 1;
    }
  }

  /** How often it has counted, acknowledged. */
  get count(): number {
    return this.#count;
  }

  /** Rejects when a write was refused. */
  async stop(): Promise<number> {
    this.#going = false;
    await this.#done;
    return this.#count;
  }
}

function countsIn(disk: Buffer): [number, number] {
  return [disk.readUInt8(0), disk.readUInt8(BYTES - SECTOR)];
}

/** At every instant the first place is at most one ahead of the second. */
function expectOneMoment(disk: Buffer): void {
  const [first, second] = countsIn(disk);
  expect([0, 1]).toContain((first - second + COUNTS) % COUNTS);
}

async function attachCounter(stage: StorageStage): Promise<Counter> {
  const { uri } = await stage.node.attach('web1', 'web1', callOf());
  const counter = new Counter(stage.host(uri));
  await eventually('the host counts', () => counter.count > 2);
  return counter;
}

const REPLICATE = { engagement: 'e1', from: 'web1', to: 'spare1' };

describe('a storage daemon that is killed', () => {
  it('storage - comes back with the same exports, and no acknowledged write is lost', () =>
    onStorage({}, async (stage) => {
      const { uri } = await stage.node.attach('web1', 'web1', callOf());
      const host = stage.host(uri);
      for (let write = 0; write < 40; write += 1) {
        if (write % 13 === 5) await stage.killDaemon();
        await host.write(write * SECTOR, write + 1, SECTOR);
      }
      const { daemon, volumes } = await stage.node.status();
      expect(daemon).toMatchObject({ running: true, restarts: 3 });
      expect(volumes[0]?.attachment).toEqual({ host: 'web1', uri });
      const disk = stage.content('web1');
      const seen = Array.from({ length: 40 }, (_, write) => disk.subarray(write * SECTOR, (write + 1) * SECTOR));
      expect(seen.map((sector, write) => sector.equals(Buffer.alloc(SECTOR, write + 1)))).toEqual(seen.map(() => true));
    }));

  it.each(['replicate', 'backup'] as const)('storage - during %s: asked again, it comes to the right end', (step) =>
    onStorage({ backgroundRate: SLOW }, async (stage) => {
      const counter = await attachCounter(stage);
      let killed: Promise<void> | null = null;
      const onProgress = ({ bytesDone }: { bytesDone: number }): void => {
        if (bytesDone > 0) killed ??= stage.killDaemon();
      };
      const before = stage.content('spare1');
      const ask = (report?: typeof onProgress): Promise<unknown> =>
        step === 'replicate'
          ? stage.node.replicate({ ...REPLICATE, ...(report === undefined ? {} : { onProgress: report }) }, callOf())
          : stage.node.backup('spare1', 'e1', callOf(), report);
      await ask(onProgress).catch((error: unknown) => {
        if (codeOf(error) === null) throw error;
      });
      expect(killed).not.toBeNull();
      await killed;
      await ask();
      await counter.stop();
      if (step === 'replicate') {
        expectOneMoment(stage.content('spare1'));
        expect(await contentOf(stage.node, 'spare1')).toMatchObject({ kind: 'replica' });
      } else {
        await stage.node.replicate(REPLICATE, callOf());
        await stage.node.restore('spare1', 'e1', callOf());
        expect(stage.content('spare1').equals(before)).toBe(true);
      }
    }),
  );
});

describe('a copy of a disk that is being written', () => {
  it('storage - shows one moment, costs the lead no write, and changes no byte of it', () =>
    onStorage({ backgroundRate: SLOW }, async (stage) => {
      const untouched = stage.content('web1').subarray(SECTOR, BYTES - SECTOR);
      const counter = await attachCounter(stage);
      const from = counter.count;
      await stage.node.replicate(REPLICATE, callOf());
      const until = counter.count;
      expect(until).toBeGreaterThan(from + 2);
      const copy = stage.content('spare1');
      expectOneMoment(copy);
      expect(copy.subarray(SECTOR, BYTES - SECTOR).equals(untouched)).toBe(true);
      const counted = (await counter.stop()) % COUNTS;
      const lead = stage.content('web1');
      expect(countsIn(lead)).toEqual([counted, counted]);
      expect(lead.subarray(SECTOR, BYTES - SECTOR).equals(untouched)).toBe(true);
    }));

  it('storage - whose host writes more than there is room for fails; the host does not notice', () =>
    onStorage({ backgroundRate: SLOW / 4, overlayBytesMax: MIB }, async (stage) => {
      const { uri } = await stage.node.attach('web1', 'web1', callOf());
      const host = stage.host(uri);
      const copy = codeThrown(stage.node.replicate(REPLICATE, callOf()));
      await eventually('the copy is under way', async () => {
        return (await contentOf(stage.node, 'spare1')).kind === 'unfinished';
      });
      for (let write = 0; write < 20; write += 1) await host.write(BYTES - (write + 1) * MIB, 0x5a, MIB);
      expect(await copy).toBe('STORAGE_SPACE');
      expect(
        stage
          .content('web1')
          .subarray(BYTES - 20 * MIB)
          .equals(Buffer.alloc(20 * MIB, 0x5a)),
      ).toBe(true);
      expect(await codeThrown(stage.node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
      await stage.node.replicate(REPLICATE, callOf());
      expect(stage.content('spare1').equals(stage.content('web1'))).toBe(true);
    }));
});

describe('room for backups', () => {
  it('storage - a sparse volume needs room for what it holds, as doctor counts it, and is given back byte for byte', () =>
    onStorage({ roomBytes: 40 * MIB, overlayBytesMax: MIB }, async (stage) => {
      const path = stage.path('spare1');
      truncateSync(path, 20 * BYTES);
      const before = stage.content('spare1');
      const { freeBytes } = await stage.node.status();
      const needed = await backupBytesOf(path);
      expect(needed).toBeGreaterThan(BYTES);
      expect(needed).toBeLessThan(freeBytes);
      await stage.node.backup('spare1', 'e1', callOf());
      await stage.node.replicate(REPLICATE, callOf());
      await stage.node.restore('spare1', 'e1', callOf());
      expect(stage.content('spare1').equals(before)).toBe(true);
      // The same number decides when there is too little.
      const refused = stage.node.backup('spare1', 'e2', callOf());
      await expect(refused).rejects.toMatchObject({ code: 'STORAGE_SPACE', details: { neededBytes: needed } });
    }));
});

describe('what is kept of a disk, and what is put back', () => {
  it('storage - a backup is read back: what the disk did not keep is written again', () =>
    onStorage({ backgroundRate: SLOW }, async (stage) => {
      let spoilt = false;
      const onProgress = ({ bytesDone }: { bytesDone: number }): void => {
        if (spoilt || bytesDone < 10 * MIB) return;
        spoilt = true;
        stage.spoilBackup('spare1', 'e1', 5 * MIB);
      };
      await stage.node.backup('spare1', 'e1', callOf(), onProgress);
      expect(spoilt).toBe(true);
      const before = stage.content('spare1');
      await stage.node.replicate(REPLICATE, callOf());
      await stage.node.restore('spare1', 'e1', callOf());
      expect(stage.content('spare1').equals(before)).toBe(true);
    }));

  it('storage - a disk of another size than its backup is not overwritten', () =>
    onStorage({}, async (stage) => {
      await stage.node.backup('spare1', 'e1', callOf());
      await stage.node.replicate(REPLICATE, callOf());
      truncateSync(stage.path('spare1'), BYTES + MIB);
      const before = stage.content('spare1');
      expect(await codeThrown(stage.node.restore('spare1', 'e1', callOf()))).toBe('VOLUME_STATE');
      expect(stage.content('spare1').equals(before)).toBe(true);
    }));

  it('storage - a restore is compared as it is on the disk, not as it is in memory', () =>
    onStorage({ block: true }, async (stage) => {
      await stage.node.backup('spare1', 'e1', callOf());
      await stage.node.replicate(REPLICATE, callOf());
      const from = bytesReadOf(stage.path('spare1'));
      await stage.node.restore('spare1', 'e1', callOf());
      expect(bytesReadOf(stage.path('spare1')) - from).toBeGreaterThanOrEqual(BYTES);
    }));
});

/** By the kernel's count (Documentation/admin-guide/iostats: the third field are sectors of 512 bytes). */
function bytesReadOf(device: string): number {
  const fields = readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8')
    .trim()
    .split(/\s+/);
  return Number(fields[2]) * SECTOR;
}

/** The whole way of a spare; every step may be asked for again. */
async function wayOfSpare(node: StorageNode): Promise<void> {
  await node.backup('spare1', 'e1', callOf());
  await node.replicate(REPLICATE, callOf());
  await node.personalise(personaliseOf('spare1', 'e1'), callOf());
}

async function wayBack(node: StorageNode): Promise<void> {
  await node.restore('spare1', 'e1', callOf());
  await node.discard('spare1', 'e1', callOf());
}

/** Asks until it is done, starting the process anew each time it has died. @returns how often that was */
async function untilDone(stage: StorageStage, way: (node: StorageNode) => Promise<void>): Promise<number> {
  for (let deaths = 0; ; deaths += 1) {
    try {
      await way(stage.node);
      return deaths;
    } catch (error) {
      if (codeOf(error) !== null) throw error;
      await stage.process.gone;
      await stage.start();
      const content = await contentOf(stage.node, 'spare1');
      const whole = content.kind === 'own' || (content.kind === 'replica' && content.identityOf === 'spare1');
      if (!whole) expect(await codeThrown(stage.node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
    }
  }
}

describe('a storage node whose process is killed', () => {
  it(
    'storage - before and after every step that it records: the same end, and never anything half made to boot',
    () =>
      onStorage({}, async (stage) => {
        const [lead, before] = [stage.content('web1'), stage.content('spare1')];
        let deaths = 0;
        for (let write = 1; write <= 5; write += 1) {
          for (const when of ['before', 'after'] as const) {
            await stage.process.stop();
            await stage.start({ write, when });
            deaths += await untilDone(stage, wayOfSpare);
            expect(readMark(stage.path('spare1'))).toMatch(/^I am spare1 key /);
            await stage.process.stop();
            await stage.start({ write, when });
            deaths += await untilDone(stage, wayBack);
            expect(stage.content('spare1').equals(before)).toBe(true);
            expect((await stage.node.status()).volumes[1]).toMatchObject({ content: { kind: 'own' }, backups: [] });
          }
        }
        expect(deaths).toBeGreaterThan(10);
        expect(stage.content('web1').equals(lead)).toBe(true);
      }),
    180_000,
  );

  it.each(['replicate', 'backup', 'restore'] as const)('storage - in the middle of %s: the same end', (step) =>
    onStorage({ backgroundRate: SLOW }, async (stage) => {
      const counter = await attachCounter(stage);
      const before = stage.content('spare1');
      if (step === 'restore') {
        await stage.node.backup('spare1', 'e1', callOf());
        await stage.node.replicate(REPLICATE, callOf());
      }
      const kill = ({ bytesDone }: { bytesDone: number }): void => {
        if (bytesDone > 0) void stage.process.kill();
      };
      const call = callOf();
      const asked =
        step === 'replicate'
          ? stage.node.replicate({ ...REPLICATE, onProgress: kill }, call)
          : step === 'backup'
            ? stage.node.backup('spare1', 'e1', call, kill)
            : stage.node.restore('spare1', 'e1', call, kill);
      await expect(asked).rejects.toThrow('is gone');
      await stage.start();
      if (step !== 'backup') {
        expect(await codeThrown(stage.node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
      }
      if (step === 'replicate') {
        await stage.node.replicate(REPLICATE, callOf());
        expectOneMoment(stage.content('spare1'));
      } else {
        await stage.node.backup('spare1', 'e1', callOf()).catch((error: unknown) => {
          expect([step, codeOf(error)]).toEqual(['restore', 'VOLUME_STATE']);
        });
        if (step === 'backup') await stage.node.replicate(REPLICATE, callOf());
        await stage.node.restore('spare1', 'e1', callOf());
        expect(stage.content('spare1').equals(before)).toBe(true);
      }
      await counter.stop();
    }),
  );
});
