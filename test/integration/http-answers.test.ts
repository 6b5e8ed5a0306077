// What servers say instead of giving the file: statuses, silence, redirects. The source itself in this process.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answer, connect, content, readAll, serve, serveBytes } from '../support/said-web.ts';
import { SourceBench } from '../support/source-bench.ts';

let bench: SourceBench;
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(() => bench.clear());

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
    const { url } = await serve(bench, (_request, response) => response.writeHead(status).end());
    await expect(connect(bench, url)).rejects.toMatchObject({ code, message: expect.stringMatching(words) });
  });

  it.each([429, 502, 503, 504, 408])('%i is tried again', async (status) => {
    let requests = 0;
    const { url } = await serve(bench, (request, response) => {
      if (requests++ % 2 === 0) response.writeHead(status, { 'retry-after': '0' }).end();
      else answer(request, response);
    });
    const source = await connect(bench, url);
    expect((await readAll(source)).equals(content)).toBe(true);
  });

  it('a pause that is too long is not waited for', async () => {
    const { url } = await serve(bench, (_request, response) =>
      response.writeHead(503, { 'retry-after': '86400' }).end(),
    );
    await expect(connect(bench, url)).rejects.toMatchObject({
      message: expect.stringMatching(/asks for a pause of 86400 seconds/),
    });
  });

  it.each([
    ['an empty file', 200, {}],
    ['a range that cannot be of an empty file', 416, { 'content-range': 'bytes */0' }],
  ])('SOURCE_EMPTY for %s', async (_what, status, headers) => {
    const { url } = await serve(bench, (_request, response) => response.writeHead(status, headers).end());
    await expect(connect(bench, url)).rejects.toMatchObject({ code: 'SOURCE_EMPTY' });
  });

  it('silence, a stall in the middle, and bytes that are not HTTP are told apart', async () => {
    const silent = await serveBytes(bench, () => undefined);
    await expect(connect(bench, silent)).rejects.toMatchObject({
      code: 'SOURCE_TIMEOUT',
      message: expect.stringMatching(/does not answer within 0.4 s/),
    });
    const stalling = await serveBytes(bench, (socket) =>
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc'),
    );
    await expect(connect(bench, stalling)).rejects.toMatchObject({
      code: 'SOURCE_TIMEOUT',
      message: expect.stringMatching(/sends nothing for 0.4 s/),
    });
    const other = await serveBytes(bench, (socket) => socket.end('220 mail.example.org ESMTP\r\n'));
    await expect(connect(bench, other)).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/not answer in HTTP/),
    });
  });

  it('a name that nobody has is told at once', async () => {
    await expect(connect(bench, 'http://no-such-host.invalid/disk.img')).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      message: expect.stringMatching(/^http:\/\/no-such-host\.invalid\/disk\.img: .*(resolved|name server)/),
    });
  });
});

describe('http source - redirects and credentials', () => {
  it('follows, asks the last place directly from then on, and begins again when that has expired', async () => {
    const paths: string[] = [];
    let link = 0;
    const { url } = await serve(bench, (request, response) => {
      const path = request.url ?? '';
      paths.push(path);
      if (path === '/disk.img') response.writeHead(302, { location: `/link/${link}` }).end();
      else if (path === `/link/${link}`) answer(request, response);
      else response.writeHead(403).end();
    });
    const source = await connect(bench, url);
    // The first bytes, and two requests that prove ranges.
    expect(paths).toEqual(['/disk.img', '/link/0', '/link/0', '/link/0']);
    link = 1;
    await source.readAt(2_000_000, 10);
    expect(paths.slice(4)).toEqual(['/link/0', '/disk.img', '/link/1']);
  });

  it.each<[string, string | undefined, RegExp]>([
    ['for ever', '/disk.img', /more than 10 times/],
    ['to nowhere', undefined, /to nowhere/],
    ['to another protocol', 'ftp://host/disk.img', /to ftp:/],
  ])('refuses a server that redirects %s', async (_what, location, words) => {
    const { url } = await serve(bench, (_request, response) =>
      response.writeHead(302, location === undefined ? {} : { location }).end(),
    );
    await expect(connect(bench, url)).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
      message: expect.stringMatching(words),
    });
  });

  it('gives user and password to the server of the URL, and to no other', async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve(bench, (request, response) => {
      seen.push(request.headers.authorization);
      answer(request, response);
    });
    const { url } = await serve(bench, (request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(307, { location: other.url }).end();
    });
    const source = await connect(bench, url.replace('://', '://anna:p%40ss@'));
    expect(seen.slice(0, 2)).toEqual([`Basic ${Buffer.from('anna:p@ss').toString('base64')}`, undefined]);
    expect(source.uri).toBe(url);
  });
});
