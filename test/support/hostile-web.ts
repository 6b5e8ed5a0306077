// A web server on loopback that keeps to a plan of mischief: it drops, lies, stalls, redirects, swaps the file, cuts it off
// and sends garbage, each at a request and a place that the plan names.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

/** What one request meets. `at`: which part of its body comes first, 0 to 1. */
export interface Mischief {
  readonly kind: MischiefKind;
  /** Counted from 0, over the life of the server. */
  readonly request: number;
  readonly at: number;
}

export const MISCHIEFS = [
  'drop',
  'reset',
  'stall',
  'silence',
  'dribble',
  'busy',
  'broken',
  'garbled head',
  'garbled chunk',
  'garbled body',
  'longer',
  'other range',
  'other total',
  'other unit',
  'range in part',
  'whole for range',
  'unsatisfiable',
  'swap',
  'swap unseen',
  'gone',
  'forbidden',
  'page',
  'nothing',
  'redirect',
  'redirect for ever',
  'no validator',
] as const;

export type MischiefKind = (typeof MISCHIEFS)[number];

export interface HostilePlan {
  /** `lied`: announced and not given. */
  readonly ranges: 'given' | 'none' | 'lied';
  readonly validator: 'strong' | 'weak' | 'time' | 'none';
  /** Of whole answers: how they say where they end. */
  readonly framing: 'length' | 'chunks' | 'close';
  /** Sends it compressed, and says so. */
  readonly coded: boolean;
  /** A second whole answer is refused. */
  readonly once: boolean;
  readonly mischief: readonly Mischief[];
}

export interface HostileServer {
  readonly url: string;
  /** The mischief that was really done. */
  readonly done: ReadonlySet<MischiefKind>;
  readonly requests: number;
  close(): Promise<void>;
}

const PAGE = '<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body></body></html>\n';
const CHUNK_BYTES = 64 * 1024;
const LAST_MODIFIED = 'Mon, 02 Mar 2020 10:00:00 GMT';

interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
  framing: HostilePlan['framing'];
}

/** What changes while the server runs. */
interface State {
  content: Buffer;
  moment: number;
  /** Whole answers so far. */
  wholes: number;
}

