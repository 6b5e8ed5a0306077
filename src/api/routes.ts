// The routes: what each takes and answers, who may use it, and which errors it can have.
import type { FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { REPORT_BYTES_MAX } from '../agent/mod.ts';
import { type ErrorCode, UnderstudyError } from '../base/mod.ts';
import {
  answer,
  audit,
  decision,
  dismissal,
  engagement,
  event,
  inspection,
  record,
  reloaded,
  status,
} from './answers.ts';
import { authenticate, isIdentity } from './authentication.ts';
import { engagementOf, servicesOfDismissal, servicesOfPair, servicesOfPlan } from './concerns.ts';
import { streamEvents } from './event-stream.ts';
import { addHolds, HOLD_SECONDS_MAX } from './holds.ts';
import { instruction, report } from './reports.ts';
import { type App, label, ofHostIn, operation, type RouteParts } from './route.ts';
import { StreamPlaces } from './stream-places.ts';

/** Above what the controller allows it. */
const INSPECTION_MS = 330_000;

/** Storage node and relays are asked. */
const RELOAD_MS = 120_000;

/** Also of a record that is none of this program's, as it is shown. It is only looked up. */
const anyName = z.string().min(1).max(4096);
const force = z.boolean().optional().describe('Does what can be done, and leaves the rest undone');
const holdSeconds = z
  .int()
  .min(0)
  .max(HOLD_SECONDS_MAX)
  .optional()
  .describe('So long the policy engages nothing for the service; without it 3600, 0: not held');
const started = z.object({ engagement: z.string() });

export function addRoutes(app: App, parts: RouteParts): void {
  addViews(app, parts);
  addOrders(app, parts);
  addHolds(app, parts);
  addRecords(app, parts);
  addPower(app, parts);
  addInspection(app, parts);
  addReports(app, parts);
  addEvents(app, parts);
  addAudit(app, parts);
  addReload(app, parts);
}

function addViews(app: App, { controller, warnings }: RouteParts): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const all = operation('viewer', 'Services, hosts, engagements, and why', status);
  routes.get('/v1/status', all, async () => answer({ ...(await controller.status()), warnings: warnings() }));

  const decisions = operation(
    'viewer',
    'The last decisions of a service with their evidence, the newest first',
    z.object({ decisions: z.array(decision) }),
    ['SERVICE_UNKNOWN'],
  );
  const params = z.object({ name: label });
  const querystring = z.object({ limit: z.coerce.number().int().min(1).max(1000).default(20) });
  routes.get(
    '/v1/services/:name/decisions',
    { ...decisions, schema: { ...decisions.schema, params, querystring } },
    async (request) => ({ decisions: answer(await controller.explain(request.params.name, request.query.limit)) }),
  );

  const limited = z.object({ limit: z.coerce.number().int().min(1).max(1000).default(100) });
  const list = operation(
    'viewer',
    'Engagements that are kept, the newest first',
    z.object({ engagements: z.array(engagement) }),
  );
  routes.get('/v1/engagements', { ...list, schema: { ...list.schema, querystring: limited } }, async ({ query }) => ({
    engagements: answer(await controller.history(query.limit)),
  }));

  const one = operation('viewer', 'One engagement, also one that is done', engagement, ['ENGAGEMENT_UNKNOWN']);
  routes.get('/v1/engagements/:name', { ...one, schema: { ...one.schema, params } }, async (request) =>
    answer(await controller.engagement(request.params.name)),
  );
}

type Concerns<B> = (body: B) => readonly string[] | Promise<readonly string[]>;

