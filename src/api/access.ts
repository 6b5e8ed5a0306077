// Who may use which route. Every route says it, and every order says which services it concerns; one that does not is
// refused when the server is built. Whoever is not let in hears why, is counted, and loses the connection.
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, UnderstudyError } from '../base/mod.ts';
import type { Audit } from './audit.ts';
import { authenticate, type Identity, type IdentitySource, isIdentity, type Refusal } from './authentication.ts';
import type { Door } from './door.ts';
import type { Pace } from './pace.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** 'agent': the agent of the host in the path. An operator may do what a viewer may. */
export type Access = 'none' | 'viewer' | 'operator' | 'agent';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly access?: Access;
    /**
     * Of an order: the services that it concerns. Asked for those who are limited to some. @throws as the order itself
     */
    readonly concerns?: (request: FastifyRequest) => readonly string[] | Promise<readonly string[]>;
    /** With which it can end, for the description. */
    readonly errors?: readonly ErrorCode[];
  }
  interface FastifyRequest {
    /** Who asks; null: a stranger, at a route for everybody. */
    identity: Identity | null;
    /** The order that was kept in the audit, and so is to have its end there. */
    ordered: boolean;
  }
}

export interface Guard {
  /** Asked in this order. */
  readonly sources: readonly IdentitySource[];
  readonly door: Door;
  readonly audit: Audit;
  /** Of agents. */
  readonly pace: Pace;
  readonly waitingRoom: WaitingRoom;
  /** @throws HOST_UNKNOWN */
  readonly requireHost: (name: string) => void;
}

/**
 * The rest of a request that is refused is read as far as this, so that its sender hears the answer instead of a broken
 * connection.
 */
const DRAINED_BYTES_MAX = 512 * 1024;
const DRAINED_MS_MAX = 2000;

export function guard(app: FastifyInstance, parts: Guard): void {
  app.decorateRequest('identity', null);
  app.decorateRequest('ordered', false);
  app.addHook('onRoute', ({ config, method, url }) => {
    if (config?.access === undefined) throw new Error(`nobody says who may use ${method} ${url}`);
    if (config.access === 'operator' && config.concerns === undefined) {
      throw new Error(`nobody says which services ${method} ${url} concerns`);
    }
  });
  app.addHook('onRequest', async (request, reply) => {
    const answer = authenticate(parts.sources, request.raw);
    const failure = admit(parts, request, reply, answer);
    if (failure !== null) parts.audit.refused(request, isIdentity(answer) ? answer : answer.who, failure.code);
    if (failure !== null || !isIdentity(answer)) await parts.waitingRoom.turn(request.raw.socket);
    if (failure === null) return;
    // What nobody reads any more would keep us busy, or the sender waiting.
    if (!(await drained(request.raw))) reply.header('Connection', 'close');
    throw failure;
  });
  app.addHook('preHandler', async (request) => {
    const { identity } = request;
    const { access, concerns } = request.routeOptions.config;
    if (access !== 'operator' || identity === null) return;
    try {
      if (identity.services !== null) await checkServices(request, identity.name, identity.services, concerns);
    } catch (error) {
      const isForbidden = error instanceof UnderstudyError && error.code === 'API_FORBIDDEN';
      if (isForbidden) parts.audit.refused(request, identity, error.code);
      throw error;
    }
    await parts.audit.order(request, identity);
    request.ordered = true;
  });
}

/** @returns why it may not go on */
function admit(
  { door, pace, requireHost }: Guard,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: Identity | Refusal,
): UnderstudyError | null {
  // A path that does not exist is nobody's secret.
  const { access = 'none' } = request.routeOptions.config;
  if (!isIdentity(answer)) {
    // A stranger has one answer for each connection.
    reply.header('Connection', 'close');
    if (access === 'none') return null;
    reply.header('WWW-Authenticate', 'Bearer realm="understudy"');
    return new UnderstudyError('API_UNAUTHORIZED', answer.refusal);
  }
  if (!door.welcome(request.raw.socket, answer)) {
    reply.header('Connection', 'close');
    return new UnderstudyError('API_BUSY', `${answer.name} has as many connections as it may have; close some`);
  }
  request.identity = answer;
  if (answer.role === 'agent' && !pace.take(answer.name)) {
    return new UnderstudyError('API_BUSY', `the agent of ${answer.name} reports too often; report every few seconds`);
  }
  if (access === 'none') return null;
  try {
    if (access === 'agent') checkAgent(answer, hostOf(request), requireHost);
    else checkRole(answer, access);
    return null;
  } catch (error) {
    if (error instanceof UnderstudyError) return error;
    throw error;
  }
}

function hostOf(request: FastifyRequest): string {
  return (request.params as { readonly host?: string }).host ?? '';
}

function checkAgent({ role, name }: Identity, host: string, requireHost: (name: string) => void): void {
  if (role !== 'agent') throw new UnderstudyError('API_FORBIDDEN', 'only agents report');
  requireHost(host);
  if (name !== host) {
    throw new UnderstudyError('API_FORBIDDEN', `the agent of ${name} may not report for ${host}`);
  }
}

function checkRole({ role, name }: Identity, access: 'viewer' | 'operator'): void {
  if (role === 'agent') {
    const text = 'an agent may only report; use the token or the certificate of a viewer or an operator';
    throw new UnderstudyError('API_FORBIDDEN', text);
  }
  if (access === 'operator' && role !== 'operator') {
    const text = `${name} may look, and not change anything; that takes an operator`;
    throw new UnderstudyError('API_FORBIDDEN', text);
  }
}

/** What concerns no service that exists concerns all of them. */
async function checkServices(
  request: FastifyRequest,
  name: string,
  allowed: readonly string[],
  concerns: ((request: FastifyRequest) => readonly string[] | Promise<readonly string[]>) | undefined,
): Promise<void> {
  const services = (await concerns?.(request)) ?? [];
  if (services.length > 0 && services.every((service) => allowed.includes(service))) return;
  const others = services.filter((service) => !allowed.includes(service));
  const what = others.length === 0 ? 'this belongs to no service' : `this concerns ${others.join(', ')}`;
  throw new UnderstudyError('API_FORBIDDEN', `${name} may change ${allowed.join(', ')}, and ${what}`);
}

/**
 * @returns whether the request was read to its end, within what is taken of it: what says how long it is, and is short
 */
function drained(request: IncomingMessage): Promise<boolean> {
  const { 'content-length': lengthBytes = '0', 'transfer-encoding': coding } = request.headers;
  if (coding !== undefined || Number(lengthBytes) > DRAINED_BYTES_MAX) return Promise.resolve(false);
  return new Promise((resolve) => {
    let bytes = 0;
    const done = (isRead: boolean): void => {
      clearTimeout(timer);
      request.pause();
      resolve(isRead);
    };
    const timer = setTimeout(() => done(false), DRAINED_MS_MAX);
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > DRAINED_BYTES_MAX) done(false);
    });
    request.once('end', () => done(true));
    request.once('close', () => done(false)).once('error', () => done(false));
  });
}
