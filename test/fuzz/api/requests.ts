// Requests in bytes: what a good client sends, and everything that another can. Each follows from the seed and its
// number alone.
import { type Random, seededRandom } from '../../../src/base/mod.ts';
import { damaged, damagedText, made, NOBODY, pick, type Schema, type Schemas } from './shapes.ts';

/** A route as the description tells it. */
export interface Route {
  readonly method: string;
  /** With its parameters: /v1/agents/{host}/reports. */
  readonly path: string;
  readonly access: 'none' | 'viewer' | 'operator' | 'agent';
  readonly body: Schema | null;
  /** Parameters behind the "?". */
  readonly query: readonly { readonly name: string; readonly schema: Schema }[];
}

export interface Table {
  readonly routes: readonly Route[];
  readonly schemas: Schemas;
  readonly tokens: { readonly viewer: string; readonly operator: string; readonly agent: string };
  /** Whose agent has the token. */
  readonly host: string;
}

export interface Sent {
  /** In the pieces in which they are written. */
  readonly pieces: readonly Buffer[];
  /** Requests in them. */
  readonly count: number;
  /**
   * Of what is sent whole, and nothing is wrong with its form: it has to be answered, and not with a refusal of its
   * form.
   */
  readonly good: boolean;
  /** Its form as HTTP is right: every request has to be answered. */
  readonly framed: boolean;
  /** HEAD: the answer has no body, whatever its headers say. */
  readonly bodiless: boolean;
  /** For messages. */
  readonly what: string;
}

