// Who may use which route. Every route says it; one that does not is refused when the server is built.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type ErrorCode, UnderstudyError } from '../base/mod.ts';
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

export interface Guard {
  readonly tokens: Tokens;
  /** @throws HOST_UNKNOWN */
  readonly requireHost: (name: string) => void;
}

export function guard(app: FastifyInstance, { tokens, requireHost }: Guard): void {
  app.addHook('onRoute', (route) => {
    if (route.config?.access === undefined) throw new Error(`nobody says who may use ${route.method} ${route.url}`);
  });
  app.addHook('onRequest', async (request, reply) => {
    // A path that does not exist is nobody's secret.
    const { access } = request.routeOptions.config;
    if (access === undefined || access === 'none') return;
    const caller = tokens.callerOf(request.headers.authorization);
    if (caller === null) {
      reply.header('WWW-Authenticate', 'Bearer realm="understudy"');
      const sent = request.headers.authorization !== undefined;
      throw new UnderstudyError('API_UNAUTHORIZED', sent ? 'this token is not known' : 'a token is needed');
    }
    if (access === 'agent') checkAgent(caller, hostOf(request), requireHost);
    else checkRole(caller, access);
  });
}

function hostOf(request: FastifyRequest): string {
  return (request.params as { readonly host?: string }).host ?? '';
}

function checkAgent(caller: Caller, host: string, requireHost: (name: string) => void): void {
  if (caller.role !== 'agent') throw new UnderstudyError('API_FORBIDDEN', 'only agents report');
  requireHost(host);
  if (caller.host !== host)
    throw new UnderstudyError('API_FORBIDDEN', `this is the token of the agent of ${caller.host}`);
}

function checkRole(caller: Caller, access: 'viewer' | 'operator'): void {
  if (caller.role === 'agent') throw new UnderstudyError('API_FORBIDDEN', 'an agent may only report');
  if (access === 'operator' && caller.role !== 'operator') {
    throw new UnderstudyError('API_FORBIDDEN', `${caller.name} may look, and not change anything`);
  }
}
