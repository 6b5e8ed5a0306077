import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApi } from '../../src/api/mod.ts';
import { errorRegistry, isErrorCode } from '../../src/base/mod.ts';
import { loadConfiguration } from '../../src/config/mod.ts';
import { eventually } from '../rig/wait.ts';
import { AGENT, ApiStage, OPERATOR, OTHER_AGENT, VIEWER } from '../support/api-stage.ts';
import { drivers } from '../support/config-folder.ts';
import { ControllerPeer, decision, engagement, inspection } from '../support/controller-peer.ts';

let stage: ApiStage;
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(async () => {
  await stage.close();
  expect(stage.controller.readers).toBe(0);
});

const report = {
  boot: '0123456789abcdef0123456789abcdef',
  sequence: 1,
  sentAt: '2026-11-24T10:00:00.000Z',
  host: 'web1',
  verdict: 'degraded',
  since: '2026-11-24T09:59:00.000Z',
  ageMs: 60_000,
  evidence: [{ text: 'slow', values: { worst: 900, limit: 400, note: 'x', none: null } }],
  score: 2.25,
  lacksCapacity: true,
  outside: null,
  signals: {
    'probe.milliseconds': { value: 900, unit: 'ms', max: 950, mean: 900, samples: 5 },
    'cpu.pressure': { value: null, unit: '%', error: 'none', samples: 0 },
  },
  changes: [{ number: 1, at: '2026-11-24T09:59:00.000Z', ageMs: 60_000, verdict: 'degraded', evidence: [] }],
  dropped: 0,
};