function addOrders(app: App, { controller, services }: RouteParts): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const order = <T extends z.ZodType>(
    summary: string,
    body: T,
    codes: readonly ErrorCode[],
    concerns: Concerns<z.output<T>>,
  ) => {
    const { config, schema } = operation('operator', summary, started, codes);
    const ofRequest = (request: FastifyRequest) => concerns(request.body as z.output<T>);
    return { config: { ...config, concerns: ofRequest }, schema: { ...schema, body } };
  };
  const clone = order(
    'Begins an engagement by hand; asked again for the same pair, it answers the same',
    z.strictObject({ lead: label, to: label }),
    ['HOST_UNKNOWN', 'ENGAGEMENT_REFUSED'],
    (pair) => servicesOfPair(services, pair),
  );
  routes.post('/v1/clone', clone, ({ body }) => controller.clone(body));

  const dismiss = order(
    'Ends an engagement in good order, named by itself or by its understudy',
    z.union([
      z.strictObject({ host: label, force, holdSeconds }),
      z.strictObject({ engagement: anyName, force, holdSeconds }),
    ]),
    ['HOST_UNKNOWN', 'ENGAGEMENT_UNKNOWN', 'ENGAGEMENT_REFUSED', 'RECORD_UNUSABLE', 'STORAGE_FAILED'],
    (subject) => servicesOfDismissal(controller, services, subject),
  );
  routes.post('/v1/dismiss', dismiss, async ({ body: { force: forced, holdSeconds: held, ...subject }, identity }) => {
    const how = {
      ...(forced === true ? { force: true } : {}),
      ...(held === undefined ? {} : { holdMs: held * 1000 }),
    };
    const by = identity?.name ?? null;
    const isLimited = identity !== null && identity.services !== null;
    if (!isLimited || 'engagement' in subject) return controller.dismiss({ ...subject, ...how }, by);
    // By its own name: the spare may be in another service's engagement by now.
    const found = await engagementOf(controller, subject.host);
    if (found === null || !(identity.services ?? []).includes(found.service)) {
      throw new UnderstudyError(
        'ENGAGEMENT_REFUSED',
        `${subject.host} is not engaged for a service of ${identity.name}`,
      );
    }
    return controller.dismiss({ engagement: found.name, ...how }, by);
  });

  const approve = order(
    'Carries out a plan that waits for it',
    z.strictObject({ plan: label }),
    ['ENGAGEMENT_REFUSED'],
    ({ plan }) => servicesOfPlan(controller, plan),
  );
  routes.post('/v1/approve', approve, ({ body }) => controller.approve(body.plan));
}

/** What cannot be done in good order: looked at first, and then done. */
function addRecords(app: App, { controller, services }: RouteParts): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const plan = operation('operator', 'What a dismissal by force would do', dismissal, [
    'HOST_UNKNOWN',
    'ENGAGEMENT_UNKNOWN',
    'ENGAGEMENT_REFUSED',
    'STORAGE_FAILED',
  ]);
  const subject = z.union([z.strictObject({ host: label }), z.strictObject({ engagement: anyName })]);
  const ofSubject = ({ body }: FastifyRequest) =>
    servicesOfDismissal(controller, services, body as z.output<typeof subject>);
  routes.post(
    '/v1/dismissal',
    { config: { ...plan.config, concerns: ofSubject }, schema: { ...plan.schema, body: subject } },
    async (request) => answer(await controller.dismissal(request.body)),
  );

  // What cannot be read says nothing of services: it is for operators of all of them.
  const concerns = () => [];
  const all = operation('operator', 'Records that cannot be used', z.object({ records: z.array(record) }));
  const listing = { config: { ...all.config, concerns }, schema: all.schema };
  routes.get('/v1/records', listing, async () => ({ records: answer(await controller.records()) }));

  const one = operation('operator', 'Removes a record that cannot be used', z.object({ ok: z.literal(true) }), [
    'ENGAGEMENT_REFUSED',
  ]);
  const body = z.strictObject({ key: z.string().min(1).max(4096), revision: z.int().min(-1) });
  const removal = { config: { ...one.config, concerns }, schema: { ...one.schema, body } };
  routes.post('/v1/records/remove', removal, async (request) => {
    await controller.removeRecord(request.body);
    return { ok: true as const };
  });
}

function addPower(app: App, { controller, services, powerTimeoutMs }: RouteParts): void {
  const { config: shared, schema } = operation(
    'operator',
    'Switches a host that is in no engagement; answers when the state was read back',
    z.object({ power: z.enum(['on', 'off', 'unknown']) }),
    ['HOST_UNKNOWN', 'ENGAGEMENT_REFUSED', 'POWER_FAILED', 'POWER_TIMEOUT', 'POWER_UNKNOWN'],
  );
  const config = { ...shared, concerns: ofHostIn(services) };
  const params = z.object({ name: label });
  const body = z.strictObject({ state: z.enum(['on', 'off']) });
  app
    .withTypeProvider<ZodTypeProvider>()
    .post(
      '/v1/hosts/:name/power',
      { config, handlerTimeout: powerTimeoutMs, schema: { ...schema, params, body } },
      async ({ params: { name }, body: { state } }, reply) => {
        // Over when it is answered, also with a time-out, or when nobody waits for the answer any more. (The
        // framework's own signal already ends with the request's body.)
        const over = new AbortController();
        reply.raw.once('close', () => over.abort());
        return controller.power(name, state, over.signal);
      },
    );
}

