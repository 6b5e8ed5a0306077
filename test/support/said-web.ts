// Servers whose answers a test writes itself, and a source that reads from them with short time-outs.
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { HttpSource } from '../../src/replication/source/http/mod.ts';
import { imageBytes, type SourceBench } from './source-bench.ts';

export const content = imageBytes();
export const ETAG = '"a-moment"';
const TIMEOUT_MS = 400;

export interface Seen {
  readonly url: string;
  /** The range of each request, '' for none. */
  readonly ranges: string[];
}

/** A server whose answers the test writes itself. */
export async function serve(bench: SourceBench, handle: RequestListener): Promise<Seen> {
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
export async function serveBytes(
  bench: SourceBench,
  handle: (socket: Socket, request: number) => void,
): Promise<string> {
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

export async function connect(bench: SourceBench, url: string): Promise<HttpSource> {
  const retry = { retriesMax: 5, delayMs: 5, random: () => 0.5 };
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  const source = await HttpSource.connect({ url: new URL(url), uri: parsed.href, timeoutMs: TIMEOUT_MS, retry });
  bench.later(() => source.close());
  return source;
}

export async function readAll(source: HttpSource): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source.open()) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

interface Range {
  readonly start: number;
  readonly end: number;
}

export function rangeOf(request: IncomingMessage, size = content.length): Range | null {
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  return match === null ? null : { start: Number(match[1]), end: Math.min(Number(match[2]), size - 1) };
}

/** What a good server answers. */
export function answer(request: IncomingMessage, response: ServerResponse, etag = ETAG, bytes = content): void {
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
