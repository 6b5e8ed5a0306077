// Invariant 6 on a real HAProxy: whatever happens to the lead and to HAProxy, a server with traffic "reads" is never asked
// anything that could modify data. Counted at the servers, in the log of everything that they were asked.
import { describe, expect, it } from 'vitest';
import { codeOf, errnoOf, seededRandom } from '../../src/base/mod.ts';
import { eventually } from '../rig/wait.ts';
import type { Haproxy, Headers } from '../support/haproxy.ts';
import { callOf, type HaproxyStage, onHaproxy, SERVICE } from '../support/haproxy-stage.ts';

/** RFC 6455, section 1.2: its example. */
const WEBSOCKET: Headers = {
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
};

/** Method, path, headers: everything that is not certainly a read. */
const WRITES: readonly (readonly [string, string, Headers])[] = [
  ['POST', '/', {}],
  ['PUT', '/page', {}],
  ['PATCH', '/page', {}],
  ['DELETE', '/page', {}],
  ['OPTIONS', '/', {}],
  ['PROPFIND', '/', {}],
  ['GET', '/socket', WEBSOCKET],
  ['GET', '/', { 'X-HTTP-Method-Override': 'DELETE' }],
  ['GET', '/', { 'X-HTTP-Method': 'PUT' }],
  ['GET', '/', { 'X-Method-Override': 'PATCH' }],
  ['GET', '/', { 'Content-Length': '0' }],
  ['GET', '/Admin/empty-the-bin', {}],
  ['GET', '/%61dmin/empty-the-bin', {}],
];
const READS: readonly (readonly [string, string, Headers])[] = [
  ['GET', '/', {}],
  ['HEAD', '/page', {}],
  ['GET', '/page?do=show', { Cookie: 'a=b', Accept: 'text/html' }],
];
const ROUNDS = 10;

/** Sends every kind of request several times, and checks who was asked. @returns status of each write */
async function allWrites(haproxy: Haproxy): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [method, path, headers] of WRITES) statuses.push((await haproxy.request(method, path, headers)).status);
  }
  return statuses;
}

async function allReads(haproxy: Haproxy): Promise<readonly (string | null)[]> {
  const servers: (string | null)[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [method, path, headers] of READS) servers.push((await haproxy.request(method, path, headers)).server);
  }
  return servers;
}

function expectOnlyReads(stage: HaproxyStage, name: string): void {
  const asked = stage.servers.find((server) => server.name === name)?.asked ?? [];
  const readPaths = READS.map(([method, path]) => `${method} ${path}`);
  expect([...new Set(asked.map(({ method, path }) => `${method} ${path}`))].sort()).toEqual(readPaths.sort());
}

/** Users who ask for anything all the time, until `stop()`; how often they were answered, by status. */
class Crowd {
  readonly statuses = new Map<number, number>();
  readonly #haproxy: Haproxy;
  readonly #users: Promise<void>[] = [];
  #over = false;

  constructor(haproxy: Haproxy, users: number) {
    this.#haproxy = haproxy;
    for (let user = 0; user < users; user++) this.#users.push(this.#use(user));
  }

  get answered(): number {
    return [...this.statuses.values()].reduce((total, count) => total + count, 0);
  }

  /** Resolves when so many more requests have been answered. */
  async more(count: number): Promise<void> {
    const wanted = this.answered + count;
    await eventually(`${wanted} answers`, () => this.answered >= wanted);
  }

  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#users);
  }

  async #use(user: number): Promise<void> {
    const random = seededRandom(user);
    while (!this.#over) {
      const kinds = random.below(2) === 0 ? READS : WRITES;
      const [method, path, headers] = kinds[random.below(kinds.length)] ?? ['GET', '/', {}];
      try {
        const { status } = await this.#haproxy.request(method, path, headers);
        this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
      } catch (error) {
        // HAProxy was killed, or closed its old socket; the user tries again.
        if (!['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'EAGAIN'].includes(errnoOf(error) ?? '')) throw error;
      }
    }
  }
}

describe('writes and a server that may only be read', () => {
  it('director - hundreds of writes go to the lead, while reads are spread', async () => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      await stage.admit(spare, 'reads');
      expect(new Set(await allWrites(stage.haproxy))).toEqual(new Set([200]));
      expect(stage.lead.asked).toHaveLength(ROUNDS * WRITES.length);
      expect(spare.asked).toHaveLength(0);
      expect(new Set(await allReads(stage.haproxy))).toEqual(new Set(['web1', 'spare1']));
      expectOnlyReads(stage, 'spare1');
    });
  });

  it('director - with the lead drained, dead or removed, writes are answered by nobody', async () => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      await stage.admit(spare, 'reads');
      await stage.director.drain(SERVICE, 'web1', callOf());
      expect(new Set(await allWrites(stage.haproxy))).toEqual(new Set([503]));
      expect(new Set(await allReads(stage.haproxy))).toEqual(new Set(['spare1']));
      stage.lead.dead = true;
      const down = /^wiki,web1,.*,DOWN,/m;
      await eventually('HAProxy knows it', async () => down.test((await stage.haproxy.ask('show stat')) ?? ''));
      const stop = new AbortController();
      const admitting = stage.admit(stage.lead, 'all', callOf(1, stop.signal)).catch((error: unknown) => codeOf(error));
      expect(new Set(await allWrites(stage.haproxy))).toEqual(new Set([503]));
      stop.abort();
      expect(await admitting).toBe('INTERRUPTED');
      await stage.director.remove(SERVICE, 'web1', callOf());
      expect(new Set(await allWrites(stage.haproxy))).toEqual(new Set([503]));
      expect(new Set(await allReads(stage.haproxy))).toEqual(new Set(['spare1']));
      expect(stage.lead.asked).toEqual([]);
      expectOnlyReads(stage, 'spare1');
    });
  });

  it('director - nor while HAProxy is reloaded, replaced and killed under load', async () => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      await stage.admit(spare, 'reads');
      const crowd = new Crowd(stage.haproxy, 4);
      try {
        for (const disturb of [
          () => stage.haproxy.reload(),
          () => stage.haproxy.replace(),
          () => stage.haproxy.kill().then(() => stage.haproxy.start()),
        ]) {
          await crowd.more(50);
          await disturb();
          await crowd.more(50);
          await stage.admit(spare, 'reads');
        }
        await stage.director.drain(SERVICE, 'web1', callOf());
        await crowd.more(100);
        await stage.admit(stage.lead, 'all');
        await crowd.more(50);
        stage.lead.dead = true;
        await crowd.more(200);
      } finally {
        await crowd.stop();
      }
      expect(crowd.statuses.get(200)).toBeGreaterThan(200);
      expect(crowd.statuses.get(503)).toBeGreaterThan(20);
      expectOnlyReads(stage, 'spare1');
    });
  });

  it('director - a frontend that sends everything to the second backend by mistake gets no write to it', async () => {
    const mistake = [['default_backend wiki\n', 'default_backend wiki-reads\n']] as const;
    await onHaproxy(
      async (stage) => {
        const spare = await stage.server('spare1');
        await stage.admit(spare, 'reads');
        for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
          for (let round = 0; round < ROUNDS; round++) {
            expect(await stage.haproxy.request(method)).toEqual({ status: 503, server: null });
          }
        }
        expect(spare.asked).toEqual([]);
      },
      {},
      mistake,
    );
  });
});