interface Message {
  readonly line: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export function requestOf(table: Table, index: number, seed: number): Sent {
  const random = seededRandom(Math.imul(seed + 1, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b));
  const route = routeOf(table, random);
  const good = random.below(7) === 0;
  const message = good ? goodMessage(route, table, random) : typed(mischief(route, table, random), random);
  const what = `${message.line.slice(0, 120)} (${message.body.length} bytes)`;
  const bytes = bytesOf(message);
  const bodiless = message.line.startsWith('HEAD ');
  if (good) return { pieces: [bytes], count: 1, good, framed: true, bodiless, what };
  const kind = random.below(20);
  if (kind < 12) return { pieces: cut(bytes, random), count: 1, good, framed: true, bodiless, what };
  if (kind < 15) return pipelined(route, table, random);
  return { ...broken(message, random), bodiless, what: `broken framing of ${what}` };
}

/** One that starts a process to read a disk takes as long as a hundred others: it comes an eighth as often. */
function routeOf({ routes }: Table, random: Random): Route {
  const route = pick(routes, random);
  return route.path.endsWith('/inspection') && random.below(8) > 0 ? pick(routes, random) : route;
}

function bytesOf({ line, headers, body }: Message): Buffer {
  const lines = [line, 'Host: 127.0.0.1', ...headers];
  if (body.length > 0) lines.push(`Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

/** With parameters in their place. Real names only where nothing is ordered. */
function pathOf({ path, method, access }: Route, { host }: Table, random: Random): string {
  const real = access === 'agent' || method === 'GET';
  return path.replaceAll(/\{[a-z]+\}/g, () => (real && random.below(3) > 0 ? host : pick(NOBODY.slice(0, 4), random)));
}

/** Each parameter in half of the requests. */
function queryOf({ query }: Route, { schemas }: Table, random: Random): string {
  const given = query.filter(() => random.below(2) === 0);
  const words = given.map(({ name, schema }) => `${name}=${encodeURIComponent(String(made(schema, schemas, random)))}`);
  return words.length === 0 ? '' : `?${words.join('&')}`;
}

function bodyOf(route: Route, table: Table, random: Random): unknown {
  const value = made(route.body ?? {}, table.schemas, random);
  // The report of a host names it.
  if (route.access === 'agent' && typeof value === 'object') return { ...value, host: table.host };
  return value;
}

function goodMessage(route: Route, table: Table, random: Random): Message {
  const named = {
    ...route,
    path: route.access === 'agent' ? route.path.replace(/\{[a-z]+\}/, table.host) : route.path,
  };
  return {
    line: `${route.method} ${pathOf(named, table, random)}${queryOf(route, table, random)} HTTP/1.1`,
    headers: [...rightToken(route, table), ...(route.body === null ? [] : ['Content-Type: application/json'])],
    body: route.body === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify(bodyOf(route, table, random))),
  };
}

function rightToken({ access }: Route, { tokens }: Table): string[] {
  return access === 'none' ? [] : [`Authorization: Bearer ${tokens[access]}`];
}

/** The form of HTTP is right, and something else is not. */
function mischief(route: Route, table: Table, random: Random): Message {
  const method = random.below(6) === 0 ? pick(METHODS, random) : route.method;
  const path =
    random.below(4) === 0
      ? strangePath(route, table, random)
      : `${pathOf(route, table, random)}${queryOf(route, table, random)}`;
  const token = random.below(5) === 0 ? strangeToken(table, random) : rightToken(route, table);
  return {
    line: `${method} ${path} HTTP/${random.below(30) === 0 ? '1.0' : '1.1'}`,
    headers: [...token, ...strangeHeaders(random)],
    body: strangeBody(route, table, random),
  };
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE', 'QUERY'];

const SEGMENTS = [
  '..',
  '.',
  '',
  '%2e%2e%2f',
  '%00',
  '%ff',
  '%zz',
  '%',
  '__proto__',
  'constructor',
  'toString',
  'a%0d%0ab',
  'x'.repeat(300),
  'x'.repeat(9000),
  '%E0%A4%A',
  ':name',
  '*',
  '{host}',
  'web1%20',
  'web1;a=b',
  '\u00fc',
];
const QUERIES = [
  '?limit=-1',
  '?limit=1e99',
  '?limit=0x10',
  '?limit=1&limit=2',
  '?limit[]=1',
  '?__proto__[a]=1',
  '?after=99999999999999999999',
  '?after=-1',
  '?=&&&',
  `?${'a=1&'.repeat(500)}`,
  '?%',
  '#x',
  '?toString=1',
];

function strangePath(route: Route, table: Table, random: Random): string {
  const path = pathOf(route, table, random);
  switch (random.below(6)) {
    case 0:
      return `${path}${pick(QUERIES, random)}`;
    case 1:
      return `${path}/${pick(SEGMENTS, random)}`;
    case 2:
      return pick(['*', '/', '//', `http://other${path}`, '/v1', `${path}/`, path.toUpperCase(), `/.${path}`], random);
    default: {
      const parts = path.split('/');
      parts[1 + random.below(parts.length - 1)] = pick(SEGMENTS, random);
      return parts.join('/');
    }
  }
}

function strangeToken({ tokens, host }: Table, random: Random): string[] {
  const known = pick(Object.values(tokens), random);
  return pick(
    [
      [],
      [`Authorization: Bearer ${known}`],
      [`Authorization: Bearer ${known}x`],
      [`Authorization: Bearer ${known.slice(0, -1)}`],
      [`Authorization: Basic ${Buffer.from(`${host}:${known}`).toString('base64')}`],
      [`Authorization: Bearer ${'a'.repeat(7000)}`],
      ['Authorization: Bearer __proto__'],
      [`Authorization: ${known}`],
      [`Authorization: Bearer ${known}`, `Authorization: Bearer ${'0'.repeat(64)}`],
      [`authorization:bearer  ${known}`],
    ],
    random,
  );
}

const HEADERS = [
  'Connection: close',
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Expect: something-else',
  'Accept: text/html',
  'Accept-Encoding: gzip, br',
  'Accept-Version: 1.x',
  'If-None-Match: *',
  'Range: bytes=0-',
  'Last-Event-ID: -1',
  'Last-Event-ID: 9007199254740993',
  'Last-Event-ID: toString',
  'X-HTTP-Method-Override: DELETE',
  'X-Forwarded-For: 127.0.0.1',
  'X-Original-URL: /v1/status',
  'Origin: null',
  '__proto__: x',
  'constructor: x',
  'Cookie: a=b',
  'Content-Encoding: gzip',
  'Transfer-Encoding: identity',
  `X-Long: ${'y'.repeat(3000)}`,
];

function strangeHeaders(random: Random): string[] {
  const headers = Array.from({ length: random.below(4) }, () => pick(HEADERS, random));
  // Node.js takes two thousand, and 16 KiB of them.
  if (random.below(40) === 0) for (let n = 0; n < pick([100, 800], random); n += 1) headers.push(`a${n}: b`);
  return headers;
}

const TYPES = [
  'text/plain',
  'application/json; charset=utf-7',
  'application/json\tgarbage',
  'application/json garbage',
  'application/jsonx',
  'multipart/form-data; boundary=a',
  'application/x-www-form-urlencoded',
  'application/octet-stream',
  '__proto__',
  ';',
];

function strangeBody(route: Route, table: Table, random: Random): Buffer {
  if (route.body === null && random.below(10) > 0) return Buffer.alloc(0);
  const value = bodyOf(route, table, random);
  // Once in ten it is right: something else is wrong.
  let other = value;
  if (random.below(10) > 0) for (let times = 1 + random.below(3); times > 0; times -= 1) other = damaged(other, random);
  const text = JSON.stringify(other) ?? 'null';
  return random.below(4) === 0 ? damagedText(text, random) : Buffer.from(text);
}

/** With a type, mostly the right one. */
function typed(message: Message, random: Random): Message {
  if (message.body.length === 0) return message;
  const type = random.below(8) === 0 ? pick(TYPES, random) : 'application/json';
  return { ...message, headers: [...message.headers, `Content-Type: ${type}`] };
}

function cut(bytes: Buffer, random: Random): Buffer[] {
  if (random.below(4) > 0) return [bytes];
  const places = Array.from({ length: 1 + random.below(4) }, () => random.below(bytes.length + 1)).sort(
    (a, b) => a - b,
  );
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}

const PIPELINED_MAX = 20;

function pipelined(route: Route, table: Table, random: Random): Sent {
  const count = 2 + random.below(PIPELINED_MAX - 1);
  const messages = Array.from({ length: count }, () => {
    const one = random.below(3) === 0 ? route : routeOf(table, random);
    const message =
      random.below(3) === 0 ? goodMessage(one, table, random) : typed(mischief(one, table, random), random);
    // Where answers have no body, nobody could tell where the next one begins.
    return { ...message, line: message.line.replace(/^HEAD /, 'GET ') };
  });
  const what = `${count} in a row, from ${messages[0]?.line.slice(0, 80)}`;
  return {
    pieces: cut(Buffer.concat(messages.map(bytesOf)), random),
    count,
    good: false,
    framed: false,
    bodiless: false,
    what,
  };
}

/** What is not HTTP, or not quite. */
function broken(message: Message, random: Random): Omit<Sent, 'what' | 'bodiless'> {
  const { line, headers, body } = message;
  const some = body.length > 0 ? body : Buffer.from('{"a":1}');
  const head = (...more: readonly string[]): Buffer =>
    Buffer.from(`${[line, 'Host: 127.0.0.1', ...headers, ...more].join('\r\n')}\r\n\r\n`, 'latin1');
  const chunk = (size: string): Buffer =>
    Buffer.concat([Buffer.from(`${size}\r\n`), some, Buffer.from('\r\n0\r\n\r\n')]);
  const size = some.length.toString(16);
  const whole = bytesOf(message);
  const makers: readonly (() => Buffer)[] = [
    () => whole.subarray(0, random.below(whole.length)),
    () => Buffer.concat([head(`Content-Length: ${some.length + 1 + random.below(99)}`), some]),
    () => Buffer.concat([head(`Content-Length: ${random.below(some.length)}`), some]),
    () =>
      Buffer.concat([head(pick(['Content-Length: -1', 'Content-Length: 1e3', 'Content-Length: 0x10'], random)), some]),
    () => Buffer.concat([head(`Content-Length: ${'9'.repeat(30)}`), some]),
    () => Buffer.concat([head('Content-Length: 1', `Content-Length: ${some.length}`), some]),
    () => Buffer.concat([head('Transfer-Encoding: chunked', `Content-Length: ${some.length}`), chunk(size)]),
    () =>
      Buffer.concat([
        head('Transfer-Encoding: chunked'),
        chunk(pick([size, `${size};a=b`, 'zz', '-1', 'f'.repeat(17)], random)),
      ]),
    () =>
      Buffer.concat([
        head(pick(['Transfer-Encoding: xchunked', 'Transfer-Encoding: chunked, gzip'], random)),
        chunk(size),
      ]),
    () => Buffer.from(whole.toString('latin1').replaceAll('\r\n', pick(['\n', '\r', '\n\r'], random)), 'latin1'),
    () =>
      Buffer.from(
        whole.toString('latin1').replace(/HTTP\/1\.[01]/, pick(['HTTP/2.0', 'HTTP/9', 'http/1.1', ''], random)),
        'latin1',
      ),
    () => Buffer.concat([head('no colon in this line', ' folded', 'a b: c', ': empty', 'n\u0000l: x'), some]),
    () => Buffer.from(`GET ${'/x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`),
    () => Buffer.from(`${line}\r\n${Array.from({ length: 3000 }, (_, n) => `h${n}: v`).join('\r\n')}\r\n\r\n`),
    () => Buffer.from(`${line}\r\nHost: a\r\nHost: b\r\n\r\n`),
    () => Buffer.from(`${line}\r\n\r\n`),
    () => Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u0000\u0000\u0000\u0004'),
    () => Buffer.from([0x16, 0x03, 0x01, 0x00, 0xa5, 0x01, 0x00, 0x00, 0xa1, 0x03, 0x03]),
    () => Buffer.from(`CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\nSSH-2.0-x\r\n`),
    () => Buffer.from(`brew ${line}\r\nHost: a\r\n\r\n`),
    () => Buffer.from(Array.from({ length: 1 + random.below(400) }, () => random.below(256))),
    () => Buffer.from(`\r\n\r\n\r\n${line}\r\nHost: a\r\n\r\n`),
  ];
  return { pieces: cut(pick(makers, random)(), random), count: 1, good: false, framed: false };
}
