// An HTTP server of a test: it says who it is, counts what it is asked, and can be slow or dead. Its port is its own until the
// end, also while it is dead.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** Asked for by load balancers' checks; not counted. */
export const CHECK_HOST = 'wiki.example.org';

export interface Asked {
  readonly method: string;
  readonly path: string;
}

export class WebServer {
  readonly name: string;
  readonly address = '127.0.0.1';
  /** Every request, in the order of arrival, checks left out. */
  readonly asked: Asked[] = [];
  checks = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #held = new Set<ServerResponse>();
  #port = 0;
  #dead = false;

  private constructor(name: string) {
    this.name = name;
    this.#server = createServer((request, response) => this.#answer(request, response));
    // Longer than any test waits: a connection must not be closed under a request by chance.
    this.#server.keepAliveTimeout = 600_000;
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      if (this.#dead) socket.destroy();
    });
  }

  static async start(name: string): Promise<WebServer> {
    const web = new WebServer(name);
    await new Promise<void>((listening, failed) => {
      web.#server.once('error', failed);
      web.#server.listen(0, web.address, listening);
    });
    web.#port = (web.#server.address() as AddressInfo).port;
    return web;
  }

  get port(): number {
    return this.#port;
  }

  /** Dead: every connection, old and new, is cut at once. */
  set dead(dead: boolean) {
    this.#dead = dead;
    if (dead) for (const socket of this.#sockets) socket.destroy();
  }

  askedBy(method: string): number {
    return this.asked.filter((asked) => asked.method === method).length;
  }

  /** Ends the answers that "/held" has begun. */
  release(): void {
    for (const response of this.#held) response.end('end\n');
    this.#held.clear();
  }

  async stop(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    if (request.headers.host === CHECK_HOST) {
      this.checks += 1;
      response.end();
      return;
    }
    const path = request.url ?? '/';
    this.asked.push({ method: request.method ?? '', path });
    response.setHeader('X-Server', this.name);
    if (path === '/held') {
      response.write('begin\n');
      this.#held.add(response);
      return;
    }
    if (path === '/cut') {
      request.socket.destroy();
      return;
    }
    response.statusCode = path === '/error' ? 500 : 200;
    response.end(`${this.name}\n`);
  }
}
