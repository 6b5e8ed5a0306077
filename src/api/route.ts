// What all routes are made of: the parts that they use, what each says of itself, and names in paths.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { type ErrorCode, errorRegistry } from '../base/mod.ts';
import type { ControllerApi } from '../controller/mod.ts';
import type { Access } from './access.ts';
import { failure, type ReloadView } from './answers.ts';
import type { IdentitySource } from './authentication.ts';
import { type Services, servicesOfHost } from './concerns.ts';
import type { Metrics } from './metrics.ts';

export interface RouteParts {
  readonly controller: ControllerApi;
  readonly metrics: Metrics;
  readonly services: Services;
  /** Who asks; see access.ts. */
  readonly sources: readonly IdentitySource[];
  /** Aborts when the server closes: ends streams. */
  readonly closing: AbortSignal;
  /** Longest time that switching a host may take, milliseconds. */
  readonly powerTimeoutMs: number;
  readonly onDefect: (error: unknown, request: string) => void;
  /** What somebody has to see to, one line each. */
  readonly warnings: () => readonly string[];
  readonly reload: (dryRun: boolean) => Promise<ReloadView>;
}

export type App = FastifyInstance;

/** Errors that any route that asks the controller can have. */
const ANY: readonly ErrorCode[] = [
  'API_INVALID',
  'API_UNAUTHORIZED',
  'API_FORBIDDEN',
  'API_BUSY',
  'API_TIMEOUT',
  'STORE_FAILED',
  'LEASE_LOST',
  'EPOCH_STALE',
  'STORE_CONFLICT',
];

/** Answers by status: the good one, and the form of all others. */
function responses<T extends z.ZodType>(good: T, codes: readonly ErrorCode[]): { readonly 200: T } {
  const others = ['default', ...codes.map((code) => errorRegistry[code].http)];
  return { 200: good, ...Object.fromEntries(others.map((status) => [status, failure] as const)) };
}

/** What every route says of itself: who may use it, what it does, and how it can end. */
export function operation<T extends z.ZodType>(
  access: Access,
  summary: string,
  good: T,
  codes: readonly ErrorCode[] = [],
) {
  const errors = [...new Set([...codes, ...ANY])].sort();
  return { config: { access, errors }, schema: { summary, response: responses(good, errors) } };
}

export const label = z.string().regex(/^[A-Za-z0-9._-]{1,200}$/, { error: 'is no name' });

/** Of a route that has the host in its path. */
export function ofHostIn(services: Services) {
  return ({ params }: FastifyRequest) => servicesOfHost(services, (params as { readonly name: string }).name);
}
