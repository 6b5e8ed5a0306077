// Floods from the network: while each goes on, whoever has a token is answered. How fast is measured by `npm run bench
// -- floods`.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Attack, type AttackName, attack, reportOf } from '../../bench/rig/attacks.ts';
import { DOOR_LIMITS, Door, networkOf } from '../../src/api/door.ts';
import { Pace } from '../../src/api/pace.ts';
import { StreamPlaces } from '../../src/api/stream-places.ts';
import { WAITING_LIMITS, WaitingRoom } from '../../src/api/waiting-room.ts';
import { eventually } from '../rig/wait.ts';
import { AGENT, ApiStage, OPERATOR, OTHER_AGENT, VIEWER } from '../support/api-stage.ts';

let stage: ApiStage;
let attacks: Attack[] = [];
let sockets: Socket[] = [];
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(async () => {
  for (const one of attacks) one.end();
  for (const socket of sockets) socket.destroy();
  [attacks, sockets] = [[], []];
  await stage.close();
});

const port = (): number => Number(new URL(stage.url).port);

function begin(name: AttackName, connections: number): Attack {
  const one = attack(name, { port: port(), viewer: VIEWER, agent: AGENT, host: 'web1', connections });
  attacks.push(one);
  return one;
}

/** Several times, each on a connection of its own. */
async function isAnswered(): Promise<void> {
  for (let index = 0; index < 5; index += 1) {
    expect((await stage.ask('/v1/status', { token: OPERATOR })).status).toBe(200);
  }
}