describe('what the interface answers', () => {
  it('api - status is what the controller says', async () => {
    const { status, json } = await stage.ask('/v1/status', { token: VIEWER });
    expect(status).toBe(200);
    const warnings = [expect.stringMatching(/tokens in clear text \(alice, grafana\)/)];
    expect(json).toEqual({ ...JSON.parse(JSON.stringify(await stage.controller.status())), warnings });
  });

  it('api - decisions, an engagement, and the number of decisions that was asked for', async () => {
    stage.controller.decisions = Array(30).fill(decision);
    const all = await stage.ask('/v1/services/wiki/decisions', { token: VIEWER });
    expect(all.json).toEqual({ decisions: Array(20).fill(decision) });
    const two = await stage.ask('/v1/services/wiki/decisions?limit=2', { token: VIEWER });
    expect(two.json).toEqual({ decisions: [decision, decision] });
    const one = await stage.ask('/v1/engagements/wiki-1', { token: VIEWER });
    expect(one.json).toEqual(engagement);
    expect(stage.controller.asked).toEqual(['explain wiki 20', 'explain wiki 2', 'engagement wiki-1']);
  });

  it('api - an operator sees what the disk of a host says, a viewer does not', async () => {
    const seen = await stage.ask('/v1/hosts/web1/inspection', { token: OPERATOR });
    expect([seen.status, seen.json]).toEqual([200, inspection]);
    expect((await stage.ask('/v1/hosts/web1/inspection', { token: VIEWER })).status).toBe(403);
    expect(stage.controller.asked).toEqual(['inspect web1']);
  });

  it('api - orders reach the controller', async () => {
    const order = (path: string, body: unknown) => stage.ask(path, { token: OPERATOR, body });
    expect((await order('/v1/clone', { lead: 'web1', to: 'spare2' })).json).toEqual({ engagement: 'wiki-2' });
    expect((await order('/v1/dismiss', { host: 'spare1' })).json).toEqual({ engagement: 'wiki-1' });
    expect((await order('/v1/dismiss', { engagement: 'wiki-1' })).json).toEqual({ engagement: 'wiki-1' });
    expect((await order('/v1/approve', { plan: 'p-1' })).json).toEqual({ engagement: 'wiki-3' });
    expect((await order('/v1/hosts/spare2/power', { state: 'off' })).json).toEqual({ power: 'off' });
    expect(stage.controller.asked).toEqual([
      'clone web1 spare2',
      'dismiss {"host":"spare1"}',
      'dismiss {"engagement":"wiki-1"}',
      'approve p-1',
      'power spare2 off',
    ]);
  });

  it('api - when nobody waits for the switching of a host any more, it is given up', async () => {
    let open = (): void => undefined;
    stage.controller.gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const socket = connect(Number(new URL(stage.url).port), '127.0.0.1');
    const body = '{"state":"off"}';
    socket.write(
      `POST /v1/hosts/spare2/power HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${OPERATOR}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await eventually('the order', () => stage.controller.asked.includes('power spare2 off'));
    socket.destroy();
    await eventually('the end', () => stage.controller.signals[0]?.aborted);
    open();
  });

  it('api - a report reaches the controller, and the instruction the agent', async () => {
    const objective = { below: 400, fastSeconds: 10, slowSeconds: null, share: 0.5 };
    const learned = { direction: 'above' as const, learnSamples: 300 };
    stage.controller.instruction = {
      signals: [
        { name: 'probe.milliseconds', objective, baseline: null, outside: false },
        { name: 'cpu.pressure', objective: null, baseline: learned, outside: true },
      ],
      probe: { url: 'http://10.0.0.11/', contains: null, timeoutMs: 5000 },
      reportSeconds: 5,
    };
    const { status, json } = await stage.ask('/v1/agents/web1/reports', { token: AGENT, body: report });
    expect([status, json]).toEqual([200, stage.controller.instruction]);
    expect(stage.controller.reports).toEqual([['web1', report]]);
  });

  it('api - listens on loopback only, says where in a private file, and is gone after the end', async () => {
    expect(stage.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9][0-9]*$/);
    const file = stage.config.path('state/api.json');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ url: stage.url, token: expect.any(String) });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await stage.ask('/healthz')).json).toEqual({ ok: true });
    await stage.api.close();
    expect(() => statSync(file)).toThrow(/ENOENT/);
    await expect(stage.ask('/healthz')).rejects.toThrow(/ECONNREFUSED/);
  });

  it('api - the end waits for what is being answered, and for nobody else', async () => {
    let open = (): void => undefined;
    stage.controller.gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const agent = new Agent({ keepAlive: true });
    const idle = request(`${stage.url}/healthz`, { agent }).end();
    const [response] = await once(idle, 'response');
    response.resume();
    await once(response, 'end');
    const asked = stage.ask('/v1/status', { token: VIEWER });
    await eventually('it is asked', () => stage.controller.asked.includes('status'));
    const closed = stage.api.close();
    await eventually('the door is shut', async () =>
      stage
        .ask('/healthz')
        .then(() => false)
        .catch(() => true),
    );
    open();
    expect((await asked).status).toBe(200);
    await closed;
    agent.destroy();
  });

  it('api - a second one at the same address says so, and leaves the first alone', async () => {
    const port = Number(new URL(stage.url).port);
    const loaded = await loadConfiguration(stage.file, drivers);
    const configuration = { ...loaded, api: { ...loaded.api, port } };
    const second = await createApi({ controller: new ControllerPeer(), configuration, version: '1' });
    await expect(second.listen()).rejects.toMatchObject({
      code: 'API_ADDRESS',
      message: expect.stringContaining('EADDRINUSE'),
    });
    await second.close();
    expect(JSON.parse(readFileSync(stage.config.path('state/api.json'), 'utf8'))).toMatchObject({ url: stage.url });
  });
});

describe('who may do what', () => {
  const nobody: readonly (readonly [string, string | undefined])[] = [
    ['no token', undefined],
    ['an unknown token', 'Bearer viewer-0123456789abcdeg'],
    ['a token without scheme', VIEWER],
    ['another scheme', `Basic ${VIEWER}`],
    ['a part of a token', `Bearer ${VIEWER.slice(0, -1)}`],
    ['two tokens', `Bearer ${VIEWER} ${OPERATOR}`],
    ['nothing', 'Bearer '],
  ];
  it.each(nobody)('api - %s is refused', async (_, authorization) => {
    const headers = authorization === undefined ? undefined : { authorization };
    const { status, json, headers: answered } = await stage.ask('/v1/status', headers === undefined ? {} : { headers });
    expect([status, json]).toEqual([401, { error: { code: 'API_UNAUTHORIZED', message: expect.any(String) } }]);
    expect(answered['www-authenticate']).toBe('Bearer realm="understudy"');
    expect(stage.controller.asked).toEqual([]);
  });

  const reads = ['/v1/status', '/v1/services/wiki/decisions', '/v1/engagements/wiki-1', '/metrics'];
  const orders: readonly (readonly [string, unknown])[] = [
    ['/v1/clone', { lead: 'web1', to: 'spare2' }],
    ['/v1/dismiss', { host: 'spare1' }],
    ['/v1/approve', { plan: 'p' }],
    ['/v1/hosts/spare2/power', { state: 'on' }],
  ];

  it('api - a viewer reads and orders nothing; an operator does both; an agent neither', async () => {
    const statuses = async (token: string): Promise<readonly (readonly number[])[]> => [
      await Promise.all(reads.map(async (path) => (await stage.ask(path, { token })).status)),
      await Promise.all(orders.map(async ([path, body]) => (await stage.ask(path, { token, body })).status)),
    ];
    expect(await statuses(VIEWER)).toEqual([reads.map(() => 200), orders.map(() => 403)]);
    expect(await statuses(OPERATOR)).toEqual([reads.map(() => 200), orders.map(() => 200)]);
    expect(await statuses(AGENT)).toEqual([reads.map(() => 403), orders.map(() => 403)]);
    expect((await stage.ask('/v1/events', { token: AGENT })).status).toBe(403);
  });

  it.each([
    ['the token of another host', '/v1/agents/web1/reports', OTHER_AGENT, 403, 'API_FORBIDDEN'],
    ['the token of an operator', '/v1/agents/web1/reports', OPERATOR, 403, 'API_FORBIDDEN'],
    ['a host that does not exist', '/v1/agents/web9/reports', AGENT, 404, 'HOST_UNKNOWN'],
    ['no known token', '/v1/agents/web9/reports', 'x'.repeat(20), 401, 'API_UNAUTHORIZED'],
  ])('api - a report with %s is refused', async (_, path, token, status, code) => {
    const answer = await stage.ask(path, { token, body: report });
    expect([answer.status, answer.json]).toMatchObject([status, { error: { code } }]);
    expect(stage.controller.reports).toEqual([]);
  });

  it('api - what is in the files of tokens is checked, with file and line', async () => {
    const configuration = await loadConfiguration(stage.file, drivers);
    const make = () => createApi({ controller: stage.controller, configuration, version: '1' });
    const refused = async (name: string, text: string, words: RegExp, mode = 0o600): Promise<void> => {
      const before = readFileSync(stage.config.path(`secrets/${name}`), 'utf8');
      stage.config.secret(name, text, mode);
      await expect(make()).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(words) });
      stage.config.secret(name, before);
    };
    await refused(
      'api',
      `operator alice ${OPERATOR}\nroot bob ${VIEWER}`,
      /secrets\/api:2:1: a line is "ROLE NAME TOKEN"/,
    );
    await refused('api', 'operator alice short', /secrets\/api:1:1: a token is 16 to 512 letters/);
    await refused('api', `operator al!ce ${OPERATOR}`, /:1:1: a name is letters/);
    await refused('api', `operator local ${OPERATOR}`, /:1:1: the name "local" is that of commands on/);
    await refused('api', `operator alice ${'abcabc'.repeat(8)}`, /:1:1: a token with 3 different characters can be/);
    await refused('web1', 'x'.repeat(32), /secrets\/web1: a token with 1 different characters can be guessed/);
    await refused('api', `operator alice ${OPERATOR} services=shop`, /alice names the service "shop", which does not/);
    await refused('api', `viewer alice ${OPERATOR} services=wiki`, /only an operator can be limited to services/);
    await refused('api', `operator alice ${OPERATOR} expires=never`, /is neither expires=TIME nor/);
    await refused('api', `agent web9 ${OPERATOR}`, /there is no host "web9" for this agent/);
    await refused('api', 'operator alice sha256:12', /a digest is "sha256:" and 64 hexadecimal digits/);
    await refused('api', `operator a ${OPERATOR}\nviewer b ${OPERATOR}`, /the token of b is somebody else's too/);
    await refused(
      'api',
      `operator alice ${OPERATOR} second-half-of-it`,
      /^(?!.*second-half).* is neither expires=TIME nor/,
    );
    await refused('web1', '', /secrets\/web1: a token is/);
    await refused('web1', OPERATOR, /the token of web1 is somebody else's too/);
    await refused('api', `operator alice ${OPERATOR}`, /by others \(mode 0644\)/, 0o644);
  });
});

describe('what is not taken', () => {
  it.each<[string, string, unknown]>([
    ['no JSON', '/v1/clone', '{"lead":'],
    ['nothing', '/v1/clone', ''],
    ['a list', '/v1/clone', [1]],
    ['an entry too few', '/v1/clone', { lead: 'web1' }],
    ['an entry too many', '/v1/clone', { lead: 'web1', to: 'spare1', mode: 'automatic' }],
    ['a number', '/v1/clone', { lead: 1, to: 'spare1' }],
    ['a path', '/v1/clone', { lead: '../web1', to: 'spare1' }],
    ['both kinds', '/v1/dismiss', { host: 'spare1', engagement: 'wiki-1' }],
    ['a prototype', '/v1/clone', '{"__proto__":{"lead":"web1"},"to":"spare1"}'],
    ['an unknown state', '/v1/hosts/web1/power', { state: 'unknown' }],
  ])('api - an order with %s is refused', async (_, path, body) => {
    const { status, json } = await stage.ask(path, { token: OPERATOR, body });
    expect([status, json]).toMatchObject([400, { error: { code: 'API_INVALID' } }]);
    expect(stage.controller.asked).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['of another host', { ...report, host: 'spare1' }],
    [
      'with too many signals',
      {
        ...report,
        signals: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`s${i}`, { value: 1, unit: '1' }])),
      },
    ],
    ['with a strange signal', { ...report, signals: { 'a b': { value: 1, unit: '1' } } }],
    ['with long evidence', { ...report, evidence: [{ text: 'x'.repeat(501), values: {} }] }],
    ['with much evidence', { ...report, evidence: Array(9).fill({ text: 'x', values: {} }) }],
    ['with too many changes', { ...report, changes: Array(65).fill(report.changes[0]) }],
    ['that is no report', {}],
  ])('api - a report %s is refused', async (_, body) => {
    const { status, json } = await stage.ask('/v1/agents/web1/reports', { token: AGENT, body });
    expect([status, json]).toMatchObject([400, { error: { code: 'API_INVALID' } }]);
    expect(stage.controller.reports).toEqual([]);
  });

  it('api - what is too long is refused before it is read', async () => {
    const order = await stage.ask('/v1/clone', { token: OPERATOR, body: { lead: 'x'.repeat(20_000), to: 'y' } });
    expect([order.status, order.json]).toMatchObject([413, { error: { code: 'API_TOO_LARGE' } }]);
    const long = await stage.ask('/v1/agents/web1/reports', { token: AGENT, body: { x: 'x'.repeat(256 * 1024) } });
    expect([long.status, long.json]).toMatchObject([413, { error: { code: 'API_TOO_LARGE' } }]);
    const path = await stage.ask(`/v1/engagements/${'x'.repeat(300)}`, { token: VIEWER });
    expect([path.status, path.json]).toMatchObject([400, { error: { code: 'API_INVALID' } }]);
  });

  it('api - another kind of content, an unknown path and an unknown method are refused in the same form', async () => {
    const headers = { 'content-type': 'text/plain' };
    const text = await stage.ask('/v1/clone', { token: OPERATOR, body: 'lead=web1', headers });
    expect([text.status, text.json]).toMatchObject([400, { error: { code: 'API_INVALID' } }]);
    for (const [path, method] of [
      ['/v1/clone', 'PUT'],
      ['/v2/status', 'GET'],
      ['/', 'GET'],
      ['/v1/status/', 'GET'],
    ] as const) {
      const { status, json } = await stage.ask(path, { token: OPERATOR, method });
      expect([path, status, json]).toMatchObject([path, 404, { error: { code: 'API_NOT_FOUND' } }]);
    }
    const badLimit = await stage.ask('/v1/services/wiki/decisions?limit=0', { token: VIEWER });
    expect([badLimit.status, badLimit.json]).toMatchObject([
      400,
      { error: { code: 'API_INVALID', message: expect.stringContaining('limit') } },
    ]);
  });

  async function raw(text: string): Promise<string> {
    const socket = connect(Number(new URL(stage.url).port), '127.0.0.1');
    socket.write(text);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    return answer;
  }

  const CLOSE = 'Connection: close\r\n\r\n';
  const HOST = 'Host: 127.0.0.1\r\n';
  it.each([
    ['what is no HTTP', '\x16\x03\x01 this is TLS\r\n\r\n'],
    ['a path that cannot be decoded', `GET /v1/%E0%A4%A HTTP/1.1\r\n${HOST}${CLOSE}`],
    ['an expectation that nobody meets', `GET /healthz HTTP/1.1\r\n${HOST}Expect: something\r\n${CLOSE}`],
    ['a request without Host', `GET /healthz HTTP/1.1\r\n${CLOSE}`],
  ])('api - %s is answered in the same form and cut off', async (_, text) => {
    const answer = await raw(text);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ error: { code: 'API_INVALID' } });
  });

  it('api - HEAD of the events, to which there would be no answer, takes the place of no reader', async () => {
    const { readers } = stage.controller;
    const answer = await raw(`HEAD /v1/events HTTP/1.1\r\n${HOST}Authorization: Bearer ${VIEWER}\r\n${CLOSE}`);
    expect([answer.split('\r\n')[0], stage.controller.readers]).toEqual(['HTTP/1.1 404 Not Found', readers]);
  });
});

describe('errors', () => {
  it('api - every registered code has its status and body, whoever throws it', async () => {
    for (const [code, { http }] of Object.entries(errorRegistry)) {
      if (!isErrorCode(code)) throw new Error(code);
      stage.controller.fail(code);
      // 499 is nginx's number for a caller who has gone: nobody reads the answer.
      const { status, json } = await stage.ask('/v1/status', { token: VIEWER });
      expect([status, json]).toEqual([http, { error: { code, message: `told to: ${code}` } }]);
    }
  });

  it('api - a defect is answered without its cause, told with its route, and everybody else is served', async () => {
    stage.controller.trouble = new TypeError('undefined is not a function (secret)');
    const { status, json } = await stage.ask('/v1/status', { token: VIEWER });
    expect([status, json]).toEqual([
      500,
      { error: { code: 'INTERNAL', message: 'a defect of the program; its output has more' } },
    ]);
    await eventually('the defect', () => stage.defects[0] === stage.controller.trouble);
    expect(stage.routes).toEqual(['GET /v1/status']);
    stage.controller.trouble = null;
    expect((await stage.ask('/v1/status', { token: VIEWER })).status).toBe(200);
  });

  it('api - an answer of the controller that is not what was agreed is a defect', async () => {
    stage.controller.engagements = [{ ...engagement, phase: 'intermission' as 'serving' }];
    expect((await stage.ask('/v1/status', { token: VIEWER })).status).toBe(500);
    await eventually('the defect', () => stage.defects.length === 1);
  });
});
