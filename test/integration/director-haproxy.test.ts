// HAProxy as director beyond the contract's suite: what goes wrong with its socket, servers found in odd states, open
// connections across reloads, and its figures.
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf, memoryEpochGate, messageOf, present } from '../../src/base/mod.ts';
import { HaproxyDirector, type HaproxySettings } from '../../src/director/mod.ts';
import { eventually } from '../rig/wait.ts';
import { callOf, entryOf, type HaproxyStage, onHaproxy, SERVICE } from '../support/haproxy-stage.ts';

interface Failure {
  readonly code: string | null;
  readonly message: string;
}

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
    return { code: null, message: '' };
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error) };
  }
}

/** A director of the same HAProxy with other settings. */
function other(stage: HaproxyStage, settings: Partial<HaproxySettings>): HaproxyDirector {
  return new HaproxyDirector({ services: { [SERVICE]: { ...stage.settings, ...settings } }, gate: memoryEpochGate() });
}

async function order(stage: HaproxyStage, ...lines: readonly string[]): Promise<readonly string[]> {
  const said: string[] = [];
  for (const line of lines) said.push((await stage.haproxy.ask(line))?.trim() ?? 'nothing');
  return said;
}

describe('the socket of HAProxy', () => {
  it('director - says what is wrong with the socket', async () => {
    await onHaproxy(async (stage) => {
      const missing = other(stage, { socket: join(stage.haproxy.folder, 'missing.sock') });
      expect(await failureOf(missing.observe(SERVICE, callOf()))).toEqual({
        code: 'DIRECTOR_FAILED',
        message: expect.stringMatching(/missing\.sock.*ENOENT/),
      });
      const file = join(stage.haproxy.folder, 'file');
      writeFileSync(file, '');
      expect(await failureOf(other(stage, { socket: file }).observe(SERVICE, callOf()))).toEqual({
        code: 'DIRECTOR_FAILED',
        message: expect.stringMatching(/file.*(ECONNREFUSED|ENOTSOCK)/),
      });
      const long = other(stage, { socket: `/${'a'.repeat(200)}` });
      expect((await failureOf(long.observe(SERVICE, callOf()))).code).toBe('DIRECTOR_FAILED');
      const gone = stage.director;
      await stage.haproxy.kill();
      expect((await failureOf(gone.drain(SERVICE, 'web1', callOf()))).code).toBe('DIRECTOR_FAILED');
    });
  });

  it('director - gives up a HAProxy that hangs, and goes on when it goes on', async () => {
    await onHaproxy(
      async (stage) => {
        const worker = present(await stage.haproxy.workerPid(), 'worker');
        await stage.haproxy.freeze(worker, true);
        const hanging = await failureOf(stage.director.observe(SERVICE, callOf()));
        expect(hanging).toMatchObject({ code: 'DIRECTOR_TIMEOUT', message: expect.stringContaining('1000 ms') });
        const stop = new AbortController();
        const stopped = failureOf(stage.director.drain(SERVICE, 'web1', callOf(1, stop.signal)));
        stop.abort();
        expect((await stopped).code).toBe('INTERRUPTED');
        await stage.haproxy.freeze(worker, false);
        await stage.director.drain(SERVICE, 'web1', callOf());
        expect((await stage.seen('web1'))?.state).toBe('drain');
      },
      { timeoutMs: 1000 },
    );
  });

  it('director - names what a socket without the right level refuses', async () => {
    await onHaproxy(
      async (stage) => {
        const user = other(stage, { socket: `${stage.haproxy.admin}.user` });
        const { servers } = await user.observe(SERVICE, callOf());
        expect(servers.map(({ name }) => name)).toEqual(['web1']);
        const refused = await failureOf(user.drain(SERVICE, 'web1', callOf()));
        expect(refused).toMatchObject({
          code: 'DIRECTOR_FAILED',
          message: expect.stringMatching(/set server wiki\/web1 state drain.*Permission denied/),
        });
      },
      {},
      [['user haproxy', 'stats socket FOLDER/admin.sock.user level user\n    user haproxy']],
    );
  });

  it('director - what answers there but is not HAProxy is not believed', async () => {
    await onHaproxy(async (stage) => {
      for (const answer of ['', 'hello', 'hello\n', '# pxname,svname\n\n1\n# a b\n\n', `${'x'.repeat(1 << 20)}\n`]) {
        const path = join(stage.haproxy.folder, 'strange.sock');
        const server = createServer((peer) => peer.resume().end(answer));
        await new Promise<void>((listening) => server.listen(path, listening));
        try {
          const strange = await failureOf(other(stage, { socket: path }).observe(SERVICE, callOf()));
          expect(strange.code).toBe('DIRECTOR_FAILED');
          expect(strange.message.length).toBeLessThan(400);
        } finally {
          await new Promise((closed) => server.close(closed));
        }
      }
    });
  });
});