export async function startHostile(plan: HostilePlan, first: Buffer, second: Buffer): Promise<HostileServer> {
  const done = new Set<MischiefKind>();
  let requests = 0;
  const state: State = { content: first, moment: 1, wholes: 0 };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const mischief = plan.mischief.find((one) => one.request === requests);
    requests += 1;
    if (mischief?.kind === 'swap' || mischief?.kind === 'swap unseen') {
      state.content = second;
      if (mischief.kind === 'swap') state.moment += 1;
      done.add(mischief.kind);
    }
    const asked = replyTo(request, plan, state);
    const reply = mischief === undefined ? asked : disturb(asked, mischief, request, response, state.content);
    if (mischief !== undefined) done.add(mischief.kind);
    if (reply !== null) await send(response, reply, mischief);
  }

  const server = createServer((request, response) => {
    // Whom it was meant for has gone: that is what this server is for.
    response.on('error', () => response.destroy());
    void handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    done,
    get requests() {
      return requests;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a server of this plan answers where it does no mischief. */
function replyTo(request: IncomingMessage, plan: HostilePlan, state: State): Reply {
  const { content, moment } = state;
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  const headers: Record<string, string> = { 'content-type': 'application/octet-stream' };
  const tag = `"moment-${moment}"`;
  if (plan.validator === 'strong') headers.etag = tag;
  if (plan.validator === 'weak') headers.etag = `W/${tag}`;
  if (plan.validator === 'time') headers['last-modified'] = LAST_MODIFIED.replace('2020', String(2020 + moment));
  if (plan.ranges !== 'none') headers['accept-ranges'] = 'bytes';
  const condition = request.headers['if-range'];
  const holds = condition === undefined || condition === headers.etag || condition === headers['last-modified'];
  if (range !== null && plan.ranges === 'given' && holds && !plan.coded) {
    const start = Number(range[1]);
    const end = Math.min(Number(range[2]), content.length - 1);
    headers['content-range'] = `bytes ${start}-${end}/${content.length}`;
    return { status: 206, headers, body: content.subarray(start, end + 1), framing: 'length' };
  }
  state.wholes += 1;
  if (plan.once && state.wholes > 1) return { status: 403, headers, body: Buffer.from('once'), framing: 'length' };
  if (plan.coded) headers['content-encoding'] = 'gzip';
  return {
    status: 200,
    headers,
    body: plan.coded ? gzipSync(content, { level: 1 }) : content,
    framing: plan.framing,
  };
}

function plain(status: number, body: string, headers: Record<string, string> = {}): Reply {
  return { status, headers, body: Buffer.from(body), framing: 'length' };
}

/** Changes the reply as the mischief wants, or does it all by itself and returns null. */
function disturb(
  reply: Reply,
  { kind }: Mischief,
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
): Reply | null {
  const contentRange = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(reply.headers['content-range'] ?? '');
  switch (kind) {
    case 'silence':
      return null;
    case 'busy':
      return plain(503, 'busy', { 'retry-after': '0' });
    case 'broken':
      return plain(500, 'broken');
    case 'gone':
      return plain(404, 'gone');
    case 'forbidden':
      return plain(403, 'forbidden');
    case 'unsatisfiable':
      return plain(416, '', { 'content-range': `bytes */${content.length}` });
    case 'page':
      return plain(200, PAGE, { 'content-type': 'text/html' });
    case 'nothing':
      return plain(200, '');
    case 'redirect':
      return plain(302, '', { location: `/elsewhere${request.url ?? ''}` });
    case 'redirect for ever':
      return plain(302, '', { location: request.url ?? '/' });
    case 'garbled head':
      response.socket?.end('HTTQ/9.9 2OO KO\r\nContent-Length: twelve\r\n\r\n\0\0\0');
      return null;
    case 'no validator':
      return { ...reply, headers: { ...reply.headers, etag: '', 'last-modified': '' } };
    case 'whole for range':
      return contentRange === null ? reply : { ...reply, status: 200, body: content };
    case 'other range':
      return otherRange(reply, contentRange, 1, 0);
    case 'other total':
      return otherRange(reply, contentRange, 0, 7);
    case 'other unit':
      if (contentRange !== null) reply.headers['content-range'] = `sectors 0-1/${content.length}`;
      return reply;
    case 'range in part':
      return { ...reply, body: reply.body.subarray(0, Math.floor(reply.body.length / 2)) };
    default:
      return reply;
  }
}

function otherRange(reply: Reply, range: RegExpExecArray | null, shift: number, more: number): Reply {
  if (range === null) return reply;
  const [start, end, total] = range.slice(1).map(Number) as [number, number, number];
  reply.headers['content-range'] = `bytes ${start + shift}-${end + shift}/${total + more + shift}`;
  return reply;
}

async function send(response: ServerResponse, reply: Reply, mischief: Mischief | undefined): Promise<void> {
  const kind = mischief?.kind;
  const { status, body, framing } = reply;
  const headers = Object.fromEntries(Object.entries(reply.headers).filter(([, value]) => value !== ''));
  if (framing === 'length' || kind === 'longer') headers['content-length'] = String(body.length);
  if (framing === 'close' || kind === 'longer') response.shouldKeepAlive = false;
  if (framing === 'close') response.useChunkedEncodingByDefault = false;
  response.writeHead(status, headers);
  const cut = Math.floor(body.length * (mischief?.at ?? 0));
  for (let at = 0; at < body.length; at += CHUNK_BYTES) {
    const piece = body.subarray(at, at + CHUNK_BYTES);
    if (kind !== undefined && at <= cut && cut < at + CHUNK_BYTES) {
      const stop = await disturbBody(response, piece.subarray(0, cut - at), kind, framing);
      if (stop) return;
      if (kind === 'dribble') {
        await write(response, piece.subarray(cut - at));
        continue;
      }
      if (kind === 'garbled body') {
        await write(response, Buffer.alloc(piece.length, 0xa5));
        continue;
      }
    }
    if (!(await write(response, piece))) return;
  }
  if (kind === 'longer') response.socket?.write(Buffer.alloc(1000, 0x41));
  response.end();
}

/** True when nothing more is to be sent. */
async function disturbBody(
  response: ServerResponse,
  before: Buffer,
  kind: MischiefKind,
  framing: HostilePlan['framing'],
): Promise<boolean> {
  switch (kind) {
    case 'drop':
      await write(response, before);
      response.socket?.end();
      return true;
    case 'reset':
      await write(response, before);
      response.socket?.resetAndDestroy();
      return true;
    case 'stall':
      await write(response, before);
      return true;
    case 'garbled chunk':
      // Where there are no chunks these would be bytes of the file.
      if (framing === 'chunks') response.socket?.write('zz\r\nnot a chunk\r\n');
      response.socket?.end();
      return true;
    case 'dribble':
      for (const byte of before.subarray(0, 20)) {
        await write(response, Buffer.from([byte]));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await write(response, before.subarray(20));
      return false;
    default:
      return false;
  }
}

/** False when the other side has gone. */
async function write(response: ServerResponse, bytes: Buffer): Promise<boolean> {
  if (response.destroyed || response.socket === null) return false;
  if (bytes.length === 0 || response.write(bytes)) return true;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      response.off('drain', go);
      response.off('close', go);
      resolve();
    };
    response.on('drain', go);
    response.on('close', go);
  });
  return !response.destroyed;
}
