// What every storage node must do, whatever moves its bytes. The suite is given a rig: volumes with known content, and
// a way to play the hosts that use them.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Call, codeOf } from '../../src/base/mod.ts';
import type { HostIdentity } from '../../src/identity/mod.ts';
import type { PersonaliseRequest, StorageNode, VolumeStatus } from '../../src/storage/mod.ts';
import { patience } from '../rig/patience.ts';

export const LEAD_BYTES = 4 * 1024 * 1024;
export const SPARE_BYTES = 5 * 1024 * 1024;

/**
 * Volumes: web1 (LEAD_BYTES), spare1 and spare2 (SPARE_BYTES), tiny (half of LEAD_BYTES), whose copies keep its mark.
 */
export interface StorageRig {
  readonly node: StorageNode;
  /** What is on the disk itself. */
  content(volume: string): Promise<Buffer>;
  /** A write of the host that has the volume, acknowledged and flushed. */
  hostWrite(volume: string, offsetBytes: number, byte: number, lengthBytes: number): Promise<void>;
  /** Ends the node, and starts another one with the same memory and disks. */
  restart(): Promise<void>;
  /** Leaves no room for backups. */
  fill(): Promise<void>;
  /** A bit of a backup is another one; called again, it is as it was. */
  spoil(volume: string, engagement: string): Promise<void>;
  close(): Promise<void>;
}

let epoch = 1;
export function callOf(given = epoch, signal = AbortSignal.timeout(patience(60_000))): Call {
  return { epoch: given, signal };
}

export async function codeThrown(work: Promise<unknown>): Promise<string | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (codeOf(error) === null) throw error;
    return codeOf(error);
  }
}

export function identityOf(hostName: string): HostIdentity {
  return { hostName, interfaces: [] };
}

export function personaliseOf(volume: string, engagement: string, accept: readonly string[] = []): PersonaliseRequest {
  const [lead, understudy] = [identityOf('web1'), identityOf(volume)];
  return { engagement, volume, lead, understudy, host: volume, accept };
}

/**
 * @param what 'content': only what depends on where the bytes lie; 'attachment': only what depends on how hosts come
 */
export function describeStorage(
  driver: string,
  make: () => Promise<StorageRig>,
  what: 'all' | 'content' | 'attachment' = 'all',
): void {
  describe(`storage contract - ${driver}`, () => {
    let rig: StorageRig;
    beforeEach(async () => {
      epoch = 1;
      rig = await make();
    });
    afterEach(() => rig.close());
    const given = (): StorageRig => rig;
    if (what !== 'content') describeAttachment(given);
    if (what === 'attachment') return;
    describeBackups(given);
    describeLies(given);
    describeReplicas(given);
    if (what === 'content') return;
    describeIdentities(given);
    describeUnverified(given);
    describeOwners(given);
  });
}

async function statusOf({ node }: StorageRig, volume: string): Promise<VolumeStatus> {
  const found = (await node.status()).volumes.find(({ name }) => name === volume);
  if (found === undefined) throw new Error(`no volume ${volume}`);
  return found;
}