describe('what HAProxy refuses', () => {
  it('director - names a backend that haproxy.cfg does not have', async () => {
    await onHaproxy(async (stage) => {
      for (const settings of [{ backend: 'nowhere' }, { readsBackend: 'nowhere' }]) {
        expect(await failureOf(other(stage, settings).observe(SERVICE, callOf()))).toEqual({
          code: 'DIRECTOR_FAILED',
          message: 'haproxy.cfg has no backend "nowhere"',
        });
      }
      // A frontend is none, whatever its name.
      expect((await failureOf(other(stage, { backend: 'www' }).observe(SERVICE, callOf()))).code).toBe(
        'DIRECTOR_FAILED',
      );
    });
  });

  it('director - needs a second backend for reads', async () => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      const one = other(stage, { readsBackend: null });
      const refused = await failureOf(one.admit(SERVICE, entryOf(spare, 'reads'), callOf()));
      expect(refused).toMatchObject({ code: 'DIRECTOR_FAILED', message: expect.stringContaining('readsBackend') });
      await one.admit(SERVICE, entryOf(spare, 'all'), callOf());
      expect((await stage.seen('spare1'))?.traffic).toBe('all');
    });
  });

  it.each([
    [{ name: 'a b' }],
    [{ name: 'x;disable frontend www' }],
    [{ name: 'x\ndisable frontend www' }],
    [{ name: 'wiki/x' }],
    [{ name: '#1' }],
    [{ name: '' }],
    [{ address: '127.0.0.1;disable frontend www' }],
    [{ address: '127.0.0.1 check' }],
    [{ address: 'localhost' }],
    [{ address: '/tmp/socket' }],
    [{ port: 0 }],
    [{ port: 65_536 }],
    [{ port: 1.5 }],
    [{ port: Number.NaN }],
  ])('director - no order is made of %j', async (odd) => {
    await onHaproxy(async (stage) => {
      const server = { name: 'spare1', address: '127.0.0.1', port: 80, traffic: 'reads', ...odd } as const;
      expect((await failureOf(stage.director.admit(SERVICE, server, callOf()))).code).toBe('DIRECTOR_FAILED');
      if ('name' in odd) {
        expect((await failureOf(stage.director.drain(SERVICE, odd.name, callOf()))).code).toBe('DIRECTOR_FAILED');
        expect((await failureOf(stage.director.remove(SERVICE, odd.name, callOf()))).code).toBe('DIRECTOR_FAILED');
      }
      expect((await stage.haproxy.request('GET')).server).toBe('web1');
      expect((await stage.director.observe(SERVICE, callOf())).servers).toHaveLength(1);
    });
  });

  it('director - a server of haproxy.cfg without checks is not taken for up', async () => {
    await onHaproxy(
      async (stage) => {
        const refused = await failureOf(stage.admit(stage.lead, 'all'));
        expect(refused).toMatchObject({
          code: 'DIRECTOR_FAILED',
          message: expect.stringMatching(/enable health.*check/),
        });
      },
      {},
      [[' check inter 100ms rise 2 fall 3', '']],
    );
  });

  it('director - a server that haproxy.cfg needs stays in maintenance and is named', async () => {
    await onHaproxy(
      async (stage) => {
        const refused = await failureOf(stage.director.remove(SERVICE, 'web1', callOf()));
        expect(refused).toMatchObject({
          code: 'DIRECTOR_FAILED',
          message: expect.stringMatching(/del server wiki\/web1.*cannot be removed/),
        });
        expect((await stage.seen('web1'))?.state).toBe('maint');
      },
      {},
      [['\nbackend wiki\n', '\nbackend wiki\n    use-server web1 if { path /never }\n']],
    );
  });
});

