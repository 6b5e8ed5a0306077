// The suite that every driver of director/contract.ts must pass. A driver's test gives a stage: one service with its lead, users
// who ask for something, and servers that answer; the suite looks at what the director tells, and at who is asked.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Call, codeOf, present } from '../../src/base/mod.ts';
import type { Director, DirectorServer, ObservedServer, Traffic } from '../../src/director/mod.ts';
import { eventually } from '../rig/wait.ts';

export interface StageServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Whether it answers at all; it does from the beginning. */
  set dead(dead: boolean);
}

/** A request that is being answered. */
export interface StageRequest {
  readonly server: string;
  /** Lets its server end the answer. */
  release(): void;
  /** true: the whole answer came; false: it was cut. */
  readonly whole: Promise<boolean>;
}

export interface DirectorStage {
  readonly director: Director;
  /** Its configuration file has the lead, "web1", with all traffic. */
  readonly service: string;
  readonly lead: StageServer;
  /** A server that nobody knows yet. */
  server(name: string): Promise<StageServer>;
  /** One request of a user. @returns the server that answered, or null when none did */
  request(kind: 'read' | 'write'): Promise<string | null>;
  open(kind: 'read' | 'write'): Promise<StageRequest>;
  /** The director reads its configuration file again. */
  reload(): Promise<void>;
  /** The director dies and is started again. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface DirectorFactory {
  create(): Promise<DirectorStage>;
}

/** So many requests find every server that may have them. */
const ROUNDS = 12;

function callOf(epoch = 1, signal: AbortSignal = new AbortController().signal): Call {
  return { epoch, signal };
}

function entry({ name, address, port }: StageServer, traffic: Traffic): DirectorServer {
  return { name, address, port, traffic };
}

async function seen(stage: DirectorStage, name: string): Promise<ObservedServer | undefined> {
  const { servers } = await stage.director.observe(stage.service, callOf());
  return servers.find((server) => server.name === name);
}

/** Who answers to several requests, each name once, in order; "nobody" where none did. */
async function whoAnswers(stage: DirectorStage, kind: 'read' | 'write'): Promise<readonly string[]> {
  const names = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) names.add((await stage.request(kind)) ?? 'nobody');
  return [...names].sort();
}

async function codeThrown(work: Promise<unknown>): Promise<string | null> {
  try {
    await work;
    return null;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}

export function describeDirector(driver: string, factory: DirectorFactory): void {
  describe(`director contract - ${driver}`, () => {
    let current: DirectorStage | null = null;
    const stage = (): DirectorStage => present(current, 'stage');
    beforeEach(async () => {
      current = await factory.create();
    });
    afterEach(async () => {
      await current?.close();
      current = null;
    });
    describeAdmit(stage);
    describeHealth(stage);
    describeDrain(stage);
    describeRemove(stage);
    describeForgetting(stage);
    describeCalls(stage);
  });
}

function describeAdmit(stage: () => DirectorStage): void {
  it('says what it has: the lead of the configuration', async () => {
    const { director, service, lead } = stage();
    await eventually('the lead is ready', async () => (await seen(stage(), lead.name))?.state === 'ready');
    await eventually('a check', async () => typeof (await seen(stage(), lead.name))?.checkMs === 'number');
    const { servers, queued, requestsTotal } = await director.observe(service, callOf());
    expect(queued).toBe(0);
    expect(requestsTotal).toBe(0);
    expect(servers).toEqual([
      {
        ...entry(lead, 'all'),
        state: 'ready',
        connections: 0,
        requestsTotal: 0,
        errorsTotal: 0,
        responseTimeMs: null,
        checkMs: servers[0]?.checkMs,
        queued: 0,
      },
    ]);
  });

  it('gives an understudy reads, and never a write', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    expect(await seen(stage(), 'spare1')).toMatchObject({ ...entry(spare, 'reads'), state: 'ready' });
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1', 'web1']);
    expect(await whoAnswers(stage(), 'write')).toEqual(['web1']);
  });

  it('gives an understudy everything when it is told so', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'all'), callOf());
    expect(await seen(stage(), 'spare1')).toMatchObject({ ...entry(spare, 'all'), state: 'ready' });
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1', 'web1']);
    expect(await whoAnswers(stage(), 'write')).toEqual(['spare1', 'web1']);
  });

  it('takes writes away from a server that is admitted to reads again', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'all'), callOf());
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    expect((await seen(stage(), 'spare1'))?.traffic).toBe('reads');
    expect(await whoAnswers(stage(), 'write')).toEqual(['web1']);
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1', 'web1']);
  });

  it('admits what is admitted already', async () => {
    const spare = await stage().server('spare1');
    for (let time = 0; time < 3; time++) {
      await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    }
    const { servers } = await stage().director.observe(stage().service, callOf());
    expect(servers.map(({ name }) => name).sort()).toEqual(['spare1', 'web1']);
  });

  it('moves a server that has another address now', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    const elsewhere = await stage().server('elsewhere');
    await stage().director.admit(stage().service, { ...entry(elsewhere, 'reads'), name: 'spare1' }, callOf());
    expect(await seen(stage(), 'spare1')).toMatchObject({ port: elsewhere.port, state: 'ready' });
    expect(await whoAnswers(stage(), 'read')).toEqual(['elsewhere', 'web1']);
  });
}

