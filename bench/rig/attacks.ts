// What somebody on the network may do to the interface: each attack goes on, with new connections for those that were
// cut, until it is ended. Used by the benchmark and by the tests.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface AttackTarget {
  readonly port: number;
  /** Of a viewer, and of the agent of `host`: what has been stolen. */
  readonly viewer: string;
  readonly agent: string;
  readonly host: string;
  /** Connections at the same time. */
  readonly connections: number;
}

export interface Attack {
  /** Connections that were made, and answers that were seen to begin, by status. */
  readonly made: () => number;
  readonly answers: ReadonlyMap<string, number>;
  end(): void;
}

/** What one connection does: writes at the start, and again when it is told to. */
interface Conduct {
  readonly begin: (socket: Socket) => void;
  /** After each piece of an answer. */
  readonly answered?: (socket: Socket) => void;
  /** Every so often. */
  readonly goOn?: (socket: Socket) => void;
  readonly reads?: boolean;
}

const GO_ON_MS = 1000;
/** One that is refused at once tries again a little later, as fast as a kernel would let it. */
const AGAIN_MS = 5;

export const attackNames = [
  'slow headers',
  'keep-alive',
  'no token',
  'wrong tokens',
  'giant bodies',
  'reports',
  'event streams',
] as const;
export type AttackName = (typeof attackNames)[number];

export function attack(name: AttackName, target: AttackTarget): Attack {
  return run(target, CONDUCTS[name](target));
}

const CONDUCTS: Readonly<Record<AttackName, (target: AttackTarget) => Conduct>> = {
  'slow headers': () => ({
    begin: (socket) => void socket.write('GET /v1/status HTTP/'),
    goOn: (socket) => void socket.write(socket.bytesWritten < 21 ? '1.1\r\nX-Slow: ' : 'x'),
  }),
  'keep-alive': () => repeating(() => 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n'),
  'no token': () => repeating(() => 'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n'),
  'wrong tokens': () => repeating(() => requestWith(randomBytes(32).toString('base64url'))),
  'giant bodies': ({ agent, host }) => {
    const piece = Buffer.alloc(64 * 1024, 'x');
    const pour = (socket: Socket): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    let odd = false;
    return {
      begin: (socket) => {
        odd = !odd;
        const whose = odd ? agent : 'nobody-0123456789abcdef';
        const length = odd ? 'Transfer-Encoding: chunked\r\n\r\nffffffff' : `Content-Length: ${2 ** 40}\r\n`;
        socket.on('drain', () => pour(socket));
        socket.write(`POST /v1/agents/${host}/reports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${whose}\r\n`);
        socket.write(`Content-Type: application/json\r\n${length}\r\n`);
        pour(socket);
      },
    };
  },
  reports: ({ agent, host }) => {
    let number = 0;
    return repeating(() => reportWith(agent, host, ++number));
  },
  'event streams': ({ viewer }) => ({
    begin: (socket) => void socket.write(requestWith(viewer, '/v1/events?after=0')),
    reads: false,
  }),
};

function requestWith(token: string, path = '/v1/status'): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
}

/** A request, and the next one after the answer. */
function repeating(next: () => string): Conduct {
  return { begin: (socket) => void socket.write(next()), answered: (socket) => void socket.write(next()) };
}

/** Another verdict and another start of the agent each time, with as much evidence as is taken. */
export function reportOf(host: string, number: number): object {
  const values = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`${i}`.padEnd(100, 'n'), 'v'.repeat(200)]));
  const now = new Date().toISOString();
  return {
    ...{ boot: randomBytes(16).toString('hex'), sequence: 1, sentAt: now, host, since: now, ageMs: 0 },
    verdict: number % 2 === 0 ? 'degraded' : 'healthy',
    evidence: Array.from({ length: 8 }, (_, fact) => ({ text: `${fact}`.padEnd(500, 'x'), values })),
    ...{ score: 1, lacksCapacity: number % 2 === 0, outside: null, signals: {}, changes: [], dropped: 0 },
  };
}

function reportWith(token: string, host: string, number: number): string {
  const body = JSON.stringify(reportOf(host, number));
  const head = `POST /v1/agents/${host}/reports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`;
  return `${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function run({ port, connections }: AttackTarget, conduct: Conduct): Attack {
  const sockets = new Set<Socket>();
  const answers = new Map<string, number>();
  let made = 0;
  let over = false;
  const open = (): void => {
    if (over) return;
    const socket = connect({ port, host: '127.0.0.1' });
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('connect', () => {
      made += 1;
      conduct.begin(socket);
    });
    if (conduct.reads === false) socket.pause();
    else {
      socket.on('data', (chunk: Buffer) => {
        const status = /^HTTP\/1\.1 (\d{3})/.exec(chunk.toString('latin1', 0, 12))?.[1];
        if (status !== undefined) answers.set(status, (answers.get(status) ?? 0) + 1);
        if (status !== undefined && socket.writable) conduct.answered?.(socket);
      });
    }
    socket.on('close', () => {
      sockets.delete(socket);
      setTimeout(open, AGAIN_MS);
    });
  };
  for (let index = 0; index < connections; index += 1) open();
  const timer = setInterval(() => {
    for (const socket of sockets) if (socket.writable && !socket.connecting) conduct.goOn?.(socket);
  }, GO_ON_MS);
  return {
    made: () => made,
    answers,
    end: () => {
      over = true;
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
    },
  };
}
