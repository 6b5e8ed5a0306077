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

/** Tokens are read when the interface starts. */
const WHERE = 'api.tokensFile and agentTokenFile of understudy.yaml say which are, since the controller was started';

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
      throw new UnderstudyError(
        'API_UNAUTHORIZED',
        sent ? `this token is not known; ${WHERE}` : `a token is needed; ${WHERE}`,
      );
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
    throw new UnderstudyError('API_FORBIDDEN', `this is the token of the agent of ${caller.host}; ${host} has another`);
}

function checkRole(caller: Caller, access: 'viewer' | 'operator'): void {
  if (caller.role === 'agent')
    throw new UnderstudyError('API_FORBIDDEN', 'an agent may only report; use the token of a viewer or an operator');
  if (access === 'operator' && caller.role !== 'operator') {
    throw new UnderstudyError(
      'API_FORBIDDEN',
      `${caller.name} may look, and not change anything; use the token of an operator`,
    );
  }
}
