// Orders that hold the controller back, let it go on, or take note of what failed.
import type { FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { answer, hold } from './answers.ts';
import { type App, label, ofHostIn, operation, type RouteParts } from './route.ts';

/** A year. */
export const HOLD_SECONDS_MAX = 31_536_000;

/** Nothing is said beside the path. */
const nothing = z.strictObject({});

type HoldParts = Pick<RouteParts, 'controller' | 'services'>;

export function addHolds(app: App, parts: HoldParts): void {
  addPause(app, parts);
  addMaintenance(app, parts);
  addAcknowledgement(app, parts);
}

function nameIn({ params }: FastifyRequest): string {
  return (params as { readonly name: string }).name;
}

function addPause(app: App, { controller, services }: HoldParts): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const params = z.object({ name: label });
  const concerns = (request: FastifyRequest) => [nameIn(request)].filter((name) => services.has(name));
  const pause = operation('operator', 'Has the policy begin and end nothing for a service', z.object({ hold }), [
    'SERVICE_UNKNOWN',
    'RECORD_UNUSABLE',
  ]);
  const body = z.strictObject({
    forSeconds: z.int().min(1).max(HOLD_SECONDS_MAX).optional().describe('Without it: until it is resumed'),
  });
  routes.post(
    '/v1/services/:name/pause',
    { config: { ...pause.config, concerns }, schema: { ...pause.schema, params, body } },
    async ({ params: { name }, body: { forSeconds }, identity }) => {
      const forMs = forSeconds === undefined ? null : forSeconds * 1000;
      return answer(await controller.pause({ service: name, forMs }, identity?.name ?? null));
    },
  );
  const resume = operation(
    'operator',
    'Lifts the pause of a service, and what a dismissal by hand left',
    z.object({ lifted: z.array(hold) }),
    ['SERVICE_UNKNOWN', 'RECORD_UNUSABLE'],
  );
  routes.post(
    '/v1/services/:name/resume',
    { config: { ...resume.config, concerns }, schema: { ...resume.schema, params, body: nothing } },
    async ({ params: { name }, identity }) => answer(await controller.resume(name, identity?.name ?? null)),
  );
}

function addMaintenance(app: App, { controller, services }: HoldParts): void {
  const { config, schema } = operation(
    'operator',
    'Takes a host out of all engagements, or gives it back',
    z.object({ hold: hold.nullable(), engagement: z.string().nullable() }),
    ['HOST_UNKNOWN', 'ENGAGEMENT_UNKNOWN', 'RECORD_UNUSABLE'],
  );
  const params = z.object({ name: label });
  const body = z.strictObject({ state: z.enum(['on', 'off']) });
  app
    .withTypeProvider<ZodTypeProvider>()
    .post(
      '/v1/hosts/:name/maintenance',
      { config: { ...config, concerns: ofHostIn(services) }, schema: { ...schema, params, body } },
      async ({ params: { name: host }, body: { state }, identity }) =>
        answer(await controller.maintenance({ host, state }, identity?.name ?? null)),
    );
}

function addAcknowledgement(app: App, { controller }: HoldParts): void {
  const { config, schema } = operation(
    'operator',
    'Takes note of an engagement that failed, which is done then',
    z.object({ engagement: z.string() }),
    ['ENGAGEMENT_UNKNOWN', 'ENGAGEMENT_REFUSED', 'RECORD_UNUSABLE'],
  );
  const params = z.object({ name: label });
  const concerns = async (request: FastifyRequest) => [(await controller.engagement(nameIn(request))).service];
  app
    .withTypeProvider<ZodTypeProvider>()
    .post(
      '/v1/engagements/:name/acknowledge',
      { config: { ...config, concerns }, schema: { ...schema, params, body: nothing } },
      async ({ params: { name } }) => controller.acknowledge(name),
    );
}
