import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { messageOf } from '../../src/base/mod.ts';
import { Prometheus } from '../../src/metrics/mod.ts';
import { freePort } from '../support/nbd-server.ts';
import { PrometheusServer } from '../support/prometheus-server.ts';
import { describeMetrics } from './metrics.ts';

describeMetrics('prometheus', async () => {
  const server = await PrometheusServer.start();
  await server.ready();
  return {
    metrics: new Prometheus(),
    url: server.url,
    five: 'vector(2) + 3',
    nothing: 'vector(1) > 2',
    notANumber: 'vector(0) / 0',
    wrong: 'vector(',
    nowhere: `http://127.0.0.1:${await freePort()}`,
    close: () => server.stop(),
  };
});

let server: Server | null = null;
afterEach(async () => {
  const ending = server;
  server = null;
  if (ending === null) return;
  ending.closeAllConnections();
  await new Promise((resolve) => ending.close(resolve));
});

/** What some other server says to a question. */
async function told(status: number, body: string, headers: Record<string, string> = {}): Promise<string> {
  let heard: IncomingHttpHeaders = {};
  server = createServer((request, response) => {
    heard = request.headers;
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const folder = mkdtempSync(join(tmpdir(), 'ust-token-'));
  try {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'secret\n', { mode: 0o600 });
    chmodSync(tokenFile, 0o600);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const value = await new Prometheus().read({ url, query: 'up', tokenFile }, new AbortController().signal);
    return `${value} ${heard.authorization}`;
  } catch (error) {
    return messageOf(error);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

it('prometheus - sends the token, takes a scalar, and refuses whatever is not one number', async () => {
  const vector = (count: number): string =>
    JSON.stringify({
      status: 'success',
      data: { resultType: 'vector', result: Array(count).fill({ value: [1, '7'] }) },
    });
  expect(await told(200, vector(1))).toBe('7 Bearer secret');
  const scalar = JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, '8.5'] } });
  expect(await told(200, scalar)).toBe('8.5 Bearer secret');
  expect(await told(200, vector(2))).toContain('up gives 2 series, where one is needed');
  expect(await told(200, '<html>')).toContain('does not answer as Prometheus does');
  expect(await told(500, 'no')).toContain('answers 500');
  expect(await told(422, '{"status":"error","error":"too much"}')).toContain('says: too much');
  expect(await told(302, '', { location: 'http://127.0.0.1:1/' })).toContain('cannot be asked');
});
