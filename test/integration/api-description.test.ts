import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorRegistry } from '../../src/base/mod.ts';
import { eventually } from '../rig/wait.ts';
import { type Answer, ApiStage, OPERATOR, VIEWER } from '../support/api-stage.ts';
import { decision, hold, NOW } from '../support/controller-peer.ts';
import { parseMetrics, sampleOf } from '../support/prometheus.ts';

let stage: ApiStage;
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(async () => {
  await stage.close();
});

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly security?: readonly unknown[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content?: Readonly<Record<string, { readonly schema: object }>> }
    >
  >;
}

interface Description {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly properties?: Readonly<Record<string, unknown>> }>>;
    readonly securitySchemes: object;
  };
}

async function description(): Promise<Description> {
  return (await stage.ask('/openapi.json')).json as Description;
}

function operationsOf({ paths }: Description): readonly (readonly [string, Operation])[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation] as const),
  );
}

/** Every "$ref" of a value. */
function referencesIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [inner] : referencesIn(inner),
  );
}

describe('the description', () => {
  it('api - is OpenAPI 3.1 and has every route, each with who may use it', async () => {
    const document = await description();
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: 'Understudy', version: '1.2.3' });
    expect(document.components.securitySchemes).toEqual({
      token: { type: 'http', scheme: 'bearer' },
      certificate: { type: 'mutualTLS' },
    });
    const who = operationsOf(document).map(([name, { description: text }]) => [name, text]);
    expect(Object.fromEntries(who)).toEqual({
      'get /healthz': undefined,
      'get /metrics': 'For: viewer.',
      'get /v1/audit': 'For: viewer.',
      'get /v1/engagements': 'For: viewer.',
      'get /v1/engagements/{name}': 'For: viewer.',
      'get /v1/events': 'For: viewer.',
      'get /v1/hosts/{name}/inspection': 'For: operator.',
      'get /v1/services/{name}/decisions': 'For: viewer.',
      'get /v1/status': 'For: viewer.',
      'post /v1/agents/{host}/reports': 'For: the agent of the host.',
      'post /v1/approve': 'For: operator.',
      'post /v1/clone': 'For: operator.',
      'post /v1/dismiss': 'For: operator.',
      'get /v1/records': 'For: operator.',
      'post /v1/dismissal': 'For: operator.',
      'post /v1/records/remove': 'For: operator.',
      'post /v1/reload': 'For: operator.',
      'post /v1/hosts/{name}/power': 'For: operator.',
      'post /v1/hosts/{name}/maintenance': 'For: operator.',
      'post /v1/services/{name}/pause': 'For: operator.',
      'post /v1/services/{name}/resume': 'For: operator.',
      'post /v1/engagements/{name}/acknowledge': 'For: operator.',
    });
  });

  it('api - is complete: parameters of paths, bodies of orders, answers, and no reference leads nowhere', async () => {
    const document = await description();
    for (const [name, operation] of operationsOf(document)) {
      const inPath = [...name.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = (operation.parameters ?? []).filter((one) => one.in === 'path' && one.required === true);
      expect([name, declared.map((one) => one.name)]).toEqual([name, inPath]);
      expect([name, operation.requestBody !== undefined]).toEqual([name, name.startsWith('post ')]);
      expect([name, operation.responses['200']?.content]).toEqual([name, expect.any(Object)]);
      expect([name, operation.security !== undefined]).toEqual([name, name !== 'get /healthz']);
    }
    const names = Object.keys(document.components.schemas);
    for (const reference of referencesIn(document)) {
      expect(names).toContain(reference.replace('#/components/schemas/', ''));
    }
    expect(names).toEqual(expect.arrayContaining(['Status', 'Engagement', 'Decision', 'Event', 'Report', 'Failure']));
  });

  it('api - has every code of the registry, and each under its HTTP status', async () => {
    const document = await description();
    const codes = JSON.stringify(document.components.schemas.Failure?.properties?.error);
    expect(JSON.parse(codes)).toMatchObject({
      properties: { code: { enum: [...Object.keys(errorRegistry), 'INTERNAL'] }, message: { type: 'string' } },
    });
    const listed = new Set<string>();
    for (const [name, { responses }] of operationsOf(document)) {
      for (const [status, { description: text }] of Object.entries(responses)) {
        if (!/^[A-Z_, ]+$/.test(text)) continue;
        for (const code of text.split(', ')) {
          listed.add(code);
          const { http } = errorRegistry[code as keyof typeof errorRegistry];
          expect([name, code, String(http)]).toEqual([name, code, status]);
        }
      }
    }
    const ours = Object.keys(errorRegistry).filter((code) => /^API_/.test(code));
    // These have no route: there is no such path, or no server, or not the one that is trusted.
    const elsewhere = ['API_NOT_FOUND', 'API_ADDRESS', 'API_UNTRUSTED', 'API_INSECURE'];
    expect(ours.filter((code) => !listed.has(code) && !elsewhere.includes(code))).toEqual([]);
  });

  it('api - what a route says it can answer is what it answers', async () => {
    const document = await description();
    const bodies: Readonly<Record<string, unknown>> = {
      '/v1/clone': { lead: 'web1', to: 'spare2' },
      '/v1/dismiss': { host: 'spare1' },
      '/v1/dismissal': { host: 'spare1' },
      '/v1/records/remove': { key: 'plan/wiki', revision: 1 },
      '/v1/reload': {},
      '/v1/approve': { plan: 'p' },
      '/v1/services/{name}/pause': {},
      '/v1/services/{name}/resume': {},
      '/v1/hosts/{name}/maintenance': { state: 'on' },
      '/v1/engagements/{name}/acknowledge': {},
      '/v1/hosts/{name}/power': { state: 'on' },
    };
    for (const [name, { responses }] of operationsOf(document)) {
      const path = name.split(' ')[1] ?? '';
      if (/events|metrics|agents|healthz/.test(path)) continue;
      const codes = Object.values(responses).flatMap(({ description: text }) =>
        /^[A-Z_, ]+$/.test(text) ? text.split(', ') : [],
      );
      for (const code of codes.filter((one) => !one.startsWith('API_'))) {
        stage.controller.fail(code as keyof typeof errorRegistry);
        const url = path.replace('{name}', 'wiki-1');
        const answer: Answer = await stage.ask(url, {
          token: OPERATOR,
          ...(path in bodies ? { body: bodies[path] } : {}),
        });
        expect([name, code, Object.keys(responses)]).toEqual([
          name,
          code,
          expect.arrayContaining([String(answer.status)]),
        ]);
        expect(answer.json).toMatchObject({ error: { code } });
      }
    }
  });
});