function addInspection(app: App, { controller, services }: RouteParts): void {
  const { config: shared, schema } = operation(
    'operator',
    "What a host's disk has that must not exist twice",
    inspection,
    [
      'HOST_UNKNOWN',
      'IMAGE_UNSUPPORTED',
      'IMAGE_DAMAGED',
      'IDENTITY_FAILED',
      'STORAGE_FAILED',
      'STORAGE_SPACE',
      'CALL_TIMEOUT',
      'TOOL_MISSING',
    ],
  );
  const config = { ...shared, concerns: ofHostIn(services) };
  const params = z.object({ name: label });
  app
    .withTypeProvider<ZodTypeProvider>()
    .get(
      '/v1/hosts/:name/inspection',
      { config, handlerTimeout: INSPECTION_MS, schema: { ...schema, params } },
      async ({ params: { name } }, reply) => {
        const over = new AbortController();
        reply.raw.once('close', () => over.abort());
        return answer(await controller.inspect(name, over.signal));
      },
    );
}

function addReports(app: App, { controller }: RouteParts): void {
  const codes: readonly ErrorCode[] = ['HOST_UNKNOWN', 'API_TOO_LARGE'];
  const { config, schema } = operation('agent', "What a host's agent tells, and what it is told", instruction, codes);
  app.withTypeProvider<ZodTypeProvider>().post(
    '/v1/agents/:host/reports',
    {
      config,
      bodyLimit: REPORT_BYTES_MAX,
      schema: { ...schema, params: z.object({ host: label }), body: report },
    },
    async ({ params, body }) => {
      if (body.host !== params.host) {
        throw new UnderstudyError('API_INVALID', `the report is of ${body.host}, the path of ${params.host}`);
      }
      return answer(await controller.report(params.host, body));
    },
  );
}

function addEvents(app: App, { controller, metrics, sources, closing, onDefect }: RouteParts): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const revision = z.coerce.number().int().min(0).optional();
  const querystring = z.object({ after: revision.describe('0: from the oldest; without it: new ones only') });
  const headers = z.object({ 'last-event-id': revision.describe('Goes before "after"') });
  const places = new StreamPlaces();
  const events = operation(
    'viewer',
    'Events as server-sent events; the id of each is its revision, its data an Event as JSON',
    event,
  );
  routes.get(
    '/v1/events',
    // To HEAD there would be no answer, for none ends.
    { ...events, exposeHeadRoute: false, schema: { ...events.schema, querystring, headers } },
    async (request, reply) => {
      const place = places.take(request.identity?.name ?? '');
      if (place === null) throw new UnderstudyError('API_BUSY', `${places.count} readers are there already`);
      const after = request.headers['last-event-id'] ?? request.query.after ?? null;
      reply.hijack();
      try {
        const signal = AbortSignal.any([closing, place.signal]);
        const mayRead = (): boolean => {
          const who = authenticate(sources, request.raw);
          return isIdentity(who) && who.role !== 'agent';
        };
        const defect = await streamEvents({ controller, response: reply.raw, after, signal, mayRead });
        if (defect !== null) onDefect(defect, 'GET /v1/events');
      } finally {
        place.leave();
      }
    },
  );
  const text = operation('viewer', "Metrics in Prometheus' text format 0.0.4", z.string(), ['API_UNAVAILABLE']);
  routes.get('/metrics', text, async (_, reply) => {
    const body = await metrics.text(places.count);
    return reply.type('text/plain; version=0.0.4; charset=utf-8').serializer(String).send(body);
  });
}

function addAudit(app: App, { controller }: RouteParts): void {
  const { config, schema } = operation(
    'viewer',
    'Who ordered what, and who was refused, the oldest first',
    z.object({ entries: z.array(audit) }),
  );
  const querystring = z.object({ since: z.iso.datetime().optional().describe('ISO 8601, UTC; without it: all') });
  app
    .withTypeProvider<ZodTypeProvider>()
    .get('/v1/audit', { config, schema: { ...schema, querystring } }, async ({ query: { since } }) => ({
      entries: answer(await controller.audit(since === undefined ? 0 : Date.parse(since))),
    }));
}

function addReload(app: App, { reload }: RouteParts): void {
  const summary = 'Reads understudy.yaml again: all of it is taken, or nothing';
  const codes: readonly ErrorCode[] = ['CONFIG_INVALID', 'CONFIG_UNREADABLE', 'RELOAD_REFUSED', 'STORAGE_FAILED'];
  const { config, schema } = operation('operator', summary, reloaded, codes);
  const body = z.strictObject({ dryRun: z.boolean().default(false).describe('Only tells what would change') });
  app
    .withTypeProvider<ZodTypeProvider>()
    // It concerns all services.
    .post(
      '/v1/reload',
      { config: { ...config, concerns: () => [] }, handlerTimeout: RELOAD_MS, schema: { ...schema, body } },
      async (request) => answer(await reload(request.body.dryRun)),
    );
}