function describeAttachment(rig: () => StorageRig): void {
  it('tells its volumes, and that nobody has them', async () => {
    const { volumes, freeBytes } = await rig().node.status();
    const own = { content: { kind: 'own' }, attachment: null, problem: null, backups: [] };
    expect(volumes.map(({ name }) => name)).toEqual(['web1', 'spare1', 'spare2', 'tiny']);
    for (const volume of volumes) expect(volume).toMatchObject(own);
    expect(volumes.map(({ sizeBytes }) => sizeBytes)).toEqual([LEAD_BYTES, SPARE_BYTES, SPARE_BYTES, LEAD_BYTES / 2]);
    expect(freeBytes).toBeGreaterThan(SPARE_BYTES);
  });

  it('gives a volume to one host, at one place, until it is detached', async () => {
    const { node } = rig();
    const { uri } = await node.attach('web1', 'web1', callOf());
    expect(await node.attach('web1', 'web1', callOf())).toEqual({ uri });
    expect(await codeThrown(node.attach('web1', 'other', callOf()))).toBe('VOLUME_ATTACHED');
    expect((await statusOf(rig(), 'web1')).attachment).toEqual({ host: 'web1', uri });
    await rig().hostWrite('web1', 4096, 0xab, 8192);
    expect((await rig().content('web1')).subarray(4096, 12_288)).toEqual(Buffer.alloc(8192, 0xab));
    await node.detach('web1', callOf());
    await node.detach('web1', callOf());
    expect((await statusOf(rig(), 'web1')).attachment).toBeNull();
    await node.attach('web1', 'other', callOf());
  });

  it('knows its own volumes only', async () => {
    const { node } = rig();
    const calls = [
      node.attach('nobody', 'web1', callOf()),
      node.detach('nobody', callOf()),
      node.backup('nobody', 'e1', callOf()),
      node.replicate({ engagement: 'e1', from: 'web1', to: 'nobody' }, callOf()),
      node.replicate({ engagement: 'e1', from: 'nobody', to: 'spare1' }, callOf()),
      node.restore('nobody', 'e1', callOf()),
      node.discard('nobody', 'e1', callOf()),
    ];
    expect(await Promise.all(calls.map(codeThrown))).toEqual(calls.map(() => 'VOLUME_UNKNOWN'));
  });

  it('remembers who has what, and what is on it, when it is started anew', async () => {
    const { uri } = await rig().node.attach('web1', 'web1', callOf());
    await rig().node.backup('spare1', 'e1', callOf());
    await rig().node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    const before = await statusOf(rig(), 'spare1');
    await rig().restart();
    expect((await statusOf(rig(), 'web1')).attachment).toEqual({ host: 'web1', uri });
    expect(await statusOf(rig(), 'spare1')).toEqual(before);
    await rig().hostWrite('web1', 0, 0x11, 512);
    expect((await rig().content('web1')).subarray(0, 512)).toEqual(Buffer.alloc(512, 0x11));
  });
}

function describeBackups(rig: () => StorageRig): void {
  it('puts back byte for byte what it backed up', async () => {
    const { node } = rig();
    const before = await rig().content('spare1');
    const backup = await node.backup('spare1', 'e1', callOf());
    expect(backup).toMatchObject({ engagement: 'e1', bytes: SPARE_BYTES });
    expect(await node.backup('spare1', 'e1', callOf())).toEqual(backup);
    await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    expect((await rig().content('spare1')).equals(before)).toBe(false);
    await node.restore('spare1', 'e1', callOf());
    expect((await rig().content('spare1')).equals(before)).toBe(true);
    const { content, backups } = await statusOf(rig(), 'spare1');
    expect([content, backups]).toEqual([{ kind: 'own' }, [backup]]);
    await node.restore('spare1', 'e1', callOf());
    await node.discard('spare1', 'e1', callOf());
    await node.discard('spare1', 'e1', callOf());
    expect((await statusOf(rig(), 'spare1')).backups).toEqual([]);
  });

  it('keeps the only copy of what a volume held', async () => {
    const { node } = rig();
    await node.backup('spare1', 'e1', callOf());
    await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    expect(await codeThrown(node.discard('spare1', 'e1', callOf()))).toBe('VOLUME_STATE');
    // Another engagement must not overwrite it, and a replica is not worth a backup.
    expect(await codeThrown(node.replicate({ engagement: 'e2', from: 'web1', to: 'spare1' }, callOf()))).toBe(
      'VOLUME_STATE',
    );
    expect(await codeThrown(node.backup('spare1', 'e2', callOf()))).toBe('VOLUME_STATE');
    expect(await codeThrown(node.restore('spare1', 'e2', callOf()))).toBe('VOLUME_STATE');
  });

  it('discards two backups, also when both are asked for at once', async () => {
    const { node } = rig();
    for (const engagement of ['e1', 'e2']) await node.backup('spare1', engagement, callOf());
    const codes = await Promise.all(['e1', 'e2'].map((one) => codeThrown(node.discard('spare1', one, callOf()))));
    for (const code of codes) expect([null, 'VOLUME_BUSY']).toContain(code);
    const left = (await statusOf(rig(), 'spare1')).backups.map(({ engagement }) => engagement);
    expect(left).toEqual(['e1', 'e2'].filter((_, index) => codes[index] !== null));
    for (const engagement of left) await node.discard('spare1', engagement, callOf());
    expect((await statusOf(rig(), 'spare1')).backups).toEqual([]);
  });

  it('says before it begins that a backup does not fit', async () => {
    await rig().fill();
    expect(await codeThrown(rig().node.backup('spare1', 'e1', callOf()))).toBe('STORAGE_SPACE');
    expect(await statusOf(rig(), 'spare1')).toMatchObject({ content: { kind: 'own' }, backups: [] });
  });
}

