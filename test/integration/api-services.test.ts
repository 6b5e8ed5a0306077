// Operators who are limited to services: held to them on every route that orders something, which is taken from the
// routes themselves.
import Fastify from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { guard } from '../../src/api/access.ts';
import { ApiStage, OPERATOR } from '../support/api-stage.ts';
import { engagement, NOW } from '../support/controller-peer.ts';

const OF_WIKI = 'operator-of-wiki-0123456789';
const OF_SHOP = 'operator-of-shop-0123456789';

/** With a second service, which has the spare in its pool as well. */
function withShop(text: string): string {
  const host = `  web2:
    volume: web2
    interfaces:
      - { name: eth0, mac: 52:54:00:00:00:0c, addresses: [10.0.0.13/24] }
    power: { driver: plug, settings: { socket: run/plug, outlet: 3 } }
`;
  const service = `  shop:
    lead: web2
    pool: [spare1]
    port: 80
    check: { contains: x }
    director: { driver: spreader, settings: { target: x } }
    objective: { signal: probe.milliseconds, below: 400 }
`;
  const volumes = text.replace('volumes:\n', 'volumes:\n  web2: { path: disks/web2.raw }\n');
  return `${volumes.replace('\nhosts:\n', `\nhosts:\n${host}`)}${service}`;
}

let stage: ApiStage;
beforeEach(async () => {
  const lines = [`operator wendy ${OF_WIKI} services=wiki`, `operator sam ${OF_SHOP} services=shop`];
  stage = await ApiStage.open(`${lines.join('\n')}\n`, withShop);
  const [wiki] = stage.controller.services;
  if (wiki === undefined) throw new Error('there is no service');
  const pendingPlan = {
    action: 'scale-out',
    lead: 'web1',
    understudy: 'spare1',
    reason: 'x',
    proposedAt: NOW,
  } as const;
  stage.controller.services = [{ ...wiki, pendingPlan: { ...pendingPlan, id: 'wiki-plan' } }];
});
afterEach(() => stage.close());

/** Of each route that orders something: an order about wiki, and what reaches the controller. */
const ORDERS: Readonly<Record<string, { readonly path?: string; readonly body?: unknown; readonly asked: string }>> = {
  'post /v1/clone': { body: { lead: 'web1', to: 'spare1' }, asked: 'clone web1 spare1' },
  'post /v1/dismiss': { body: { engagement: 'wiki-1' }, asked: 'dismiss {"engagement":"wiki-1"}' },
  'post /v1/dismissal': { body: { engagement: 'wiki-1' }, asked: 'dismissal {"engagement":"wiki-1"}' },
  'post /v1/approve': { body: { plan: 'wiki-plan' }, asked: 'approve wiki-plan' },
  'post /v1/services/{name}/pause': {
    ...{ path: '/v1/services/wiki/pause', body: { forSeconds: 60 } },
    asked: 'pause {"service":"wiki","forMs":60000}',
  },
  'post /v1/services/{name}/resume': { path: '/v1/services/wiki/resume', body: {}, asked: 'resume wiki' },
  'post /v1/hosts/{name}/maintenance': {
    ...{ path: '/v1/hosts/web1/maintenance', body: { state: 'on' }, asked: 'maintenance web1 on' },
  },
  'post /v1/engagements/{name}/acknowledge': {
    ...{ path: '/v1/engagements/wiki-1/acknowledge', body: {}, asked: 'acknowledge wiki-1' },
  },
  'post /v1/hosts/{name}/power': { path: '/v1/hosts/web1/power', body: { state: 'off' }, asked: 'power web1 off' },
  'get /v1/hosts/{name}/inspection': { path: '/v1/hosts/web1/inspection', asked: 'inspect web1' },
};

/** Of no service: for operators of all of them. */
const RECORDS: Readonly<Record<string, unknown>> = {
  'get /v1/records': undefined,
  'post /v1/records/remove': { key: 'plan/wiki', revision: 7 },
  'post /v1/reload': { dryRun: true },
};

/** Every route that an operator alone may use, from the description, which is made of the routes. */
async function ordersOfRoutes(): Promise<readonly string[]> {
  const { paths } = (await stage.ask('/openapi.json')).json as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly description?: string }>>>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { description }]) =>
      description === 'For: operator.' ? [`${method} ${path}`] : [],
    ),
  );
}

/** What changes something or looks into a disk. */
function carriedOut(): readonly string[] {
  return stage.controller.asked.filter((what) => !/^(status|engagement)/.test(what));
}

