// The program of a host in a test's network (network-station.ts starts it there): an HTTP server whose answers are chosen by the
// path, and ports that misbehave below HTTP. Says "ready" when all of them listen.
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { STATION_PORTS } from './network-station.ts';

const [name = ''] = process.argv.slice(2);
/** More than any reader takes. */
const LARGE_BYTES = 3 * 1024 * 1024;

const answers: Readonly<Record<string, (response: ServerResponse) => void>> = {
  '/ok': (response) => response.end(`this is ${name}, and all is well\n`),
  '/empty': (response) => response.writeHead(204).end(),
  '/moved': (response) => response.writeHead(302, { Location: 'http://192.0.2.1/' }).end(),
  '/error': (response) => response.writeHead(500).end('something is wrong\n'),
  '/missing': (response) => response.writeHead(404).end(),
  '/hang': () => {},
  '/large': (response) => response.end(Buffer.alloc(LARGE_BYTES, 'x')),
  '/endless': (response) => pour(response),
  '/trickle': (response) => {
    const drip = setInterval(() => response.write('drop '), 20);
    response.on('close', () => clearInterval(drip));
  },
  '/divided': (response) => {
    response.write('all is ');
    setTimeout(() => response.end('well'), 100);
  },
  '/cut': (response) => {
    response.writeHead(200, { 'Content-Length': 1000 });
    response.write('half');
    setTimeout(() => response.destroy(), 100);
  },
};

/** As fast as it is read, without an end. */
function pour(response: ServerResponse): void {
  while (response.write(Buffer.alloc(65_536, 'y')));
  response.once('drain', () => pour(response));
}

const web = createServer((request, response) => {
  (answers[request.url ?? ''] ?? answers['/missing'])?.(response);
});

function tcp(greet: (peer: Socket) => void) {
  return createTcpServer((peer) => {
    // A prober that hangs up in the middle is what is tested.
    peer.on('error', () => peer.destroy());
    peer.resume();
    greet(peer);
  });
}

const servers = [
  [web, STATION_PORTS.web],
  [tcp(() => {}), STATION_PORTS.silent],
  [tcp((peer) => peer.end('no HTTP at all\r\n\r\n')), STATION_PORTS.nonsense],
  [tcp((peer) => peer.destroy()), STATION_PORTS.closing],
  [tcp((peer) => peer.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1 << 20)}\r\n\r\n`)), STATION_PORTS.bigHead],
] as const;

for (const [server, port] of servers) await new Promise<void>((listening) => server.listen(port, '0.0.0.0', listening));
process.send?.('ready');
process.on('disconnect', () => process.exit());
