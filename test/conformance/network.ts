// The suite that every driver of network/contract.ts must pass. A driver's test gives a stage: a link with hosts on it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Call, codeOf, present } from '../../src/base/mod.ts';
import type { NetworkProbe, ServiceCheck } from '../../src/network/mod.ts';

export interface StageHost {
  readonly address: string;
  readonly mac: string;
}

export interface NetworkStage {
  readonly probe: NetworkProbe;
  readonly link: string;
  /** Serves the paths of `ANSWERS` on port 80, listens for nothing else but SSH. */
  readonly web: StageHost;
  /** Two hosts that have the same address. */
  readonly twins: readonly [StageHost, StageHost];
  /** On the link, and nobody has it. */
  readonly freeAddress: string;
  readonly sshPort: number;
  /** Of the keys that `web` shows. */
  readonly fingerprints: readonly string[];
  /** Pulls the cable of `web` out, or plugs it in again. */
  plug(plugged: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Path, status, and what the body has in it. */
export const ANSWERS = [
  ['/ok', 200, 'all is well'],
  ['/empty', 204, ''],
  ['/moved', 302, ''],
  ['/error', 500, 'something is wrong'],
  ['/missing', 404, ''],
] as const;

function callOf(signal: AbortSignal = new AbortController().signal): Call {
  return { epoch: 1, signal };
}

async function codeThrown(work: Promise<unknown>): Promise<string | null> {
  return work.then(
    () => null,
    (error: unknown) => codeOf(error) ?? String(error),
  );
}

export function describeNetwork(driver: string, create: () => Promise<NetworkStage>): void {
  describe(`network contract - ${driver}`, () => {
    let current: NetworkStage | null = null;
    const stage = (): NetworkStage => present(current, 'stage');
    beforeAll(async () => {
      current = await create();
    });
    afterAll(async () => {
      await current?.close();
    });
    describeHolders(stage);
    describeCheck(stage);
    describeKeys(stage);
    it('is stopped by its caller', async () => {
      const { probe, link, web, sshPort } = stage();
      const stopped = callOf(AbortSignal.abort());
      expect(await codeThrown(probe.holders(link, web.address, stopped))).toBe('INTERRUPTED');
      expect(await codeThrown(probe.check(web.address, { kind: 'http', port: 80 }, stopped))).toBe('INTERRUPTED');
      expect(await codeThrown(probe.check(web.address, { kind: 'tcp', port: 80 }, stopped))).toBe('INTERRUPTED');
      expect(await codeThrown(probe.sshHostKeys(web.address, sshPort, stopped))).toBe('INTERRUPTED');
    });
  });
}

function describeHolders(stage: () => NetworkStage): void {
  it('finds nobody at an address that is free', async () => {
    const { probe, link, freeAddress } = stage();
    expect(await probe.holders(link, freeAddress, callOf())).toEqual([]);
  });

  it('finds the one who has an address', async () => {
    const { probe, link, web } = stage();
    expect(await probe.holders(link, web.address, callOf())).toEqual([web.mac]);
  });

  it('finds both who have the same address', async () => {
    const { probe, link, twins } = stage();
    const macs = twins.map(({ mac }) => mac).sort();
    expect(await probe.holders(link, twins[0].address, callOf())).toEqual(macs);
  });

  it('finds nobody whose cable is out', async () => {
    const { probe, link, web } = stage();
    await stage().plug(false);
    expect(await probe.holders(link, web.address, callOf())).toEqual([]);
    await stage().plug(true);
    expect(await probe.holders(link, web.address, callOf())).toEqual([web.mac]);
  });

  it('cannot look on a link that is not there', async () => {
    const { probe, web } = stage();
    expect(await codeThrown(probe.holders('nolink', web.address, callOf()))).toBe('NETWORK_FAILED');
  });
}

function describeCheck(stage: () => NetworkStage): void {
  const check = (more: Partial<ServiceCheck>): ServiceCheck => ({ kind: 'http', port: 80, timeoutMs: 30_000, ...more });

  it.each(ANSWERS)('GET %s, answered with %d', async (path, status) => {
    const { probe, web } = stage();
    const answer = await probe.check(web.address, check({ path }), callOf());
    expect(answer).toMatchObject({ ok: status < 400, detail: expect.stringContaining(`${status}`) });
    expect(answer.milliseconds).toBeGreaterThanOrEqual(0);
  });

  it.each(ANSWERS)('looks for a text in the body of %s', async (path, status, body) => {
    const { probe, web } = stage();
    const wrong = await probe.check(web.address, check({ path, contains: 'not there' }), callOf());
    expect(wrong).toMatchObject({ ok: false, detail: expect.stringContaining('not there') });
    if (body === '') return;
    const right = await probe.check(web.address, check({ path, contains: body }), callOf());
    expect(right.ok).toBe(status < 400);
  });

  it('a connection is an answer for "tcp"', async () => {
    const { probe, web } = stage();
    expect(await probe.check(web.address, check({ kind: 'tcp' }), callOf())).toMatchObject({ ok: true });
  });

  it.each(['http', 'tcp'] as const)('nobody listens, or nobody is there: %s', async (kind) => {
    const { probe, web, freeAddress } = stage();
    const refused = await probe.check(web.address, check({ kind, port: 99 }), callOf());
    expect(refused).toMatchObject({ ok: false, detail: 'connection refused' });
    const nobody = await probe.check(freeAddress, check({ kind }), callOf());
    expect(nobody).toMatchObject({ ok: false, detail: 'no route to the host' });
  });
}

function describeKeys(stage: () => NetworkStage): void {
  it('shows the fingerprints of all host keys', async () => {
    const { probe, web, sshPort, fingerprints } = stage();
    expect(fingerprints.length).toBeGreaterThan(1);
    expect(await probe.sshHostKeys(web.address, sshPort, callOf())).toEqual(fingerprints);
  });

  it('shows none where nobody answers', async () => {
    const { probe, web, freeAddress, sshPort } = stage();
    expect(await probe.sshHostKeys(web.address, 99, callOf())).toEqual([]);
    expect(await probe.sshHostKeys(freeAddress, sshPort, callOf())).toEqual([]);
  });
}
