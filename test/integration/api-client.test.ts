import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApi, createClient, readAddress, tokenForClient } from '../../src/api/mod.ts';
import { errorRegistry, isErrorCode } from '../../src/base/mod.ts';
import { loadConfiguration } from '../../src/config/mod.ts';
import type { EventView } from '../../src/controller/mod.ts';
import { eventually } from '../rig/wait.ts';
import { ApiStage, OPERATOR, VIEWER } from '../support/api-stage.ts';
import { drivers } from '../support/config-folder.ts';
import { decision, engagement, inspection } from '../support/controller-peer.ts';

let stage: ApiStage;
const others: Server[] = [];
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(async () => {
  for (const server of others.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
  await stage.close();
});

function client(token = OPERATOR) {
  return createClient({ url: stage.url, token });
}

/** Something else that listens: its URL. */
async function other(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  others.push(server);
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('the client', () => {
  it('api - has every operation', async () => {
    const all = client();
    const warnings = [expect.stringMatching(/tokens in clear text/)];
    expect(await all.status()).toEqual({ ...(await stage.controller.status()), warnings });
    expect(await all.decisions('wiki', 5)).toEqual([decision]);
    expect(await all.engagement('wiki-1')).toEqual(engagement);
    expect(await all.clone({ lead: 'web1', to: 'spare2' })).toEqual({ engagement: 'wiki-2' });
    expect(await all.dismiss({ host: 'spare1' })).toEqual({ engagement: 'wiki-1' });
    expect(await all.approve('p')).toEqual({ engagement: 'wiki-3' });
    expect(await all.power('spare2', 'on')).toEqual({ power: 'on' });
    expect(await all.inspect('web1')).toEqual(inspection);
  });

  it('api - every code of the controller comes out as it went in', async () => {
    for (const code of Object.keys(errorRegistry)) {
      if (!isErrorCode(code)) throw new Error(code);
      stage.controller.fail(code, `about ${code}`);
      await expect(client().status()).rejects.toMatchObject({ code, message: `about ${code}` });
    }
    await expect(client('unknown-0123456789').status()).rejects.toMatchObject({ code: 'API_UNAUTHORIZED' });
    await expect(client(VIEWER).approve('p')).rejects.toMatchObject({ code: 'API_FORBIDDEN' });
  });

  it('api - a defect of the controller is told as such', async () => {
    stage.controller.trouble = new Error('oops');
    await expect(client().status()).rejects.toMatchObject({
      code: 'API_UNAVAILABLE',
      message: 'the controller has a defect; see its output',
    });
  });

  it('api - nobody there, something else there, and somebody who sends the token elsewhere', async () => {
    const at = (url: string) => createClient({ url, token: VIEWER }).status();
    const closed = createTcpServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, 'close');
    const unavailable = (message: RegExp) => ({ code: 'API_UNAVAILABLE', message: expect.stringMatching(message) });
    await expect(at(`http://127.0.0.1:${port}`)).rejects.toMatchObject(
      unavailable(/cannot be reached: .*ECONNREFUSED/),
    );
    const page = await other((_, response) => response.end('<html>'));
    await expect(at(page)).rejects.toMatchObject(unavailable(/does not answer in JSON/));
    const broken = await other((_, response) => response.writeHead(502).end('<html>'));
    await expect(at(broken)).rejects.toMatchObject(unavailable(/answers with status 502/));
    const cut = await other((_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{');
      setImmediate(() => response.destroy());
    });
    await expect(at(cut)).rejects.toMatchObject(unavailable(/cannot be reached/));
    const tokens: unknown[] = [];
    const thief = await other((request, response) => {
      tokens.push(request.headers.authorization);
      response.end('{}');
    });
    const elsewhere = await other((_, response) => response.writeHead(307, { location: thief }).end());
    await expect(at(elsewhere)).rejects.toMatchObject(unavailable(/cannot be reached/));
    expect(tokens).toEqual([]);
  });

  it('api - who never answers, and who begins and does not end, are given up', async () => {
    const silent = await other(() => undefined);
    const half = await other((_, response) => response.writeHead(200).write('{'));
    for (const url of [silent, half]) {
      const impatient = createClient({ url, token: VIEWER, callTimeoutMs: 300 });
      await expect(impatient.status()).rejects.toMatchObject({ code: 'API_TIMEOUT' });
    }
  });

  it('api - a signal ends a call and a stream', async () => {
    const abort = new AbortController();
    const url = await other((_, response) => response.writeHead(200).write(': x\n\n'));
    const stoppable = createClient({ url, token: VIEWER, signal: abort.signal });
    const call = stoppable.status();
    const stream = stoppable.events(null)[Symbol.asyncIterator]().next();
    setImmediate(() => abort.abort());
    await expect(call).rejects.toMatchObject({ code: 'INTERRUPTED' });
    await expect(stream).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });
});

describe("the client's events", () => {
  /** Reads into a list until it is told to stop. */
  function read(url: string, after: number | null, silenceMs?: number) {
    const abort = new AbortController();
    const events: EventView[] = [];
    const options = { url, token: VIEWER, signal: abort.signal, ...(silenceMs === undefined ? {} : { silenceMs }) };
    const done = (async () => {
      for await (const event of createClient(options).events(after)) events.push(event);
    })().catch((error: unknown) => error);
    return { events, abort, done };
  }

  function emit(text: string): void {
    stage.controller.emit({ kind: 'verdict', subject: 'service/wiki', text, data: { länger: '…'.repeat(50_000) } });
  }

  it('api - go on where they were when the controller is started again, each once', async () => {
    emit('one');
    emit('two');
    const { events, abort, done } = read(stage.url, 0);
    await eventually('two', () => events.length === 2);
    await stage.api.close();
    emit('three');
    const loaded = await loadConfiguration(stage.file, drivers);
    const configuration = { ...loaded, api: { ...loaded.api, port: Number(new URL(stage.url).port) } };
    const again = await createApi({ controller: stage.controller, configuration, version: '1' });
    try {
      await again.listen();
      await eventually('three', () => events.length === 3);
      emit('four');
      await eventually('four', () => events.length === 4);
      expect(events).toEqual(stage.controller.kept);
    } finally {
      abort.abort();
      expect(await done).toMatchObject({ code: 'INTERRUPTED' });
      await again.close();
    }
  });

  it('api - a stream that has gone silent is begun again', async () => {
    let connections = 0;
    const url = await other((_, response) => {
      connections += 1;
      response.writeHead(200).write('retry: 1\n\n');
    });
    const { abort, done } = read(url, null, 300);
    await eventually('again', () => connections >= 2);
    abort.abort();
    expect(await done).toMatchObject({ code: 'INTERRUPTED' });
  });

  it('api - are told in any form that the standard allows', async () => {
    const event = {
      revision: 3,
      at: '2026-11-24T10:00:00.000Z',
      kind: 'error',
      subject: 'controller',
      text: 'é',
      data: {},
    };
    const json = JSON.stringify(event);
    const text = Buffer.from(`: hello\r\n\r\nid:3\ndata:${json.slice(0, 1)}\rdata: ${json.slice(1)}\r\n\n`);
    const url = await other((_, response) => {
      response.writeHead(200);
      // One byte at a time: letters and line ends are cut.
      for (const byte of text) response.write(Buffer.of(byte));
    });
    const { events, abort, done } = read(url, null);
    await eventually('the event', () => events.length === 1);
    abort.abort();
    await done;
    // A line break between the parts of the data is one in the text: JSON takes it between its tokens.
    expect(events).toEqual([event]);
  });

  it('api - an error of the controller ends them, one that may be over does not', async () => {
    const { events, abort, done } = read(stage.url, 0);
    emit('one');
    await eventually('one', () => events.length === 1);
    stage.controller.fail('LEASE_LOST', 'replaced');
    emit('two');
    expect(await done).toMatchObject({ code: 'LEASE_LOST', message: 'replaced' });
    abort.abort();
    const refused = createClient({ url: stage.url, token: 'unknown-0123456789' }).events(null);
    await expect(refused[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'API_UNAUTHORIZED' });
  });

  it('api - a controller that stays away ends them', async () => {
    const events = createClient({ url: stage.url, token: VIEWER }).events(null, 100);
    await stage.api.close();
    await expect(events[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'API_UNAVAILABLE' });
  });
});

describe('how commands find the controller', () => {
  it('api - the address of a running controller', async () => {
    expect(await readAddress(stage.config.path('state'))).toEqual({ url: stage.url, token: expect.any(String) });
    await expect(readAddress(stage.config.path('elsewhere'))).rejects.toMatchObject({
      code: 'API_UNAVAILABLE',
      message: expect.stringContaining('no controller runs'),
    });
  });

  it('api - a token from a file of roles, or from a file of its own', async () => {
    expect(await tokenForClient(stage.config.path('secrets/api'))).toBe(OPERATOR);
    expect(await tokenForClient(stage.config.secret('mine', `${VIEWER}\n`))).toBe(VIEWER);
    expect(await tokenForClient(stage.config.secret('two', `viewer a ${VIEWER}\n`))).toBe(VIEWER);
    await expect(tokenForClient(stage.config.secret('none', '# nobody\n'))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
    await expect(tokenForClient(stage.config.secret('open', VIEWER, 0o644))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