function describeHealth(stage: () => DirectorStage): void {
  it('resolves only when the server answers, and sends nobody there before', async () => {
    const spare = await stage().server('spare1');
    spare.dead = true;
    let admitted = false;
    const admitting = stage()
      .director.admit(stage().service, entry(spare, 'reads'), callOf())
      .then(() => {
        admitted = true;
      });
    await eventually('the director has it', () => seen(stage(), 'spare1'));
    expect(await whoAnswers(stage(), 'read')).toEqual(['web1']);
    expect((await seen(stage(), 'spare1'))?.state).not.toBe('ready');
    expect(admitted).toBe(false);
    spare.dead = false;
    await admitting;
    expect((await seen(stage(), 'spare1'))?.state).toBe('ready');
  });

  it('says when a server has died, and sends its requests elsewhere', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    spare.dead = true;
    await eventually('it is down', async () => (await seen(stage(), 'spare1'))?.state === 'down');
    expect(await whoAnswers(stage(), 'read')).toEqual(['web1']);
  });

  it('gives writes to nobody when the lead has died', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    stage().lead.dead = true;
    await eventually('the lead is down', async () => (await seen(stage(), 'web1'))?.state === 'down');
    expect(await whoAnswers(stage(), 'write')).toEqual(['nobody']);
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1']);
  });
}

function describeDrain(stage: () => DirectorStage): void {
  it('drains: what is open goes on, what is new goes elsewhere', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    const open = await openAt(stage(), 'spare1');
    await stage().director.drain(stage().service, 'spare1', callOf());
    expect(await seen(stage(), 'spare1')).toMatchObject({ state: 'drain', connections: 1 });
    expect(await whoAnswers(stage(), 'read')).toEqual(['web1']);
    open.release();
    expect(await open.whole).toBe(true);
    await eventually('no connection is left', async () => (await seen(stage(), 'spare1'))?.connections === 0);
    await stage().director.drain(stage().service, 'spare1', callOf());
    expect((await seen(stage(), 'spare1'))?.state).toBe('drain');
  });

  it('takes a drain back by admitting', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    await stage().director.drain(stage().service, 'spare1', callOf());
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1', 'web1']);
  });

  it('drains the lead too: writes then go to nobody', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    await stage().director.drain(stage().service, 'web1', callOf());
    expect(await whoAnswers(stage(), 'write')).toEqual(['nobody']);
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1']);
    await stage().director.admit(stage().service, entry(stage().lead, 'all'), callOf());
    expect(await whoAnswers(stage(), 'write')).toEqual(['web1']);
  });

  it('drains a server that is down, so that it gets nothing when it is up again', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    spare.dead = true;
    await eventually('it is down', async () => (await seen(stage(), 'spare1'))?.state === 'down');
    await stage().director.drain(stage().service, 'spare1', callOf());
    expect((await seen(stage(), 'spare1'))?.state).toBe('drain');
    spare.dead = false;
    expect(await whoAnswers(stage(), 'read')).toEqual(['web1']);
  });

  it('finds a server drained that is not there', async () => {
    await stage().director.drain(stage().service, 'nobody', callOf());
    expect(await seen(stage(), 'nobody')).toBeUndefined();
  });
}

/** Requests until one is with this server; those with others are ended. */
async function openAt(stage: DirectorStage, name: string): Promise<StageRequest> {
  return eventually(`a request is with ${name}`, async () => {
    const request = await stage.open('read');
    if (request.server === name) return request;
    request.release();
    await request.whole;
    return null;
  });
}

