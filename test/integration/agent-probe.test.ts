// The probe against real servers that answer, refuse, dawdle, ramble, and vanish.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type ProbeResult, probeService } from '../../src/agent/service-probe.ts';
import { systemClock } from '../../src/base/mod.ts';

const servers: (Server | TcpServer)[] = [];
const unending = new AbortController().signal;

afterEach(async () => {
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function listening(server: Server | TcpServer): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function web(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listening(createServer(listener))}/page`;
}

function probe(url: string, options: { contains?: string; timeoutMs?: number; signal?: AbortSignal } = {}) {
  const { contains = null, timeoutMs = 30_000, signal = unending } = options;
  return probeService({ url, contains, timeoutMs }, systemClock, signal);
}

const reasonOf = (result: ProbeResult): string => (result.kind === 'failure' ? result.reason : 'answered');

describe('the probe', () => {
  test('probe - an answer is measured, and asked for as users ask', async () => {
    const asked: string[] = [];
    const url = await web((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers['user-agent']}`);
      response.end('Welcome');
    });
    const result = await probe(url, { contains: 'elco' });
    expect(result.kind).toBe('answer');
    expect(result.kind === 'answer' && result.milliseconds > 0).toBe(true);
    expect(asked).toEqual(['GET /page understudy-agent']);
  });

  test('probe - a redirect is an answer, and is not followed', async () => {
    let visits = 0;
    const url = await web((_, response) => {
      visits += 1;
      response.writeHead(302, { location: '/page' }).end();
    });
    expect((await probe(url)).kind).toBe('answer');
    expect(visits).toBe(1);
  });

  test.each([
    [404, 'answered 404 Not Found', null],
    [500, 'answered 500 Internal Server Error', null],
    [429, 'answered 429 Too Many Requests', 30_000],
    [502, 'answered 502 Bad Gateway', 30_000],
    [503, 'answered 503 Service Unavailable', 30_000],
    [504, 'answered 504 Gateway Timeout', 30_000],
  ])('probe - %i is a failure; only what waiting could cure has a time', async (status, reason, atLeastMs) => {
    const url = await web((_, response) => response.writeHead(status).end());
    expect(await probe(url)).toEqual({ kind: 'failure', reason, atLeastMs });
  });

  test('probe - a page without the text asked for is a failure', async () => {
    const url = await web((_, response) => response.end('Database error'));
    expect(reasonOf(await probe(url, { contains: 'Welcome' }))).toBe('the page lacks the text asked for');
  });

  test('probe - an endless page is given up', async () => {
    const url = await web((_, response) => {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      const more = (): void => {
        while (response.write(chunk));
      };
      response.on('drain', more);
      more();
    });
    expect(reasonOf(await probe(url))).toBe('the answer is longer than 1048576 bytes');
  });

  test.each<[string, RequestListener]>([
    ['says nothing', () => undefined],
    ['begins and stops', (_, response) => response.writeHead(200).write('Wel')],
  ])('probe - a server that %s takes at least the time-out', async (_, listener) => {
    const result = await probe(await web(listener), { timeoutMs: 300 });
    expect(reasonOf(result)).toBe('no answer within 300 ms');
    // Timers may fire up to a millisecond early.
    expect(result.kind === 'failure' && (result.atLeastMs ?? 0) >= 299).toBe(true);
  });

  test('probe - headers that drip in one by one do not outlast the time-out', async () => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => socket.destroy()).resume();
      socket.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => socket.write('x-drip: 1\r\n'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    const url = `http://127.0.0.1:${await listening(server)}/`;
    expect(reasonOf(await probe(url, { timeoutMs: 300 }))).toBe('no answer within 300 ms');
  });

  test('probe - an answer that breaks off, and one that is no HTTP, are failures without a time', async () => {
    const cut = await web((_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
    });
    expect(await probe(cut)).toMatchObject({ kind: 'failure', atLeastMs: null });
    const server = createTcpServer((socket) => {
      socket.on('error', () => socket.destroy()).resume();
      socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    });
    const odd = `http://127.0.0.1:${await listening(server)}/`;
    expect(await probe(odd)).toMatchObject({ kind: 'failure', atLeastMs: null });
  });

  test('probe - nobody there is refused, over HTTP and TCP', async () => {
    const port = await listening(createServer());
    const server = servers.pop();
    await new Promise((resolve) => server?.close(resolve));
    const refused = { kind: 'failure', reason: 'connection refused', atLeastMs: null };
    expect(await probe(`http://127.0.0.1:${port}/`)).toEqual(refused);
    expect(await probe(`tcp://127.0.0.1:${port}`)).toEqual(refused);
  });

  test('probe - TCP asks for a connection only', async () => {
    const received: string[] = [];
    const server = createTcpServer((socket) => {
      socket.on('data', (data) => received.push(data.toString()));
    });
    const result = await probe(`tcp://127.0.0.1:${await listening(server)}`);
    expect(result.kind).toBe('answer');
    expect(received).toEqual([]);
  });

  test('probe - names are looked up, and one that nobody knows is a failure', async () => {
    const url = (await web((_, response) => response.end())).replace('127.0.0.1', 'localhost');
    const both = await Promise.all([probe(url), probe(url), probe('http://understudy.invalid/')]);
    expect(both.map(({ kind }) => kind)).toEqual(['answer', 'answer', 'failure']);
  });

  test('probe - one that is under way ends when the agent does', async () => {
    const ending = new AbortController();
    const url = await web(() => ending.abort());
    expect(reasonOf(await probe(url, { signal: ending.signal }))).toBe('given up');
    expect(reasonOf(await probe(url, { signal: ending.signal }))).toBe('given up');
    expect(reasonOf(await probe('tcp://127.0.0.1:9', { signal: ending.signal }))).toBe('given up');
  });
});
