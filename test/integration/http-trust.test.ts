// Whom an https source trusts, and the ways through proxies: real certificates made by openssl, a proxy of the test's own.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpSource } from '../../src/replication/source/http/mod.ts';
import { imageBytes, SourceBench } from '../support/source-bench.ts';

const content = imageBytes();

let bench: SourceBench;
const environment = { ...process.env };
beforeEach(() => {
  bench = new SourceBench();
});
afterEach(async () => {
  process.env = { ...environment };
  await bench.clear();
});

/** An authority, and a certificate that it signs; files NAME.key and NAME.pem. */
function authority(name: string): void {
  const options = ['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE'];
  bench.run(
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    ...options,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
  );
}

function certify(name: string, by: string, subjectAltName: string, ...days: readonly string[]): void {
  writeFileSync(bench.path('ext'), `subjectAltName=${subjectAltName}\n`);
  bench.run(
    'openssl',
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=server',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
  );
  const signer = ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial', '-extfile', 'ext'];
  bench.run('openssl', 'x509', '-req', '-in', `${name}.csr`, ...signer, '-out', `${name}.pem`, ...days);
}

async function listen(server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  bench.later(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

async function serveTls(name: string): Promise<string> {
  const options = { key: readFileSync(bench.path(`${name}.key`)), cert: readFileSync(bench.path(`${name}.pem`)) };
  const port = await listen(createTlsServer(options, (_request, response) => response.end(content)));
  return `https://127.0.0.1:${port}/disk.img`;
}

async function read(url: string, options: { insecure?: boolean; cacert?: string } = {}): Promise<number> {
  const source = await HttpSource.connect({ url: new URL(url), uri: url, timeoutMs: 5000, ...options });
  try {
    let bytes = 0;
    for await (const part of source.open()) bytes += part.byteLength;
    return bytes;
  } finally {
    await source.close();
  }
}

describe('http trust - certificates', () => {
  it('are those of the system, of --cacert, of SSL_CERT_FILE and of NODE_EXTRA_CA_CERTS', async () => {
    authority('own');
    certify('server', 'own', 'IP:127.0.0.1', '-days', '2');
    const url = await serveTls('server');
    const refused = {
      code: 'SOURCE_UNREADABLE',
      message: expect.stringMatching(/^https:.*certificate.*does not know.*--cacert FILE.*--insecure/),
    };
    await expect(read(url)).rejects.toMatchObject(refused);
    expect(await read(url, { cacert: bench.path('own.pem') })).toBe(content.length);
    expect(await read(url, { insecure: true })).toBe(content.length);
    process.env.NODE_EXTRA_CA_CERTS = bench.path('own.pem');
    expect(await read(url)).toBe(content.length);
    delete process.env.NODE_EXTRA_CA_CERTS;
    process.env.SSL_CERT_FILE = bench.path('own.pem');
    expect(await read(url)).toBe(content.length);
    authority('other');
    delete process.env.SSL_CERT_FILE;
    await expect(read(url, { cacert: bench.path('other.pem') })).rejects.toMatchObject({ code: 'SOURCE_UNREADABLE' });
  });

  it.each<[string, string, readonly string[], RegExp]>([
    ['for another name', 'DNS:other.example.org', ['-days', '2'], /is for another name/],
    [
      'that has expired',
      'IP:127.0.0.1',
      ['-not_before', '20200101000000Z', '-not_after', '20200201000000Z'],
      /has expired/,
    ],
  ])('%s are refused', async (_what, name, days, words) => {
    authority('own');
    // openssl(1) of Debian 12 cannot date a request back; its certificate authority can.
    if (days[0] === '-days') certify('server', 'own', name, ...days);
    else certifyDated('server', 'own', name, days);
    const url = await serveTls('server');
    const error = { code: 'SOURCE_UNREADABLE', message: expect.stringMatching(words) };
    await expect(read(url, { cacert: bench.path('own.pem') })).rejects.toMatchObject(error);
  });

  it('USAGE for a file that cannot be read or holds none', async () => {
    const url = 'https://127.0.0.1:1/disk.img';
    await expect(read(url, { cacert: bench.path('missing') })).rejects.toMatchObject({ code: 'USAGE' });
    bench.write('text', 'not a certificate');
    const error = { code: 'USAGE', message: expect.stringMatching(/text holds no certificate/) };
    await expect(read(url, { cacert: bench.path('text') })).rejects.toMatchObject(error);
  });

  it('a server without TLS is told of as that, and https does not lead to http', async () => {
    const port = await listen(createServer((_request, response) => response.end(content)));
    const error = { code: 'SOURCE_UNAVAILABLE', message: expect.stringMatching(/TLS/) };
    await expect(read(`https://127.0.0.1:${port}/disk.img`)).rejects.toMatchObject(error);
    authority('own');
    certify('server', 'own', 'IP:127.0.0.1', '-days', '2');
    const options = { key: readFileSync(bench.path('server.key')), cert: readFileSync(bench.path('server.pem')) };
    const down = createTlsServer(options, (_request, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${port}/disk.img` }).end();
    });
    const url = `https://127.0.0.1:${await listen(down)}/disk.img`;
    const refused = { code: 'SOURCE_UNREADABLE', message: expect.stringMatching(/redirects from https to http:/) };
    await expect(read(url, { cacert: bench.path('own.pem') })).rejects.toMatchObject(refused);
  });
});

function certifyDated(name: string, by: string, subjectAltName: string, days: readonly string[]): void {
  writeFileSync(bench.path('ext'), `subjectAltName=${subjectAltName}\n`);
  writeFileSync(bench.path('index'), '');
  writeFileSync(
    bench.path('ca.conf'),
    '[ca]\ndefault_ca=own\n[own]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n',
  );
  bench.run(
    'openssl',
    'req',
    '-new',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=server',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
  );
  const dates = ['-startdate', days[1] ?? '', '-enddate', days[3] ?? ''];
  const signer = ['-config', 'ca.conf', '-cert', `${by}.pem`, '-keyfile', `${by}.key`, '-extfile', 'ext'];
  bench.run('openssl', 'ca', '-batch', ...signer, ...dates, '-in', `${name}.csr`, '-out', `${name}.pem`, '-notext');
}

describe('http trust - proxies', () => {
  /** Passes requests on and tunnels; `seen` has the targets. Wants the password "secret" where told so. */
  async function serveProxy(seen: string[], locked = false): Promise<string> {
    const allowed = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    const proxy = createServer((request, response) => {
      seen.push(request.url ?? '');
      if (locked && request.headers['proxy-authorization'] !== allowed) {
        response.writeHead(407).end();
        return;
      }
      const onward = httpRequest(request.url ?? '', { headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      onward.end();
    });
    proxy.on('connect', (request, socket) => {
      seen.push(`CONNECT ${request.url}`);
      const [host, port] = (request.url ?? '').split(':');
      const onward = connectTcp(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        onward.pipe(socket).pipe(onward);
      });
      onward.on('error', () => socket.destroy());
      socket.on('error', () => onward.destroy());
    });
    return `127.0.0.1:${await listen(proxy)}`;
  }

  it.each(['http_proxy', 'HTTP_PROXY'])('%s is asked for http, but not for what no_proxy names', async (variable) => {
    const seen: string[] = [];
    process.env[variable] = `http://${await serveProxy(seen)}`;
    const url = `http://127.0.0.1:${await listen(createServer((_request, response) => response.end(content)))}/disk.img`;
    expect(await read(url)).toBe(content.length);
    expect(seen).toEqual([url]);
    process.env.no_proxy = '127.0.0.1';
    expect(await read(url)).toBe(content.length);
    expect(seen.length).toBe(1);
  });

  it('https_proxy tunnels, and the certificate is still that of the server', async () => {
    const seen: string[] = [];
    process.env.https_proxy = `http://${await serveProxy(seen)}`;
    authority('own');
    certify('server', 'own', 'IP:127.0.0.1', '-days', '2');
    const url = await serveTls('server');
    expect(await read(url, { cacert: bench.path('own.pem') })).toBe(content.length);
    expect(seen).toEqual([`CONNECT ${new URL(url).host}`]);
    await expect(read(url)).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
      message: expect.stringMatching(/certificate/),
    });
  });

  it('a proxy that wants a password is told of as that, and gets it', async () => {
    const seen: string[] = [];
    const proxy = await serveProxy(seen, true);
    const url = `http://127.0.0.1:${await listen(createServer((_request, response) => response.end(content)))}/disk.img`;
    process.env.http_proxy = `http://${proxy}`;
    await expect(read(url)).rejects.toMatchObject({
      code: 'SOURCE_UNREADABLE',
      message: expect.stringMatching(/proxy/),
    });
    process.env.http_proxy = `http://me:secret@${proxy}`;
    expect(await read(url)).toBe(content.length);
  });
});