async function open(text: string): Promise<Socket> {
  const socket = connect(port(), '127.0.0.1');
  socket.on('error', () => undefined);
  sockets.push(socket);
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

/** What the other end says until it ends the connection. */
async function heard(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(socket, 'close');
  return text;
}

describe('floods', () => {
  it('api - 1,000 connections that send 20 bytes of slow headers keep nobody out', async () => {
    const slow = begin('slow headers', 1000);
    await eventually('all are connected', () => slow.made() >= 1000);
    await isAnswered();
  });

  it('api - 1,000 connections that ask for /healthz without end keep nobody out', async () => {
    const asking = begin('keep-alive', 1000);
    await eventually('they are answered', () => (asking.answers.get('200') ?? 0) >= 1000);
    await isAnswered();
    expect(asking.made()).toBeGreaterThanOrEqual(1000);
  });

  it('api - a flood without a token is refused, and counted by address and minute', async () => {
    const flood = begin('no token', 200);
    await eventually('they are refused', () => (flood.answers.get('401') ?? 0) >= 2000);
    await isAnswered();
    expect(stage.controller.audited.filter(({ type }) => type === 'refusal').length).toBe(1);
  });

  it('api - thousands of distinct wrong tokens leave one line each minute, and no token of theirs', async () => {
    const flood = begin('wrong tokens', 100);
    await eventually('they are refused', () => (flood.answers.get('401') ?? 0) >= 3000);
    await isAnswered();
    const refused = stage.controller.audited;
    expect(refused).toMatchObject([
      { type: 'refusal', who: null, from: '127.0.0.1', code: 'API_UNAUTHORIZED', count: 1 },
    ]);
  });

  it('api - bodies without end are cut, with and without a token', async () => {
    const pouring = begin('giant bodies', 64);
    await eventually('they are cut and come again', () => pouring.made() >= 500);
    await isAnswered();
    expect(stage.controller.reports).toEqual([]);
  });

  it('api - an agent that reports without end is held to its pace, and another is heard', async () => {
    const reporting = begin('reports', 50);
    await eventually('it is told so', () => (reporting.answers.get('429') ?? 0) >= 500);
    await isAnswered();
    const heardOf = stage.controller.reports.length;
    expect(heardOf).toBeGreaterThan(0);
    const other = await stage.ask('/v1/agents/spare1/reports', { token: OTHER_AGENT, body: reportOf('spare1', 1) });
    expect(other.status).toBe(200);
    const busy = await stage.ask('/v1/agents/web1/reports', { token: AGENT, body: reportOf('web1', 1) });
    expect([busy.status, busy.json]).toMatchObject([429, { error: { code: 'API_BUSY' } }]);
    expect(busy.headers['retry-after']).toBe('1');
  });

  it('api - 64 streams that are never read leave room for another reader, and cost others nothing', async () => {
    for (let index = 0; index < 3000; index += 1) {
      stage.controller.emit({ kind: 'error', subject: 'x', text: 'x'.repeat(2000), data: {} });
    }
    begin('event streams', 80);
    await eventually('they read', () => stage.controller.readers >= 64);
    await isAnswered();
    const socket = await open(`GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${OPERATOR}\r\n\r\n`);
    const [begun] = await once(socket, 'data');
    expect(String(begun)).toMatch(/^HTTP\/1\.1 200/);
    await isAnswered();
  });

  it('api - one stream that reads all that is kept gives everybody else a turn', async () => {
    const { controller } = stage;
    const events = controller.events.bind(controller);
    let turn = 0;
    const taken = new Map<number, number>();
    controller.events = async function* (after, signal) {
      for await (const event of events(after, signal)) {
        taken.set(turn, (taken.get(turn) ?? 0) + 1);
        yield event;
      }
    };
    let over = false;
    const count = (): void => {
      turn += 1;
      if (!over) setImmediate(count);
    };
    count();
    for (let index = 0; index < 4000; index += 1) {
      controller.emit({ kind: 'error', subject: 'x', text: 'short', data: {} });
    }
    const socket = await open(`GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${VIEWER}\r\n\r\n`);
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await eventually('it has much of it', () => bytes > 300_000);
    over = true;
    expect(Math.max(...taken.values())).toBeLessThanOrEqual(8);
  });
});

describe('connections', () => {
  it('api - strangers give way to newer ones, the oldest of the most crowded address first; a caller who is known stays', async () => {
    const server = createServer();
    const limits = { ...DOOR_LIMITS, strangersMax: 6, strangersPerAddressMax: 4, strangerMs: 3_600_000 };
    const door = new Door(server, limits);
    const taken: Socket[] = [];
    server.on('connection', (socket) => void taken.push(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const come = async (localAddress: string): Promise<Socket> => {
      const before = taken.length;
      const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined).resume();
      sockets.push(socket);
      await eventually('it is taken', () => taken.length > before);
      return socket;
    };
    const gone = (socket: Socket | undefined) => eventually('it is cut', () => socket?.destroyed);
    const first = [];
    for (let index = 0; index < 4; index += 1) first.push(await come('127.0.0.1'));
    const [known] = taken;
    const alice = { name: 'alice', kind: 'token', role: 'operator', services: null } as const;
    expect(known !== undefined && door.welcome(known, alice)).toBe(true);
    first.push(await come('127.0.0.1'), await come('127.0.0.1'));
    await gone(first[1]);
    for (const address of ['127.0.0.2', '127.0.0.2', '127.0.0.3']) await come(address);
    await gone(first[2]);
    expect(first.map(({ destroyed }) => destroyed)).toEqual([false, true, true, false, false, false]);
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  it('api - a stranger gets one answer for each connection, and loses it even when it keeps its half open', async () => {
    for (const request of [
      'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n',
      'nonsense\r\n\r\n',
    ]) {
      const socket = connect({ port: port(), host: '127.0.0.1', allowHalfOpen: true });
      sockets.push(socket);
      await once(socket, 'connect');
      socket.write(request);
      const answer = await new Promise<string>((resolve) => {
        let text = '';
        socket.on('data', (chunk) => {
          text += String(chunk);
        });
        socket.on('end', () => resolve(text));
      });
      expect([request, answer]).toEqual([request, expect.stringMatching(/\r\nconnection: close\r\n/i)]);
      // The other end is gone, not only silent: what is written now is answered with a reset.
      const reset = once(socket, 'error');
      const again = setInterval(() => socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'), 10);
      await reset;
      clearInterval(again);
    }
  });

  it('api - a connection whose head does not come is cut, also by a caller who is known', async () => {
    const half = await open('GET /v1/status HTTP/1.1\r\nHost: x\r\n');
    await heard(half);
    const known = await open(`GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${VIEWER}\r\n\r\n`);
    await once(known, 'data');
    known.write('GET /v1/status HTTP/1.1\r\nX-Slow: ');
    await heard(known);
  });

  it('api - a caller has so many connections and no more, and one that goes makes room', async () => {
    const request = `GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${VIEWER}\r\n\r\n`;
    for (let index = 0; index < 128; index += 1) await once(await open(request), 'data');
    const refused = await stage.ask('/v1/status', { token: VIEWER });
    expect([refused.status, refused.json]).toMatchObject([429, { error: { code: 'API_BUSY' } }]);
    expect((await stage.ask('/v1/status', { token: OPERATOR })).status).toBe(200);
    sockets[0]?.destroy();
    await eventually('there is room', async () => (await stage.ask('/v1/status', { token: VIEWER })).status === 200);
  });

  it('api - an agent with another token hears that it is refused, however long its report is', async () => {
    const body = JSON.stringify({ x: 'x'.repeat(200_000) });
    for (let index = 0; index < 10; index += 1) {
      const answer = await stage.ask('/v1/agents/web1/reports', { token: 'nobody-0123456789abcdef', body });
      expect([answer.status, answer.json]).toMatchObject([401, { error: { code: 'API_UNAUTHORIZED' } }]);
    }
  });
});

describe('waiting', () => {
  it('api - a caller that is refused too often waits with all others of its address; one that is let in does not', async () => {
    await stage.close();
    const waiting = { ...WAITING_LIMITS, pace: { perSecond: 0, burst: 3 }, waitMs: 3_600_000 };
    stage = await ApiStage.open('', undefined, { waiting });
    const refused = { token: 'nobody-0123456789abcdef' };
    for (const path of ['/healthz', '/nowhere']) expect((await stage.ask(path)).status).not.toBe(401);
    expect((await stage.ask('/v1/status', refused)).status).toBe(401);
    const head = (path: string, token: string): string =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;
    const requests = [
      'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n',
      `${head('/v1/clone', VIEWER)}Content-Length: 2\r\n\r\n{}`,
      `${head('/v1/agents/web1/reports', refused.token)}Transfer-Encoding: chunked\r\n\r\nffff\r\n`,
    ];
    const heardOf: string[] = [];
    for (const [index, request] of requests.entries()) {
      const socket = await open(request);
      socket.on('data', (data) => void heardOf.push(`${index}: ${data}`));
    }
    await isAnswered();
    await eventually('all of them are refused', () => stage.controller.audited.length >= 2);
    await isAnswered();
    expect(heardOf).toEqual([]);
  });

  it('api - what does not say how long it is is refused without being read', async () => {
    const head = 'POST /v1/agents/web1/reports HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect(await heard(await open(`${head}ffff\r\nxxx`))).toMatch(/^HTTP\/1\.1 401 .*\r\nconnection: close\r\n/is);
  });

  it('api - a wait ends with the connection; the more of an address wait, the longer they do', async () => {
    const taken: Socket[] = [];
    const server = createTcpServer((socket) => void taken.push(socket.on('error', () => undefined).resume()));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const limits = { pace: { perSecond: 0, burst: 1 }, waitMs: 1, perSecondMax: 1 / 3600, addressesMax: 2 };
    const room = new WaitingRoom(limits);
    const answered: string[] = [];
    const come = async (name: string, localAddress = '127.0.0.1'): Promise<Socket> => {
      const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', localAddress });
      sockets.push(socket.on('error', () => undefined));
      const before = taken.length;
      await eventually('it is taken', () => taken.length > before);
      void room.turn(taken[before] as Socket).then(() => answered.push(name));
      return socket;
    };
    const is = (...names: string[]) => eventually(`answered: ${names}`, () => answered.join() === names.join());
    await come('first');
    await is('first');
    const second = await come('second');
    await come('another', '127.0.0.2');
    await is('first', 'another');
    second.destroy();
    await is('first', 'another', 'second');
    // A third address: the one that asked longest ago is forgotten.
    await come('elsewhere', '127.0.0.3');
    await come('again');
    await is('first', 'another', 'second', 'elsewhere', 'again');
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
});

describe('shares', () => {
  it('api - an address is that of IPv4, or the network of IPv6', () => {
    const networks = [
      '10.0.0.5',
      '::ffff:10.0.0.5',
      '2001:db8:1:2:3:4:5:6',
      '2001:db8:1:2::9',
      '::1',
      'fe80::1%eth0',
    ].map(networkOf);
    expect(networks).toEqual([
      '10.0.0.5',
      '10.0.0.5',
      '2001:db8:1:2::/64',
      '2001:db8:1:2::/64',
      '0:0:0:0::/64',
      'fe80:0:0:0::/64',
    ]);
  });

  it('api - a pace lets a burst pass, then so many a second', () => {
    let nowMs = 0;
    const pace = new Pace({ perSecond: 2, burst: 3 }, { nowMs: () => nowMs });
    const taken = (): number => Array.from({ length: 10 }, () => pace.take('web1')).filter(Boolean).length;
    expect(taken()).toBe(3);
    nowMs += 1000;
    expect(taken()).toBe(2);
    expect(pace.take('web2')).toBe(true);
    nowMs += 1_000_000;
    expect(taken()).toBe(3);
  });

  it('api - whoever has fewer readers gets a place of one who has more', () => {
    const places = new StreamPlaces(4);
    const many = Array.from({ length: 4 }, () => places.take('greedy'));
    expect(places.take('greedy')).toBe(null);
    expect([places.take('one'), places.take('two')].every((place) => place !== null)).toBe(true);
    expect(many.map((place) => place?.signal.aborted)).toEqual([true, true, false, false]);
    expect(places.take('one')).toBe(null);
    expect(places.count).toBe(4);
    many[3]?.leave();
    expect(places.take('greedy')).not.toBe(null);
  });
});