function describeLies(rig: () => StorageRig): void {
  it('does not take for its own what is not what was backed up, and keeps the backup', async () => {
    const { node } = rig();
    const before = await rig().content('spare1');
    await node.backup('spare1', 'e1', callOf());
    await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    await rig().spoil('spare1', 'e1');
    expect(await codeThrown(node.restore('spare1', 'e1', callOf()))).toBe('DIGEST_MISMATCH');
    expect((await statusOf(rig(), 'spare1')).content).toEqual({
      kind: 'unfinished',
      engagement: 'e1',
      step: 'restore',
    });
    expect(await codeThrown(node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
    expect(await codeThrown(node.discard('spare1', 'e1', callOf()))).toBe('VOLUME_STATE');
    const again = { engagement: 'e1', from: 'web1', to: 'spare1' };
    expect(await codeThrown(node.replicate(again, callOf()))).toBe('VOLUME_STATE');
    const onwards = { engagement: 'e2', from: 'spare1', to: 'spare2' };
    expect(await codeThrown(node.replicate(onwards, callOf()))).toBe('VOLUME_STATE');
    await rig().spoil('spare1', 'e1');
    await node.restore('spare1', 'e1', callOf());
    expect((await rig().content('spare1')).equals(before)).toBe(true);
  });
}

function describeUnverified(rig: () => StorageRig): void {
  it('lays the identity of no other host over one that was given', async () => {
    const { node } = rig();
    await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    await node.personalise(personaliseOf('spare1', 'e1'), callOf());
    const given = await rig().content('spare1');
    for (const other of [{ host: 'spare2' }, { understudy: identityOf('spare2') }, { lead: identityOf('spare2') }]) {
      const request = { ...personaliseOf('spare1', 'e1'), ...other };
      expect(await codeThrown(node.personalise(request, callOf()))).toBe('VOLUME_STATE');
    }
    expect((await rig().content('spare1')).equals(given)).toBe(true);
  });

  it('lets nobody boot a replica whose identity was written and is not there', async () => {
    const { node } = rig();
    const before = await rig().content('spare1');
    await node.backup('spare1', 'e1', callOf());
    await node.replicate({ engagement: 'e1', from: 'tiny', to: 'spare1' }, callOf());
    const personalise = () => codeThrown(node.personalise(personaliseOf('spare1', 'e1'), callOf()));
    expect([await personalise(), await personalise()]).toEqual(['IDENTITY_UNVERIFIED', 'IDENTITY_UNVERIFIED']);
    const { content } = await statusOf(rig(), 'spare1');
    expect(content).toEqual({ kind: 'unfinished', engagement: 'e1', step: 'personalise' });
    expect(await codeThrown(node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
    await node.restore('spare1', 'e1', callOf());
    expect((await rig().content('spare1')).equals(before)).toBe(true);
  });
}

function describeReplicas(rig: () => StorageRig): void {
  it.each([true, false])('copies a lead to a larger disk; the lead is attached: %s', async (attached) => {
    const { node } = rig();
    if (attached) await node.attach('web1', 'web1', callOf());
    const before = await rig().content('web1');
    const { generation } = await statusOf(rig(), 'spare1');
    const request = { engagement: 'e1', from: 'web1', to: 'spare1' };
    const { takenAt } = await node.replicate(request, callOf());
    const copy = await rig().content('spare1');
    expect(copy.subarray(0, LEAD_BYTES).equals(before)).toBe(true);
    expect(copy.subarray(LEAD_BYTES).equals(Buffer.alloc(SPARE_BYTES - LEAD_BYTES))).toBe(true);
    expect((await rig().content('web1')).equals(before)).toBe(true);
    const seen = await statusOf(rig(), 'spare1');
    const replica = { kind: 'replica', engagement: 'e1', of: 'web1', takenAt, identityOf: null };
    expect(seen.content).toEqual(replica);
    expect(seen.generation).toBeGreaterThan(generation);
    // Once more changes nothing, also when the lead has gone on meanwhile.
    if (attached) await rig().hostWrite('web1', 0, 0x77, 4096);
    expect(await node.replicate(request, callOf())).toEqual({ takenAt });
    expect((await rig().content('spare1')).equals(copy)).toBe(true);
  });

  it('takes two requests for one lead at once as one moment', async () => {
    await rig().node.attach('web1', 'web1', callOf());
    const copies = ['spare1', 'spare2'].map((to) =>
      rig().node.replicate({ engagement: `of-${to}`, from: 'web1', to }, callOf()),
    );
    const [first, second] = await Promise.all(copies);
    expect(first).toEqual(second);
    expect((await rig().content('spare1')).equals(await rig().content('spare2'))).toBe(true);
  });

  it('does not touch a disk that is too small, or the lead itself', async () => {
    const before = await rig().content('tiny');
    const copyTo = (to: string) => rig().node.replicate({ engagement: 'e1', from: 'web1', to }, callOf());
    expect(await codeThrown(copyTo('tiny'))).toBe('TARGET_TOO_SMALL');
    expect((await rig().content('tiny')).equals(before)).toBe(true);
    expect(await codeThrown(copyTo('web1'))).toBe('VOLUME_STATE');
  });

  it('writes no volume that somebody has', async () => {
    const { node } = rig();
    await node.backup('spare1', 'e1', callOf());
    await node.attach('spare1', 'spare1', callOf());
    const before = await rig().content('spare1');
    const calls = [
      node.backup('spare1', 'e2', callOf()),
      node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf()),
      node.personalise(personaliseOf('spare1', 'e1'), callOf()),
      node.restore('spare1', 'e1', callOf()),
    ];
    const codes = await Promise.all(calls.map(codeThrown));
    // At once they may find each other before they find the host.
    for (const code of codes) expect(['VOLUME_ATTACHED', 'VOLUME_BUSY']).toContain(code);
    expect(await codeThrown(node.restore('spare1', 'e1', callOf()))).toBe('VOLUME_ATTACHED');
    expect((await rig().content('spare1')).equals(before)).toBe(true);
  });

  it('can be stopped, and goes on when it is asked again', async () => {
    const { node } = rig();
    const stopped = callOf(1, AbortSignal.abort());
    const request = { engagement: 'e1', from: 'web1', to: 'spare1' };
    expect(await codeThrown(node.backup('spare1', 'e1', stopped))).toBe('INTERRUPTED');
    expect(await codeThrown(node.replicate(request, stopped))).toBe('INTERRUPTED');
    await node.backup('spare1', 'e1', callOf());
    await node.replicate(request, callOf());
    expect(await codeThrown(node.restore('spare1', 'e1', stopped))).toBe('INTERRUPTED');
    await node.restore('spare1', 'e1', callOf());
  });
}

function describeIdentities(rig: () => StorageRig): void {
  it('storage - a volume is inspected whether its host has it or not, and is as it was', async () => {
    const { node } = rig();
    const before = await rig().content('web1');
    expect((await node.inspect('web1', identityOf('web1'), callOf())).os.id).toBe('mark');
    await node.attach('web1', 'web1', callOf());
    expect((await node.inspect('web1', identityOf('web1'), callOf())).os.id).toBe('mark');
    expect((await statusOf(rig(), 'web1')).attachment?.host).toBe('web1');
    expect((await rig().content('web1')).equals(before)).toBe(true);
    expect(await codeThrown(node.inspect('nothing', identityOf('web1'), callOf()))).toBe('VOLUME_UNKNOWN');
    await node.inspect('web1', identityOf('web1'), callOf(3));
    expect(await codeThrown(node.inspect('web1', identityOf('web1'), callOf(2)))).toBe('EPOCH_STALE');
  });

  it('storage - a portion leaves a volume the identity of its own host, which alone may have it, until its own content is restored', async () => {
    const { node } = rig();
    const before = await rig().content('spare1');
    await node.backup('spare1', 'e1', callOf());
    const portion = { paths: ['/srv'], accept: [] };
    const request = { engagement: 'e1', from: 'web1', to: 'spare1', portion };
    const { takenAt } = await node.replicate(request, callOf());
    expect(await node.replicate(request, callOf())).toEqual({ takenAt });
    expect((await statusOf(rig(), 'spare1')).content).toMatchObject({
      kind: 'replica',
      portion: true,
      identityOf: null,
    });
    expect(await codeThrown(node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
    const plan = await node.personalise(personaliseOf('spare1', 'e1'), callOf());
    expect(plan.changes).toEqual([]);
    expect(await node.personalise(personaliseOf('spare1', 'e1'), callOf())).toEqual(plan);
    await node.attach('spare1', 'spare1', callOf());
    await node.detach('spare1', callOf());
    await node.restore('spare1', 'e1', callOf());
    expect((await rig().content('spare1')).equals(before)).toBe(true);
  });

  it('lets nobody boot a replica before it has been given the identity of that host', async () => {
    const { node } = rig();
    await node.backup('spare1', 'e1', callOf());
    await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    expect(await codeThrown(node.attach('spare1', 'spare1', callOf()))).toBe('VOLUME_STATE');
    const lead = await rig().content('web1');
    const plan = await node.personalise(personaliseOf('spare1', 'e1'), callOf());
    expect(await node.personalise(personaliseOf('spare1', 'e1'), callOf())).toEqual(plan);
    expect((await rig().content('web1')).equals(lead)).toBe(true);
    expect(await codeThrown(node.attach('spare1', 'spare2', callOf()))).toBe('VOLUME_STATE');
    expect((await statusOf(rig(), 'spare1')).content).toMatchObject({ kind: 'replica', identityOf: 'spare1' });
    await node.attach('spare1', 'spare1', callOf());
  });

  it('stops at what nobody has a rule for, unless it is accepted', async () => {
    const { node } = rig();
    await node.replicate({ engagement: 'e1', from: 'spare2', to: 'spare1' }, callOf());
    expect(await codeThrown(node.personalise(personaliseOf('spare1', 'e1'), callOf()))).toBe('IDENTITY_UNKNOWN');
    expect((await statusOf(rig(), 'spare1')).content).toMatchObject({ kind: 'replica', identityOf: null });
    await node.personalise(personaliseOf('spare1', 'e1', ['licence']), callOf());
  });

  it('gives no identity to what is no replica of the engagement', async () => {
    const { node } = rig();
    expect(await codeThrown(node.personalise(personaliseOf('spare1', 'e1'), callOf()))).toBe('VOLUME_STATE');
    await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf());
    expect(await codeThrown(node.personalise(personaliseOf('spare1', 'e2'), callOf()))).toBe('VOLUME_STATE');
  });
}

function describeOwners(rig: () => StorageRig): void {
  it('refuses an owner who was replaced, volume by volume, and changes nothing for him', async () => {
    const { node } = rig();
    await node.backup('spare1', 'e1', callOf(5));
    const before = await rig().content('spare1');
    const calls = [
      node.attach('spare1', 'spare1', callOf(4)),
      node.detach('spare1', callOf(4)),
      node.backup('spare1', 'e2', callOf(4)),
      node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1' }, callOf(4)),
      node.personalise(personaliseOf('spare1', 'e1'), callOf(4)),
      node.restore('spare1', 'e1', callOf(4)),
      node.discard('spare1', 'e1', callOf(4)),
    ];
    expect(await Promise.all(calls.map(codeThrown))).toEqual(calls.map(() => 'EPOCH_STALE'));
    expect((await rig().content('spare1')).equals(before)).toBe(true);
    expect((await statusOf(rig(), 'spare1')).backups).toHaveLength(1);
    await node.attach('web1', 'web1', callOf(4));
  });
}
