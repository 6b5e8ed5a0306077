// Who may use which route. Every route says it; one that does not is refused when the server is built.
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type ErrorCode, UnderstudyError } from '../base/mod.ts';
import type { Peer } from './credentials.ts';
import type { Caller, Tokens } from './tokens.ts';

/** 'agent': the agent of the host in the path. An operator may do what a viewer may. */
export type Access = 'none' | 'viewer' | 'operator' | 'agent';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly access?: Access;
    /** With which it can end, for the description. */
    readonly errors?: readonly ErrorCode[];
  }
}

/** Tokens are read when the interface starts. */
const WHERE = 'api.tokensFile and agentTokenFile of understudy.yaml say which are, since the controller was started';

export interface Guard {
  readonly tokens: Tokens;
  /** Who is at the other end of a connection, as far as it shows a certificate. */
  readonly peerOf: (socket: Socket) => Peer;
  /** @throws HOST_UNKNOWN */
  readonly requireHost: (name: string) => void;
}

export function guard(app: FastifyInstance, parts: Guard): void {
  app.addHook('onRoute', (route) => {
    if (route.config?.access === undefined) throw new Error(`nobody says who may use ${route.method} ${route.url}`);
  });
  app.addHook('onRequest', async (request, reply) => {
    // A path that does not exist is nobody's secret.
    const { access } = request.routeOptions.config;
    if (access === undefined || access === 'none') return;
    const caller = callerOf(request, parts);
    if (typeof caller === 'string') {
      reply.header('WWW-Authenticate', 'Bearer realm="understudy"');
      throw new UnderstudyError('API_UNAUTHORIZED', caller);
    }
    if (access === 'agent') checkAgent(caller, hostOf(request), parts.requireHost);
    else checkRole(caller, access);
  });
}

/**
 * A certificate goes before a token: what the connection shows holds for all that is asked on it. One that is not
 * accepted is told, and no token makes up for it, so that whoever uses it notices.
 * @returns why nobody is known
 */
function callerOf({ raw, headers }: FastifyRequest, { tokens, peerOf }: Guard): Caller | string {
  const peer = peerOf(raw.socket);
  if (peer.kind === 'known') return peer.caller;
  if (peer.kind === 'refused') return peer.why;
  const { authorization } = headers;
  if (authorization === undefined) return `a token or a certificate is needed; ${WHERE}`;
  return tokens.callerOf(authorization) ?? `this token is not known; ${WHERE}`;
}

function hostOf(request: FastifyRequest): string {
  return (request.params as { readonly host?: string }).host ?? '';
}

function checkAgent(caller: Caller, host: string, requireHost: (name: string) => void): void {
  if (caller.role !== 'agent') throw new UnderstudyError('API_FORBIDDEN', 'only agents report');
  requireHost(host);
  if (caller.host !== host)
    throw new UnderstudyError('API_FORBIDDEN', `the agent of ${caller.host} may not report for ${host}`);
}

function checkRole(caller: Caller, access: 'viewer' | 'operator'): void {
  if (caller.role === 'agent')
    throw new UnderstudyError(
      'API_FORBIDDEN',
      'an agent may only report; use the token or the certificate of a viewer or an operator',
    );
  if (access === 'operator' && caller.role !== 'operator') {
    throw new UnderstudyError(
      'API_FORBIDDEN',
      `${caller.name} may look, and not change anything; that takes an operator`,
    );
  }
}
