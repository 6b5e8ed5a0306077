// The HTTP server: Fastify with zod. Everything that comes in is bounded in length, number and time.
import type { TlsOptions } from 'node:tls';
import swagger from '@fastify/swagger';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import * as z from 'zod';
import { errorRegistry, type Log, shownJson, UnderstudyError } from '../base/mod.ts';
import { asWorkOf } from '../controller/mod.ts';
import { type Guard, guard } from './access.ts';
import { Door } from './door.ts';
import { fail, failureOf, INTERNAL } from './failures.ts';
import type { RouteParts } from './route.ts';
import { addRoutes } from './routes.ts';

/** Orders are short; reports of agents have a limit of their own. */
const BODY_BYTES_MAX = 16 * 1024;
/** The head of a request must have arrived within this, all of it within that, and be answered within the last. */
const HEADERS_MS = 5000;
const REQUEST_MS = 15_000;
const HANDLER_MS = 30_000;
/** How often connections are looked at for these. */
const CHECK_MS = 1000;
const IDLE_MS = 60_000;
const RETRY_SECONDS = '1';
/**
 * Of node:http and node:https. A request without Host they would answer in a form of their own; a hook refuses it in
 * ours.
 */
const REQUESTS = { requireHostHeader: false, connectionsCheckingInterval: CHECK_MS, headersTimeout: HEADERS_MS };
const JSON_TYPE = 'application/json; charset=utf-8';

/** Came with OpenAPI 3.1 (4.8.27), of which the types know nothing yet. */
const MUTUAL_TLS = { type: 'mutualTLS' } as never;

export interface ServerParts extends RouteParts, Omit<Guard, 'door'> {
  readonly version: string;
  readonly log: Log;
  /** null: plain HTTP. */
  readonly tls: TlsOptions | null;
}

/** A server that does not listen yet. */
export async function buildServer(parts: ServerParts): Promise<FastifyInstance> {
  const app = Fastify({
    https: parts.tls === null ? null : { ...parts.tls, ...REQUESTS },
    // Fastify takes these where there is no TLS; its types want one of the two.
    ...({ http: REQUESTS } as object),
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS,
    handlerTimeout: HANDLER_MS,
    keepAliveTimeout: IDLE_MS,
    forceCloseConnections: 'idle',
    // Names have limits of their own, with an answer in our form.
    routerOptions: { maxParamLength: 16 * 1024 },
    // What fails before there is a route, as a path that cannot be decoded, is answered in our form too.
    frameworkErrors: (error, _, reply) => {
      const { status, body } = failureOf(error) ?? INTERNAL;
      const answer = (reply as FastifyReply).code(status).type(JSON_TYPE).header('Connection', 'close');
      answer.serializer(JSON.stringify).send(body);
    },
    // A request that is no HTTP at all is answered in the same form.
    clientErrorHandler: (error, socket) => {
      // Without the end of the handshake no answer can be sent, and the connection would be held for it.
      if (/^ERR_(TLS|SSL)_/.test(error.code ?? '')) return void socket.destroy();
      const body = JSON.stringify(fail('API_INVALID', 'this is no HTTP request').body);
      const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
      // Half of it may be open for as long as the other end likes.
      if (socket.writable) socket.end(`${head}Connection: close\r\n\r\n${body}`, () => socket.destroy());
      else socket.destroy();
    },
  });
  const door = new Door(app.server);
  app.server.on('checkExpectation', (_, response) => {
    const { status, body } = fail('API_INVALID', 'the only expectation that is met is 100-continue');
    const text = JSON.stringify(body);
    const length = Buffer.byteLength(text);
    response.writeHead(status, { 'Content-Type': JSON_TYPE, 'Content-Length': length, Connection: 'close' }).end(text);
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  answerErrors(app, parts);
  await describe(app, parts.version);
  // Before anything else: whatever a request begins is known to be of it.
  app.addHook('onRequest', (request, _, next) => asWorkOf(`request ${nameOf(request)}`, next));
  app.addHook('onRequest', async ({ raw }, reply) => {
    if (raw.headers.host !== undefined || raw.httpVersion === '1.0') return;
    reply.header('Connection', 'close');
    throw new UnderstudyError('API_INVALID', 'the request has no Host header');
  });
  guard(app, { ...parts, door });
  app.addHook('onResponse', async (request, reply) => {
    parts.metrics.request(request.method, request.routeOptions.url ?? 'none', reply.statusCode);
    const who = request.identity?.name ?? null;
    const data = { who, from: request.raw.socket.remoteAddress ?? null, status: reply.statusCode };
    parts.log({ level: 'debug', kind: 'request', message: `${nameOf(request)} ${reply.statusCode}`, data });
  });
  app.addHook('onSend', async (_, reply, payload) => {
    const isJson = String(reply.getHeader('content-type')).startsWith('application/json');
    return isJson && typeof payload === 'string' ? shownJson(payload) : payload;
  });
  addRoutes(app, parts);
  addOpenRoutes(app);
  await app.ready();
  return app;
}

/** OpenAPI 3.1, made of the routes' schemas, with the codes of each status. */
async function describe(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Understudy',
        version,
        description: 'The controller. docs/cli.md says what the views mean, docs/errors.md the codes.',
      },
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer' }, certificate: MUTUAL_TLS },
      },
    },
    transform: (route) => {
      const { schema, url } = jsonSchemaTransform(route);
      const { access, errors = [] } = route.route.config ?? {};
      if (access === undefined || access === 'none') return { schema, url };
      const response = Object.entries((schema.response ?? {}) as Readonly<Record<string, object>>).map(
        ([status, form]) => {
          const codes = errors.filter((code) => String(errorRegistry[code].http) === status);
          const description = codes.length > 0 ? codes.join(', ') : status === '200' ? 'Done.' : 'Any other failure.';
          return [status, { ...form, description }] as const;
        },
      );
      const who = access === 'agent' ? 'the agent of the host' : access;
      return {
        schema: {
          ...schema,
          response: Object.fromEntries(response),
          security: [{ token: [] }, { certificate: [] }],
          description: `For: ${who}.`,
        },
        url,
      };
    },
    transformObject: jsonSchemaTransformObject,
  });
}

