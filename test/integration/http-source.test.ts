// How a file on a server is read: ranges that are proved or not, breaks, other contents, streams. The source itself in this process.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answer, connect, content, ETAG, rangeOf, readAll, serve, serveBytes } from '../support/said-web.ts';
import { SourceBench } from '../support/source-bench.ts';

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

describe('http source - ranges', () => {
  it('are believed with a 206 that fits and a strong validator', async () => {
    const { url, ranges } = await serve(bench, answer);
    const source = await connect(bench, url);
    expect(source).toMatchObject({ access: 'random', sizeBytes: content.length, coding: null });
    // The first bytes; some of them once more, from a place where they differ from the first ones; the last byte.
    const [first, again = '', last] = ranges;
    expect([ranges.length, first, last]).toEqual([
      3,
      'bytes=0-1048575',
      `bytes=${content.length - 1}-${content.length - 1}`,
    ]);
    const [start = 0, end = 0] = again.replace('bytes=', '').split('-').map(Number);
    const known = content.subarray(start, end + 1);
    expect(known.equals(content.subarray(0, known.length))).toBe(false);
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
      'are announced as asked, and hold the beginning of the file',
      (request, response) => {
        const { start, end } = rangeOf(request) ?? { start: 0, end: 0 };
        const headers = { etag: ETAG, 'content-range': `bytes ${start}-${end}/${content.length}` };
        response.writeHead(206, headers).end(content.subarray(0, end - start + 1));
      },
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
    const { url, ranges } = await serve(bench, (request, response) => {
      if (request.headers.range === undefined) answer(request, response);
      else handle(request, response);
    });
    const source = await connect(bench, url);
    expect(source.access).toBe('rewind');
    const before = ranges.length;
    expect((await readAll(source)).equals(content)).toBe(true);
    // The reading that was begun goes on, in the answer to the last request.
    expect(ranges.length).toBe(before);
  });

  it('hold by a time of change that is a second old', async () => {
    const { url } = await serve(bench, (request, response) => {
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
    const source = await connect(bench, url);
    expect(source.access).toBe('random');
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it('go on in the middle of a block after a break, and several times', async () => {
    let breaks = 0;
    const { url, ranges } = await serve(bench, (request, response) => {
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
    const source = await connect(bench, url);
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
    const { url } = await serve(bench, (request, response) => {
      if (swapped) answer(request, response, etag, bytes);
      else answer(request, response);
    });
    const source = await connect(bench, url);
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
    const { url } = await serve(bench, (_request, response) => {
      const first = requests++ === 0;
      const tag = etag === '' ? {} : { etag: first ? ETAG : etag };
      response.writeHead(200, { ...tag, 'content-length': content.length });
      if (first) response.write(content.subarray(0, 3_000_000), () => response.socket?.end());
      else response.end(bytes);
    });
    const source = await connect(bench, url);
    await expect(readAll(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
  });

  it('ends a second reading of a stream', async () => {
    let requests = 0;
    const { url } = await serve(bench, (_request, response) => {
      response.writeHead(200, { etag: `"${requests++}"`, 'content-length': content.length }).end(content);
    });
    const source = await connect(bench, url);
    expect((await readAll(source)).equals(content)).toBe(true);
    await expect(readAll(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
  });
});

describe('http source - streams', () => {
  it.each(['content-length', 'chunks', 'the end of the connection'])('end by %s', async (framing) => {
    const { url } = await serve(bench, (_request, response) => {
      response.shouldKeepAlive = false;
      if (framing === 'content-length') response.setHeader('content-length', content.length);
      if (framing === 'the end of the connection') response.useChunkedEncodingByDefault = false;
      response.writeHead(200, { etag: ETAG }).end(content);
    });
    const source = await connect(bench, url);
    expect(source.sizeBytes).toBe(framing === 'content-length' ? content.length : null);
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it.each([
    ['broken off', { etag: ETAG, 'content-length': content.length }],
    ['broken off between two chunks', { etag: ETAG, 'transfer-encoding': 'chunked' }],
    ['broken off, which looks like the end', { etag: ETAG }],
  ])('go on in another answer when the first is %s', async (_what, headers) => {
    let requests = 0;
    const { url } = await serve(bench, (_request, response) => {
      response.shouldKeepAlive = false;
      response.useChunkedEncodingByDefault = false;
      response.writeHead(200, headers);
      const bytes = requests++ === 0 ? content.subarray(0, 3_000_001) : content;
      response.write(bytes, () => response.socket?.end());
      if (requests > 1) response.end();
    });
    const source = await connect(bench, url);
    expect((await readAll(source)).equals(content)).toBe(true);
    expect(requests).toBeGreaterThan(1);
  });

  it('are given up after five more tries', async () => {
    let requests = 0;
    const { url } = await serve(bench, (_request, response) => {
      requests += 1;
      response.writeHead(200, { etag: ETAG, 'content-length': content.length });
      response.write(content.subarray(0, 2_000_000 + requests), () => response.socket?.destroy());
    });
    const source = await connect(bench, url);
    await expect(readAll(source)).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/disk\.img: the server closes the connection .* \(tried 6 times\)/),
    });
    expect(requests).toBe(6);
  });

  it('that the server gives once are told of as that', async () => {
    let requests = 0;
    const { url } = await serve(bench, (_request, response) => {
      if (requests++ === 0) response.writeHead(200, { 'content-length': content.length }).end(content);
      else response.writeHead(403).end();
    });
    const source = await connect(bench, url);
    expect((await readAll(source)).equals(content)).toBe(true);
    await expect(readAll(source)).rejects.toMatchObject({
      code: 'SOURCE_NOT_REWINDABLE',
      message: expect.stringMatching(/can be read only once.*answers 403/),
    });
  });

  it('survive a connection that ends while nobody reads on', async () => {
    const url = await serveBytes(bench, (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\nConnection: close\r\n\r\n`);
      socket.end(content);
    });
    const source = await connect(bench, url);
    let bytes = 0;
    for await (const part of source.open()) {
      bytes += part.byteLength;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(bytes).toBe(content.length);
  });
});