function describeRemove(stage: () => DirectorStage): void {
  it('removes: the server is gone and open connections are cut', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    const open = await openAt(stage(), 'spare1');
    await stage().director.remove(stage().service, 'spare1', callOf());
    expect(await open.whole).toBe(false);
    expect(await seen(stage(), 'spare1')).toBeUndefined();
    expect(await whoAnswers(stage(), 'read')).toEqual(['web1']);
    await stage().director.remove(stage().service, 'spare1', callOf());
    expect(await seen(stage(), 'spare1')).toBeUndefined();
  });

  it('takes back what was removed', async () => {
    const spare = await stage().server('spare1');
    for (let time = 0; time < 3; time++) {
      await stage().director.admit(stage().service, entry(spare, time === 1 ? 'all' : 'reads'), callOf());
      await stage().director.remove(stage().service, 'spare1', callOf());
    }
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1', 'web1']);
    expect(await whoAnswers(stage(), 'write')).toEqual(['web1']);
  });

  it('counts requests: of each server, and of the service also those of servers that are gone', async () => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    await whoAnswers(stage(), 'read');
    await whoAnswers(stage(), 'write');
    const counted = await eventually('all are counted', async () => {
      const { servers, requestsTotal, answeredTotal } = await stage().director.observe(stage().service, callOf());
      return requestsTotal === 2 * ROUNDS && answeredTotal === 2 * ROUNDS ? servers : null;
    });
    expect(counted.reduce((total, server) => total + server.requestsTotal, 0)).toBe(2 * ROUNDS);
    for (const server of counted) {
      expect(server.requestsTotal).toBeGreaterThan(0);
      expect(server.responseTimeMs).toBeGreaterThanOrEqual(0);
    }
    await stage().director.remove(stage().service, 'spare1', callOf());
    const counts = { requestsTotal: 2 * ROUNDS, answeredTotal: 2 * ROUNDS };
    expect(await stage().director.observe(stage().service, callOf())).toMatchObject(counts);
  });

  it('tells what came from what was answered', async () => {
    const open = await stage().open('read');
    const counts = async () => {
      const { requestsTotal, answeredTotal } = await stage().director.observe(stage().service, callOf());
      return `${requestsTotal} came, ${answeredTotal} answered`;
    };
    await eventually('one waits', async () => (await counts()) === '1 came, 0 answered');
    open.release();
    expect(await open.whole).toBe(true);
    await eventually('it is answered', async () => (await counts()) === '1 came, 1 answered');
  });
}

function describeForgetting(stage: () => DirectorStage): void {
  const forgets = [
    ['a reload', (current: DirectorStage) => current.reload()],
    ['a restart', (current: DirectorStage) => current.restart()],
  ] as const;
  it.each(forgets)('admits again after %s has undone it', async (_what, forget) => {
    const spare = await stage().server('spare1');
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    await forget(stage());
    expect(await seen(stage(), 'spare1')).toBeUndefined();
    expect(await whoAnswers(stage(), 'read')).toEqual(['web1']);
    await stage().director.admit(stage().service, entry(spare, 'reads'), callOf());
    expect(await whoAnswers(stage(), 'read')).toEqual(['spare1', 'web1']);
    expect(await whoAnswers(stage(), 'write')).toEqual(['web1']);
  });
}

function describeCalls(stage: () => DirectorStage): void {
  it('knows its services only', async () => {
    const { director } = stage();
    const spare = await stage().server('spare1');
    expect(await codeThrown(director.observe('other', callOf()))).toBe('SERVICE_UNKNOWN');
    expect(await codeThrown(director.admit('other', entry(spare, 'reads'), callOf()))).toBe('SERVICE_UNKNOWN');
    expect(await codeThrown(director.drain('other', 'spare1', callOf()))).toBe('SERVICE_UNKNOWN');
    expect(await codeThrown(director.remove('other', 'spare1', callOf()))).toBe('SERVICE_UNKNOWN');
  });

  it('refuses changes of a controller that was replaced, of that server only', async () => {
    const { director, service } = stage();
    const spare = await stage().server('spare1');
    await director.admit(service, entry(spare, 'reads'), callOf(5));
    expect(await codeThrown(director.drain(service, 'spare1', callOf(4)))).toBe('EPOCH_STALE');
    expect(await codeThrown(director.remove(service, 'spare1', callOf(4)))).toBe('EPOCH_STALE');
    expect(await codeThrown(director.admit(service, entry(spare, 'all'), callOf(4)))).toBe('EPOCH_STALE');
    expect(await seen(stage(), 'spare1')).toMatchObject({ state: 'ready', traffic: 'reads' });
    await director.drain(service, 'web1', callOf(4));
    expect((await seen(stage(), 'web1'))?.state).toBe('drain');
  });

  it('stops a change whose controller is replaced while it waits', async () => {
    const { director, service } = stage();
    const spare = await stage().server('spare1');
    spare.dead = true;
    const admitting = codeThrown(director.admit(service, entry(spare, 'reads'), callOf(1)));
    await eventually('the director has it', () => seen(stage(), 'spare1'));
    await director.remove(service, 'spare1', callOf(2));
    expect(await admitting).toBe('EPOCH_STALE');
    expect(await seen(stage(), 'spare1')).toBeUndefined();
  });

  it('is stopped by its caller', async () => {
    const { director, service } = stage();
    const spare = await stage().server('spare1');
    spare.dead = true;
    const stop = new AbortController();
    const admitting = codeThrown(director.admit(service, entry(spare, 'reads'), callOf(1, stop.signal)));
    await eventually('the director has it', () => seen(stage(), 'spare1'));
    stop.abort();
    expect(await admitting).toBe('INTERRUPTED');
    expect(await codeThrown(director.observe(service, callOf(1, stop.signal)))).toBe('INTERRUPTED');
  });
}
