// A web server on loopback for the folder of a test: ranges, a certificate that it signed itself, basic authentication.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SourceBench } from './source-bench.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Paths under /whole are served without ranges. Closed with the bench, if not before. */
export async function serveFolder(
  bench: SourceBench,
  scheme: 'http' | 'https',
  credentials: Credentials | null = null,
): Promise<{ url: string; close(): Promise<void> }> {
  function handle(request: IncomingMessage, response: ServerResponse): void {
    if (credentials !== null && !allows(credentials, request)) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="images"' }).end();
      return;
    }
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const whole = pathname.startsWith('/whole/');
    serveFile(request, response, bench.path(whole ? pathname.slice('/whole/'.length) : pathname), !whole);
  }
  const server = scheme === 'https' ? createTlsServer(selfSigned(bench), handle) : createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  async function close(): Promise<void> {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  }
  bench.later(close);
  return { url: `${scheme}://127.0.0.1:${port}`, close };
}

function selfSigned(bench: SourceBench): { key: Buffer; cert: Buffer } {
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', 'key.pem', '-out', 'cert.pem'];
  bench.run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names, ...files);
  return { key: readFileSync(bench.path('key.pem')), cert: readFileSync(bench.path('cert.pem')) };
}

function allows({ user, password }: Credentials, request: IncomingMessage): boolean {
  return request.headers.authorization === `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function serveFile(request: IncomingMessage, response: ServerResponse, path: string, ranges: boolean): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    response.writeHead(404).end();
    return;
  }
  const { size, mtimeMs, ino } = stats;
  const range = ranges ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') : null;
  const start = Number(range?.[1] ?? 0);
  const end = Math.min(Number(range?.[2] || size - 1), size - 1);
  response.writeHead(range === null ? 200 : 206, {
    'content-length': end - start + 1,
    // As every server of files: without a strong validator nobody may put ranges together.
    etag: `"${ino}-${mtimeMs}-${size}"`,
    ...(ranges ? { 'accept-ranges': 'bytes' } : {}),
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
  });
  if (request.method === 'HEAD') response.end();
  else createReadStream(path, { start, end }).pipe(response);
}