function answerErrors(app: FastifyInstance, { audit, onDefect }: ServerParts): void {
  app.setErrorHandler(async (error, request, reply) => {
    const failure = failureOf(error);
    if (failure === null) onDefect(error, nameOf(request));
    const { status, body } = failure ?? INTERNAL;
    // The rest of it is not read.
    if (body.error.code === 'API_TOO_LARGE') reply.header('Connection', 'close');
    // RFC 9110, 10.2.3, and RFC 6585, 4: whoever is to come again hears when.
    if (status === 429 || status === 503) reply.header('Retry-After', RETRY_SECONDS);
    if (request.ordered && request.identity !== null) audit.failed(request, request.identity, body.error.code);
    return reply
      .code(status)
      .type(JSON_TYPE)
      .serializer((one: unknown) => shownJson(JSON.stringify(one)))
      .send(body);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const { status, body } = fail('API_NOT_FOUND', `there is no ${request.method} ${request.url.slice(0, 200)}`);
    return reply.code(status).send(body);
  });
}

/** By its route: what is in a path is up to whoever asks. */
function nameOf({ method, routeOptions }: FastifyRequest): string {
  return `${method} ${routeOptions.url ?? 'of no route'}`;
}

function addOpenRoutes(app: FastifyInstance): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  routes.get(
    '/healthz',
    {
      config: { access: 'none' },
      schema: { summary: 'The server answers', response: { 200: z.object({ ok: z.literal(true) }) } },
    },
    async () => ({ ok: true as const }),
  );
  // Written out once: it is for everybody, and long.
  let description: string | null = null;
  app.get('/openapi.json', { config: { access: 'none' }, schema: { hide: true } }, async (_, reply) => {
    description ??= JSON.stringify(app.swagger());
    return reply.type(JSON_TYPE).serializer(String).send(description);
  });
}
