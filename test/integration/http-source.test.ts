// What servers say and what is made of it: ranges that are proved or not, breaks, other contents, statuses, redirects,
// certificates, proxies. The source itself in this process, with short time-outs.
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpSource } from '../../src/replication/source/http/mod.ts';
import { imageBytes, SourceBench } from '../support/source-bench.ts';

const content = imageBytes();
const ETAG = '"a-moment"';
const TIMEOUT_MS = 400;

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

interface Seen {
  readonly url: string;
  /** The range of each request, '' for none. */
  readonly ranges: string[];
}

/** A server whose answers the test writes itself. */
async function serve(handle: RequestListener): Promise<Seen> {
  const ranges: string[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range ?? '');
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  bench.later(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`, ranges };
}

/** A server that says nothing but bytes. */
async function serveBytes(handle: (socket: Socket, request: number) => void): Promise<string> {
  let requests = 0;
  const server = createTcpServer((socket) => {
    // Clients that are content hang up as they like.
    socket.on('error', () => socket.destroy());
    socket.on('data', () => handle(socket, requests++));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  bench.later(() => new Promise((resolve) => server.close(() => resolve())));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
}

async function connect(url: string): Promise<HttpSource> {
  const retry = { retriesMax: 5, delayMs: 5, random: () => 0.5 };
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  const source = await HttpSource.connect({ url: new URL(url), uri: parsed.href, timeoutMs: TIMEOUT_MS, retry });
  bench.later(() => source.close());
  return source;
}

async function readAll(source: HttpSource): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source.open()) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function rangeOf(request: IncomingMessage, size = content.length): Range | null {
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  return match === null ? null : { start: Number(match[1]), end: Math.min(Number(match[2]), size - 1) };
}

/** What a good server answers. */
function answer(request: IncomingMessage, response: ServerResponse, etag = ETAG, bytes = content): void {
  const condition = request.headers['if-range'];
  const range = condition === undefined || condition === etag ? rangeOf(request, bytes.length) : null;
  if (range === null) response.writeHead(200, { etag, 'content-length': bytes.length }).end(bytes);
  else {
    const { start, end } = range;
    const headers = {
      etag,
      'content-range': `bytes ${start}-${end}/${bytes.length}`,
      'content-length': end - start + 1,
    };
    response.writeHead(206, headers).end(bytes.subarray(start, end + 1));
  }
}

describe('http source - ranges', () => {
  it('are believed with a 206 that fits and a strong validator', async () => {
    const { url, ranges } = await serve(answer);
    const source = await connect(url);
    expect(source).toMatchObject({ access: 'random', sizeBytes: content.length, coding: null });
    expect(ranges).toEqual(['bytes=0-1048575', `bytes=${content.length - 1}-${content.length - 1}`]);
    const target = new Uint8Array(100_000);
    await source.readInto(target, 1_000_000);
    expect(content.subarray(1_000_000, 1_100_000).equals(target)).toBe(true);
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it.each<[string, (request: IncomingMessage, response: ServerResponse) => void]>([
    [
      'are announced, and not given',
      (_, response) =>
        response
          .writeHead(200, { 'accept-ranges': 'bytes', etag: ETAG, 'content-length': content.length })
          .end(content),
    ],
    ['have no Content-Range', (_, response) => response.writeHead(206, { etag: ETAG }).end(content)],
    [
      'are of another place',
      (request, response) => lie(request, response, (start, end) => `bytes ${start + 1}-${end + 1}/${content.length}`),
    ],
    [
      'are of another length',
      (request, response) => lie(request, response, (start, end) => `bytes ${start}-${end - 1}/${content.length}`),
    ],
    [
      'are in another unit',
      (request, response) => lie(request, response, (start, end) => `blocks ${start}-${end}/${content.length}`),
    ],
    [
      'do not tell the whole length',
      (request, response) => lie(request, response, (start, end) => `bytes ${start}-${end}/*`),
    ],
    [
      'contradict the whole length',
      (request, response) => lie(request, response, (start, end) => `bytes ${start}-${end}/17`),
    ],
    [
      'are given of the beginning only',
      (request, response) => {
        if ((rangeOf(request)?.start ?? 0) === 0) answer(request, response);
        else response.writeHead(200, { etag: ETAG, 'content-length': content.length }).end(content);
      },
    ],
    [
      'are refused',
      (request, response) => {
        if (request.headers.range === undefined) answer(request, response);
        else response.writeHead(416).end();
      },
    ],
    ['have a weak validator', (request, response) => answer(request, response, `W/${ETAG}`)],
    ['have no validator', (request, response) => answer(request, response, '')],
    [
      'are of a file that is written in this second',
      (request, response) => {
        response.setHeader('last-modified', new Date().toUTCString());
        response.setHeader('date', new Date().toUTCString());
        answer(request, response, '');
      },
    ],
  ])('that %s are not believed: one plain GET', async (_what, handle) => {
    const { url, ranges } = await serve((request, response) => {
      if (request.headers.range === undefined) answer(request, response);
      else handle(request, response);
    });
    const source = await connect(url);
    expect(source.access).toBe('rewind');
    const before = ranges.length;
    expect((await readAll(source)).equals(content)).toBe(true);
    // The reading that was begun goes on, in the answer to the last request.
    expect(ranges.length).toBe(before);
  });

  it('hold by a time of change that is a second old', async () => {
    const { url } = await serve((request, response) => {
      const lastModified = 'Mon, 02 Mar 2020 10:00:00 GMT';
      const { start, end } = rangeOf(request) ?? { start: 0, end: content.length - 1 };
      const partial = request.headers.range !== undefined;
      // RFC 9110, 15.3.7: a 206 to If-Range need not say the time once more.
      const repeated = request.headers['if-range'] === lastModified ? {} : { 'last-modified': lastModified };
      response.writeHead(partial ? 206 : 200, {
        ...repeated,
        'content-range': `bytes ${start}-${end}/${content.length}`,
        'content-length': end - start + 1,
      });
      response.end(content.subarray(start, end + 1));
    });
    const source = await connect(url);
    expect(source.access).toBe('random');
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it('go on in the middle of a block after a break, and several times', async () => {
    let breaks = 0;
    const { url, ranges } = await serve((request, response) => {
      const range = rangeOf(request);
      if (range === null || range.end - range.start < 500_000 || range.start === 0 || breaks >= 8)
        return answer(request, response);
      breaks += 1;
      const headers = {
        etag: ETAG,
        'content-range': `bytes ${range.start}-${range.end}/${content.length}`,
        'content-length': range.end - range.start + 1,
      };
      response.writeHead(206, headers);
      response.write(content.subarray(range.start, range.start + 100_000), () => response.socket?.destroy());
    });
    const source = await connect(url);
    const target = new Uint8Array(2_000_000);
    await source.readInto(target, 1_500_000);
    expect(content.subarray(1_500_000, 3_500_000).equals(target)).toBe(true);
    expect(breaks).toBe(8);
    expect(ranges).toContain('bytes=1600000-3499999');
  });
});

function lie(request: IncomingMessage, response: ServerResponse, range: (start: number, end: number) => string): void {
  const { start, end } = rangeOf(request) ?? { start: 0, end: 0 };
  response.writeHead(206, { etag: ETAG, 'content-range': range(start, end), 'content-length': end - start + 1 });
  response.end(content.subarray(start, end + 1));
}

describe('http source - another content', () => {
  const other = Buffer.from(content).fill(7, 2_000_000, 2_000_100);

  it.each<[string, string, Buffer]>([
    ['another tag', '"another"', content],
    ['another length under the same tag', ETAG, content.subarray(0, 3_000_000)],
    ['no tag any more', '', content],
  ])('ends the reading of ranges: %s', async (_what, etag, bytes) => {
    let swapped = false;
    const { url } = await serve((request, response) => {
      if (swapped) answer(request, response, etag, bytes);
      else answer(request, response);
    });
    const source = await connect(url);
    swapped = true;
    const target = new Uint8Array(1000);
    await expect(source.readInto(target, 2_000_000)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
    await expect(readAll(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
  });

  it.each([
    ['another tag', '"another"', content],
    ['other bytes before the place where it broke, under the same tag', ETAG, other],
    ['other bytes, and no tag at all', '', other],
  ])('ends the reading of a stream that broke: %s', async (_what, etag, bytes) => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      const first = requests++ === 0;
      const tag = etag === '' ? {} : { etag: first ? ETAG : etag };
      response.writeHead(200, { ...tag, 'content-length': content.length });
      if (first) response.write(content.subarray(0, 3_000_000), () => response.socket?.end());
      else response.end(bytes);
    });
    const source = await connect(url);
    await expect(readAll(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
  });

  it('ends a second reading of a stream', async () => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      response.writeHead(200, { etag: `"${requests++}"`, 'content-length': content.length }).end(content);
    });
    const source = await connect(url);
    expect((await readAll(source)).equals(content)).toBe(true);
    await expect(readAll(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
  });
});

describe('http source - streams', () => {
  it.each(['content-length', 'chunks', 'the end of the connection'])('end by %s', async (framing) => {
    const { url } = await serve((_request, response) => {
      response.shouldKeepAlive = false;
      if (framing === 'content-length') response.setHeader('content-length', content.length);
      if (framing === 'the end of the connection') response.useChunkedEncodingByDefault = false;
      response.writeHead(200, { etag: ETAG }).end(content);
    });
    const source = await connect(url);
    expect(source.sizeBytes).toBe(framing === 'content-length' ? content.length : null);
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it.each([
    ['broken off', { etag: ETAG, 'content-length': content.length }],
    ['broken off between two chunks', { etag: ETAG, 'transfer-encoding': 'chunked' }],
    ['broken off, which looks like the end', { etag: ETAG }],
  ])('go on in another answer when the first is %s', async (_what, headers) => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      response.shouldKeepAlive = false;
      response.useChunkedEncodingByDefault = false;
      response.writeHead(200, headers);
      const bytes = requests++ === 0 ? content.subarray(0, 3_000_001) : content;
      response.write(bytes, () => response.socket?.end());
      if (requests > 1) response.end();
    });
    const source = await connect(url);
    expect((await readAll(source)).equals(content)).toBe(true);
    expect(requests).toBeGreaterThan(1);
  });

  it('are given up after five more tries', async () => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      requests += 1;
      response.writeHead(200, { etag: ETAG, 'content-length': content.length });
      response.write(content.subarray(0, 2_000_000 + requests), () => response.socket?.destroy());
    });
    const source = await connect(url);
    await expect(readAll(source)).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/disk\.img: the server closes the connection .* \(tried 6 times\)/),
    });
    expect(requests).toBe(6);
  });

  it('that the server gives once are told of as that', async () => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      if (requests++ === 0) response.writeHead(200, { 'content-length': content.length }).end(content);
      else response.writeHead(403).end();
    });
    const source = await connect(url);
    expect((await readAll(source)).equals(content)).toBe(true);
    await expect(readAll(source)).rejects.toMatchObject({
      code: 'SOURCE_NOT_REWINDABLE',
      message: expect.stringMatching(/can be read only once.*answers 403/),
    });
  });

  it('survive a connection that ends while nobody reads on', async () => {
    const url = await serveBytes((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\nConnection: close\r\n\r\n`);
      socket.end(content);
    });
    const source = await connect(url);
    let bytes = 0;
    for await (const part of source.open()) {
      bytes += part.byteLength;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(bytes).toBe(content.length);
  });
});

describe('http source - answers that give nothing', () => {
  it.each([
    [401, 'SOURCE_UNREADABLE', /user name and a password/],
    [403, 'SOURCE_UNREADABLE', /answers 403/],
    [404, 'SOURCE_NOT_FOUND', /answers 404: it has no such file/],
    [410, 'SOURCE_NOT_FOUND', /answers 410/],
    [400, 'SOURCE_UNREADABLE', /answers 400/],
    [204, 'SOURCE_UNAVAILABLE', /answers 204/],
    [500, 'SOURCE_UNAVAILABLE', /answers 500 \(tried 6 times\)/],
    [503, 'SOURCE_UNAVAILABLE', /answers 503: .*\(tried 6 times\)/],
  ])('%i is %s', async (status, code, words) => {
    const { url } = await serve((_request, response) => response.writeHead(status).end());
    await expect(connect(url)).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
  });

  it.each([429, 502, 503, 504, 408])('%i is tried again', async (status) => {
    let requests = 0;
    const { url } = await serve((request, response) => {
      if (requests++ % 2 === 0) response.writeHead(status, { 'retry-after': '0' }).end();
      else answer(request, response);
    });
    const source = await connect(url);
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it('a pause that is too long is not waited for', async () => {
    const { url } = await serve((_request, response) => response.writeHead(503, { 'retry-after': '86400' }).end());
    await expect(connect(url)).rejects.toMatchObject({
      message: expect.stringMatching(/asks for a pause of 86400 seconds/),
    });
  });

  it.each([
    ['an empty file', 200, {}],
    ['a range that cannot be of an empty file', 416, { 'content-range': 'bytes */0' }],
  ])('SOURCE_EMPTY for %s', async (_what, status, headers) => {
    const { url } = await serve((_request, response) => response.writeHead(status, headers).end());
    await expect(connect(url)).rejects.toMatchObject({ code: 'SOURCE_EMPTY' });
  });

  it('silence, a stall in the middle, and bytes that are not HTTP are told apart', async () => {
    const silent = await serveBytes(() => undefined);
    await expect(connect(silent)).rejects.toMatchObject({
      code: 'SOURCE_TIMEOUT',
      message: expect.stringMatching(/does not answer within 0.4 s/),
    });
    const stalling = await serveBytes((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc'));
    await expect(connect(stalling)).rejects.toMatchObject({
      code: 'SOURCE_TIMEOUT',
      message: expect.stringMatching(/sends nothing for 0.4 s/),
    });
    const other = await serveBytes((socket) => socket.end('220 mail.example.org ESMTP\r\n'));
    await expect(connect(other)).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/not answer in HTTP/),
    });
  });

  it('a name that nobody has is told at once', async () => {
    await expect(connect('http://no-such-host.invalid/disk.img')).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/^http:\/\/no-such-host\.invalid\/disk\.img: .*(resolved|name server)/),
    });
  });
});