describe('operators of some services', () => {
  it('api - on every route for operators, one of the service is let through, and one of another is not', async () => {
    const all = await ordersOfRoutes();
    expect([...all].sort()).toEqual([...Object.keys(ORDERS), ...Object.keys(RECORDS)].sort());
    const routes = all.filter((route) => !(route in RECORDS));
    for (const route of routes) {
      const { path = route.split(' ')[1] ?? '', body, asked } = ORDERS[route] ?? { asked: '' };
      const order = (token: string) => stage.ask(path, { token, ...(body === undefined ? {} : { body }) });
      stage.controller.asked.splice(0);
      const refused = await order(OF_SHOP);
      expect([route, refused.status, refused.json]).toMatchObject([
        route,
        403,
        {
          error: {
            code: 'API_FORBIDDEN',
            message: expect.stringMatching(/^sam may change shop, and this concerns wiki/),
          },
        },
      ]);
      expect([route, carriedOut()]).toEqual([route, []]);
      expect([route, (await order(OF_WIKI)).status, carriedOut()]).toEqual([route, 200, [asked]]);
    }
    const kept = stage.controller.audited.map(({ type, who, code }) => [type, who, code]);
    expect(kept.filter(([type]) => type === 'order')).toEqual(routes.map(() => ['order', 'wendy', null]));
    expect(kept.filter(([type]) => type === 'refusal')).toEqual([['refusal', 'sam', 'API_FORBIDDEN']]);
  });

  it('api - a spare is dismissed by its engagement, which may be of another service than last time', async () => {
    const dismiss = (token: string) => stage.ask('/v1/dismiss', { token, body: { host: 'spare1' } });
    expect((await dismiss(OF_SHOP)).status).toBe(403);
    expect((await dismiss(OF_WIKI)).status).toBe(200);
    stage.controller.engagements = [{ ...engagement, name: 'shop-7', service: 'shop' }];
    expect((await dismiss(OF_WIKI)).status).toBe(403);
    expect(carriedOut()).toEqual(['dismiss {"engagement":"wiki-1"}']);
  });

  it('api - what several services share takes all of them, and what belongs to none is not theirs', async () => {
    const power = (host: string, token: string) =>
      stage.ask(`/v1/hosts/${host}/power`, { token, body: { state: 'on' } });
    // In the pools of both.
    expect((await power('spare1', OF_WIKI)).json).toMatchObject({
      error: { message: expect.stringMatching(/concerns shop$/) },
    });
    const maintenance = { token: OF_WIKI, body: { state: 'on' } };
    expect((await stage.ask('/v1/hosts/spare1/maintenance', maintenance)).json).toMatchObject({
      error: { message: expect.stringMatching(/concerns shop$/) },
    });
    expect((await power('spare9', OF_WIKI)).json).toMatchObject({
      error: { message: expect.stringMatching(/no service$/) },
    });
    expect((await stage.ask('/v1/approve', { token: OF_WIKI, body: { plan: 'gone' } })).status).toBe(403);
    expect(carriedOut()).toEqual([]);
  });

  it.each(Object.entries(RECORDS))('api - %s is for operators of all services', async (route, body) => {
    const path = route.split(' ')[1] ?? '';
    const ask = (token: string) => stage.ask(path, { token, ...(body === undefined ? {} : { body }) });
    expect((await ask(OF_WIKI)).json).toMatchObject({
      error: { code: 'API_FORBIDDEN', message: expect.stringMatching(/no service$/) },
    });
    expect(carriedOut()).toEqual([]);
    expect((await ask(OPERATOR)).status).toBe(200);
  });

  it('api - an order by force is kept as one, and a limited operator gives it about its own service', async () => {
    const order = { token: OF_WIKI, body: { engagement: 'wiki-1', force: true } };
    expect((await stage.ask('/v1/dismiss', { ...order, token: OF_SHOP })).status).toBe(403);
    expect((await stage.ask('/v1/dismiss', order)).status).toBe(200);
    expect(carriedOut()).toEqual(['dismiss {"engagement":"wiki-1","force":true}']);
    const kept = stage.controller.audited.filter(({ type }) => type === 'order');
    expect(kept).toMatchObject([{ who: 'wendy', request: { engagement: 'wiki-1', force: 'true' } }]);
  });

  it('api - they look at everything, as a viewer does', async () => {
    for (const path of ['/v1/status', '/v1/services/wiki/decisions', '/v1/audit', '/metrics']) {
      expect([path, (await stage.ask(path, { token: OF_SHOP })).status]).toEqual([path, 200]);
    }
  });

  it('api - a route that does not say who may use it, or which services it concerns, cannot be built', () => {
    const app = Fastify();
    guard(app, {} as Parameters<typeof guard>[1]);
    expect(() => app.get('/a', async () => '')).toThrow(/nobody says who may use GET \/a/);
    expect(() => app.post('/b', { config: { access: 'operator' } }, async () => '')).toThrow(
      /nobody says which services POST \/b concerns/,
    );
  });
});
