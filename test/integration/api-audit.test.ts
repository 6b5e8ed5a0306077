import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Audit } from '../../src/api/audit.ts';
import type { AuditEntry } from '../../src/controller/mod.ts';
import { eventually } from '../rig/wait.ts';
import { AGENT, ApiStage, OPERATOR, VIEWER } from '../support/api-stage.ts';
import { decision } from '../support/controller-peer.ts';

let stage: ApiStage;
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(() => stage.close());

type Request = Parameters<Audit['refused']>[0];

function requestFrom(remoteAddress: string): Request {
  return { method: 'GET', raw: { socket: { remoteAddress } }, routeOptions: { url: '/v1/status' } } as Request;
}

describe('what is kept of orders and refusals', () => {
  it('api - an order is kept with who, from where and what before it is carried out, in events', async () => {
    let open = (): void => undefined;
    stage.controller.gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const asked = stage.ask('/v1/clone', { token: OPERATOR, body: { lead: 'web1', to: 'spare1' } });
    await eventually('it is asked', () => stage.controller.asked.length > 0);
    const text = 'alice (operator) at 127.0.0.1: POST /v1/clone lead=web1 to=spare1';
    expect(stage.controller.audited).toEqual([
      {
        ...{ at: expect.any(String), type: 'order', who: 'alice', role: 'operator', by: 'token', from: '127.0.0.1' },
        ...{ action: 'POST /v1/clone', request: { lead: 'web1', to: 'spare1' }, code: null, text, count: 1 },
      },
    ]);
    open();
    expect((await asked).status).toBe(200);
    const { json } = await stage.ask('/v1/audit', { token: VIEWER });
    expect(json).toEqual({ entries: stage.controller.audited });
    const later = await stage.ask('/v1/audit?since=2999-01-01T00:00:00Z', { token: VIEWER });
    expect(later.json).toEqual({ entries: [] });
  });

  it('api - an order that the controller refuses is kept with its end, and one that cannot be kept is not carried out', async () => {
    const order = () => stage.ask('/v1/hosts/spare1/power', { token: OPERATOR, body: { state: 'off' } });
    stage.controller.record = (entry) => {
      stage.controller.emit({ kind: 'audit', subject: 'x', text: entry.text, data: entry });
      return Promise.resolve();
    };
    stage.controller.fail('ENGAGEMENT_REFUSED', 'spare1 is engaged');
    expect((await order()).status).toBe(409);
    expect(stage.controller.audited.map(({ type, who, code }) => [type, who, code])).toEqual([
      ['order', 'alice', null],
      ['outcome', 'alice', 'ENGAGEMENT_REFUSED'],
    ]);
    stage.controller.asked.splice(0);
    stage.controller.record = () => Promise.reject(Object.assign(new Error('disk full'), { code: 'STORE_FAILED' }));
    expect((await order()).json).toMatchObject({ error: { code: 'STORE_FAILED' } });
    expect(stage.controller.asked).toEqual([]);
  });

  it('api - each kind of refusal is kept with who and from where', async () => {
    await stage.ask('/v1/status');
    await stage.ask('/v1/status', { token: 'nobody-0123456789abcdef' });
    await stage.ask('/v1/clone', { token: VIEWER, body: { lead: 'web1', to: 'spare1' } });
    await stage.ask('/v1/status', { token: AGENT });
    await eventually('they are kept', () => stage.controller.audited.length >= 3);
    const kept = stage.controller.audited.map(({ type, who, role, from, action, code }) => [
      type,
      who,
      role,
      from,
      action,
      code,
    ]);
    expect(kept).toEqual([
      ['refusal', null, null, '127.0.0.1', 'GET /v1/status', 'API_UNAUTHORIZED'],
      ['refusal', 'grafana', 'viewer', '127.0.0.1', 'POST /v1/clone', 'API_FORBIDDEN'],
      ['refusal', 'web1', 'agent', '127.0.0.1', 'GET /v1/status', 'API_FORBIDDEN'],
    ]);
    // The second without a known token is in the count of the minute.
    await stage.api.close();
    expect(stage.controller.audited.at(-1)).toMatchObject({ type: 'refusal', who: null, count: 1 });
    expect(stage.said.join('\n')).not.toContain('nobody-0123456789abcdef');
  });

  it('api - refusals are counted by address and minute, addresses too; a path of the sender is not kept', async () => {
    const kept: AuditEntry[] = [];
    const record = async (entry: AuditEntry): Promise<void> => void kept.push(entry);
    const audit = new Audit({ record });
    for (let index = 0; index < 10_000; index += 1) audit.refused(requestFrom('10.0.0.1'), null, 'API_UNAUTHORIZED');
    expect(kept.map(({ from, count }) => [from, count])).toEqual([['10.0.0.1', 1]]);
    for (let index = 1; index <= 5000; index += 1) {
      audit.refused(requestFrom(`10.${index >> 8}.${index & 255}.1`), null, 'API_UNAUTHORIZED');
    }
    await audit.close();
    expect(kept.length).toBeLessThanOrEqual(64 + 64 + 1);
    expect(kept.reduce((sum, { count }) => sum + count, 0)).toBe(15_000);
    expect(kept.find(({ from, count }) => from === '10.0.0.1' && count > 1)?.text).toMatch(/, 9999 more in a minute$/);
    await stage.ask('/v1/%1b[31mred', { token: VIEWER });
    await stage.ask('/v1/secret-path');
    expect(JSON.stringify(stage.controller.audited)).not.toMatch(/red|secret/);
  });

  it('api - readers of events see them', async () => {
    stage.controller.emit({ kind: 'decision', subject: 'service/wiki', text: 'x', data: decision });
    await stage.ask('/v1/approve', { token: OPERATOR, body: { plan: 'p-1' } });
    expect(stage.controller.kept.map(({ kind }) => kind)).toEqual(['decision', 'audit']);
  });
});