describe('http source - redirects and credentials', () => {
  it('follows, asks the last place directly from then on, and begins again when that has expired', async () => {
    const paths: string[] = [];
    let link = 0;
    const { url } = await serve((request, response) => {
      const path = request.url ?? '';
      paths.push(path);
      if (path === '/disk.img') response.writeHead(302, { location: `/link/${link}` }).end();
      else if (path === `/link/${link}`) answer(request, response);
      else response.writeHead(403).end();
    });
    const source = await connect(url);
    expect(paths).toEqual(['/disk.img', '/link/0', '/link/0']);
    link = 1;
    await source.readAt(2_000_000, 10);
    expect(paths.slice(3)).toEqual(['/link/0', '/disk.img', '/link/1']);
  });

  it.each<[string, string | undefined, RegExp]>([
    ['for ever', '/disk.img', /more than 10 times/],
    ['to nowhere', undefined, /to nowhere/],
    ['to another protocol', 'ftp://host/disk.img', /to ftp:/],
  ])('refuses a server that redirects %s', async (_what, location, words) => {
    const { url } = await serve((_request, response) =>
      response.writeHead(302, location === undefined ? {} : { location }).end(),
    );
    await expect(connect(url)).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
      message: expect.stringMatching(words),
    });
  });

  it('gives user and password to the server of the URL, and to no other', async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers.authorization);
      answer(request, response);
    });
    const { url } = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(307, { location: other.url }).end();
    });
    const source = await connect(url.replace('://', '://anna:p%40ss@'));
    expect(seen.slice(0, 2)).toEqual([`Basic ${Buffer.from('anna:p@ss').toString('base64')}`, undefined]);
    expect(source.uri).toBe(url);
  });
});