describe('servers found in odd states', () => {
  const place = 'wiki-reads/spare1';
  it.each([
    ['half added', ['add server {P} 127.0.0.1:{PORT} check inter 100 rise 2 fall 2']],
    ['added without checks running', ['add server {P} 127.0.0.1:{PORT} check inter 100 fall 2', 'enable server {P}']],
    [
      'drained by hand',
      ['add server {P} 127.0.0.1:{PORT} check inter 100 fall 2', 'enable health {P}', 'set server {P} state drain'],
    ],
    [
      'with no weight',
      [
        'add server {P} 127.0.0.1:{PORT} check inter 100 fall 2',
        'enable health {P}',
        'enable server {P}',
        'set server {P} weight 0',
      ],
    ],
    [
      'at another address',
      ['add server {P} 127.0.0.9:9 check inter 100 fall 2', 'enable health {P}', 'enable server {P}'],
    ],
    [
      'in the other backend too',
      [
        'add server wiki/spare1 127.0.0.1:{PORT} check inter 100 fall 2',
        'enable health wiki/spare1',
        'enable server wiki/spare1',
      ],
    ],
  ])('director - one that is %s is admitted, drained and removed', async (_what, lines) => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      const orders = lines.map((line) => line.replaceAll('{P}', place).replaceAll('{PORT}', `${spare.port}`));
      for (const then of ['admit', 'drain', 'remove'] as const) {
        await order(stage, ...orders);
        expect(await stage.seen('spare1')).toBeDefined();
        if (then === 'admit') {
          await stage.admit(spare, 'reads');
          expect(await stage.seen('spare1')).toMatchObject({ ...entryOf(spare, 'reads'), state: 'ready' });
        } else {
          await stage.director[then](SERVICE, 'spare1', callOf());
        }
        if (then === 'drain') expect((await stage.seen('spare1'))?.state).toMatch(/drain|maint/);
        if (then === 'remove') expect(await stage.seen('spare1')).toBeUndefined();
        await stage.director.remove(SERVICE, 'spare1', callOf());
      }
    });
  });

  it('director - the lead is moved, drained and admitted where haproxy.cfg has it elsewhere', async () => {
    await onHaproxy(async (stage) => {
      const elsewhere = await stage.server('elsewhere');
      await stage.director.admit(SERVICE, { ...entryOf(elsewhere, 'all'), name: 'web1' }, callOf());
      expect((await stage.haproxy.request('POST')).server).toBe('elsewhere');
      expect((await stage.haproxy.request('GET')).server).toBe('elsewhere');
      await stage.admit(stage.lead, 'all');
      expect((await stage.haproxy.request('POST')).server).toBe('web1');
    });
  });
});

describe('connections and figures of HAProxy', () => {
  it('director - a request that is open goes on through a reload', async () => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      await stage.admit(spare, 'reads');
      await stage.director.drain(SERVICE, 'web1', callOf());
      const open = await stage.haproxy.open('GET');
      expect(open.server).toBe('spare1');
      const reloading = stage.haproxy.reload();
      await eventually('the new process has forgotten', async () => (await stage.seen('spare1')) === undefined);
      await stage.admit(spare, 'reads');
      spare.release();
      expect(await open.whole).toBe(true);
      await reloading;
    });
  });

  it('director - draining and removing loses no request, however often', async () => {
    await onHaproxy(async (stage) => {
      const spare = await stage.server('spare1');
      let over = false;
      const statuses = new Set<number>();
      const users = [1, 2, 3].map(async () => {
        while (!over) statuses.add((await stage.haproxy.request('GET')).status);
      });
      try {
        for (let round = 1; round <= 10; round++) {
          await stage.admit(spare, 'reads');
          const before = spare.asked.length;
          await eventually('it is asked', () => spare.asked.length > before);
          await stage.director.drain(SERVICE, 'spare1', callOf());
          await eventually('nothing is open', async () => (await stage.seen('spare1'))?.connections === 0);
          await stage.director.remove(SERVICE, 'spare1', callOf());
        }
      } finally {
        over = true;
        await Promise.all(users);
      }
      expect([...statuses]).toEqual([200]);
    });
  });

  it('director - counts requests that fail, and those that wait', async () => {
    await onHaproxy(
      async (stage) => {
        const spare = await stage.server('spare1');
        await stage.admit(spare, 'reads');
        await stage.director.drain(SERVICE, 'web1', callOf());
        for (const path of ['/', '/error', '/cut', '/']) await stage.haproxy.request('GET', path);
        const open = await stage.haproxy.open('GET');
        const waiting = stage.haproxy.open('GET');
        await eventually('one waits', async () => {
          const { servers, queued } = await stage.director.observe(SERVICE, callOf());
          const seen = servers.find(({ name }) => name === 'spare1');
          return queued === 1 && seen?.connections === 1;
        });
        expect(await stage.seen('spare1')).toMatchObject({ requestsTotal: 5, errorsTotal: 2 });
        // An error is no answer that a server carries, and neither is what waits.
        expect(await stage.director.observe(SERVICE, callOf())).toMatchObject({ requestsTotal: 6, answeredTotal: 2 });
        spare.release();
        expect(await open.whole).toBe(true);
        await waiting;
        spare.release();
        expect(await (await waiting).whole).toBe(true);
      },
      { connectionsMax: 1 },
    );
  });

  it('director - tells how long a server takes', async () => {
    await onHaproxy(async (stage) => {
      expect((await stage.seen('web1'))?.responseTimeMs).toBeNull();
      await stage.haproxy.request('GET');
      await stage.haproxy.request('POST');
      await eventually('it has figures', async () => (await stage.seen('web1'))?.responseTimeMs !== null);
      expect((await stage.seen('web1'))?.requestsTotal).toBe(2);
    });
  });
});