describe('metrics', () => {
  async function metrics() {
    const { status, headers, text } = await stage.ask('/metrics', { token: VIEWER });
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    return parseMetrics(text);
  }

  it('api - time to capacity and its stages are distributions by service', async () => {
    const { controller } = stage;
    for (const seconds of [0.5, 12, 12, 45, 90_000]) {
      const data = { engagement: 'wiki-1', service: 'wiki', seconds };
      controller.emit({ kind: 'capacity', subject: 'engagement/wiki-1', text: 'x', data });
      controller.emit({ kind: 'stage', subject: 'engagement/wiki-1', text: 'x', data: { ...data, phase: 'boot' } });
    }
    const families = await eventually('all are counted', async () => {
      const now = await metrics();
      const count = sampleOf(
        now.get('understudy_stage_seconds'),
        { service: 'wiki', phase: 'boot' },
        'understudy_stage_seconds_count',
      );
      return count === 5 && now;
    });
    const capacity = families.get('understudy_time_to_capacity_seconds');
    expect(capacity?.type).toBe('histogram');
    const upTo = (le: string) => sampleOf(capacity, { service: 'wiki', le });
    expect([upTo('1'), upTo('10'), upTo('20'), upTo('60'), upTo('14400'), upTo('+Inf')]).toEqual([1, 1, 3, 4, 4, 5]);
    expect(sampleOf(capacity, { service: 'wiki' }, 'understudy_time_to_capacity_seconds_sum')).toBe(90_069.5);
    expect(sampleOf(capacity, { service: 'wiki' }, 'understudy_time_to_capacity_seconds_count')).toBe(5);
  });

  it('api - what waits for people, what they ordered, and what services need beside hosts', async () => {
    const { controller } = stage;
    const plan = { id: 'wiki-plan', action: 'scale-out', lead: 'web1', understudy: 'spare1', reason: 'x' } as const;
    const value = async (name: string, labels: Readonly<Record<string, string>>) => {
      return sampleOf((await metrics()).get(name), labels);
    };
    const wiki = { service: 'wiki' };
    expect(await value('understudy_pending_plans', wiki)).toBe(0);
    expect(await value('understudy_service_held', { ...wiki, kind: 'pause' })).toBe(0);
    const [service] = controller.services;
    const [web1, ...others] = controller.hosts;
    if (service === undefined || web1 === undefined) throw new Error('there is nothing to change');
    controller.services = [{ ...service, pendingPlan: { ...plan, proposedAt: NOW }, holds: [hold] }];
    controller.hosts = [{ ...web1, holds: [{ ...hold, kind: 'maintenance', name: 'web1' }] }, ...others];
    const director = { kind: 'director', name: 'wiki' };
    expect([
      await value('understudy_pending_plans', wiki),
      await value('understudy_pending_plan_proposed_timestamp_seconds', wiki),
      await value('understudy_service_held', { ...wiki, kind: 'pause' }),
      await value('understudy_service_held', { ...wiki, kind: 'dismissal' }),
      await value('understudy_host_maintenance', { host: 'web1' }),
      await value('understudy_host_maintenance', { host: 'spare1' }),
      await value('understudy_component_state', { ...director, state: 'ok' }),
      await value('understudy_component_state', { ...director, state: 'down' }),
      await value('understudy_unusable_records', {}),
    ]).toEqual([1, Date.parse(NOW) / 1000, 1, 0, 1, 0, 1, 0, 0]);
  });

  it('api - verdicts, hosts, engagements, decisions and requests are counted', async () => {
    stage.controller.emit({
      kind: 'decision',
      subject: 'service/wiki',
      text: 'x',
      data: { ...decision, service: 'a"b\\c\nd' },
    });
    await stage.ask('/v1/status', { token: VIEWER });
    await stage.ask('/v1/status');
    await stage.ask('/nowhere');
    const families = await eventually('the decision and the requests are counted', async () => {
      const now = await metrics();
      const refused = sampleOf(now.get('understudy_api_requests_total'), {
        method: 'GET',
        route: 'none',
        status: '404',
      });
      const count = now.get('understudy_decisions_total')?.samples.length;
      return count === 1 && refused === 1 && now;
    });
    const value = (name: string, labels: Readonly<Record<string, string>>) => sampleOf(families.get(name), labels);
    expect(value('understudy_decisions_total', { service: 'a"b\\c\nd', action: 'scale-out', outcome: 'started' })).toBe(
      1,
    );
    expect(value('understudy_service_verdict', { service: 'wiki', verdict: 'degraded' })).toBe(1);
    expect(value('understudy_service_verdict', { service: 'wiki', verdict: 'healthy' })).toBe(0);
    expect(value('understudy_service_hosts', { service: 'wiki' })).toBe(2);
    expect(value('understudy_service_hosts_max', { service: 'wiki' })).toBe(3);
    expect(value('understudy_hosts', { role: 'lead', power: 'on' })).toBe(1);
    expect(value('understudy_hosts', { role: 'spare', power: 'off' })).toBe(1);
    expect(value('understudy_hosts', { role: 'spare', power: 'unknown' })).toBe(0);
    expect(value('understudy_engagements', { service: 'wiki', state: 'running' })).toBe(1);
    expect(value('understudy_engagements', { service: 'wiki', state: 'failed' })).toBe(0);
    expect(value('understudy_agent_last_seen_timestamp_seconds', { host: 'web1' })).toBe(
      Date.parse('2026-11-24T10:00:00Z') / 1000,
    );
    expect(value('understudy_controller_epoch', {})).toBe(7);
    expect(value('understudy_api_requests_total', { method: 'GET', route: '/v1/status', status: '200' })).toBe(1);
    expect(value('understudy_api_requests_total', { method: 'GET', route: '/v1/status', status: '401' })).toBe(1);
    expect(value('understudy_info', { version: '1.2.3' })).toBe(1);
  });

  it('api - events that cannot be read fail the metrics, and are read on from where they were', async () => {
    const { controller } = stage;
    const data = { engagement: 'wiki-1', service: 'wiki', seconds: 3 };
    const capacity = async () => {
      const family = (await metrics()).get('understudy_time_to_capacity_seconds');
      return sampleOf(family, { service: 'wiki' }, 'understudy_time_to_capacity_seconds_count');
    };
    controller.emit({ kind: 'capacity', subject: 'engagement/wiki-1', text: 'x', data });
    await eventually('one is counted', async () => (await capacity()) === 1);
    controller.fail('STORE_FAILED', 'disk');
    controller.emit({ kind: 'capacity', subject: 'engagement/wiki-1', text: 'x', data });
    await eventually('it is said', async () => (await stage.ask('/metrics', { token: VIEWER })).status >= 500);
    controller.trouble = null;
    await eventually('both are counted', async () => {
      return (await stage.ask('/metrics', { token: VIEWER })).status === 200 && (await capacity()) === 2;
    });
  });
});
