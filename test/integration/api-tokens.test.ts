// Tokens as people handle them: made, listed and revoked by the command, while the interface runs.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTokens, tokenForClient } from '../../src/api/mod.ts';
import { errorRegistry, runTool } from '../../src/base/mod.ts';
import { loadConfiguration } from '../../src/config/mod.ts';
import { eventually } from '../rig/wait.ts';
import { ApiStage, OPERATOR, VIEWER } from '../support/api-stage.ts';
import { drivers } from '../support/config-folder.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const NOTHING_SET = { UNDERSTUDY_URL: '', UNDERSTUDY_TOKEN_FILE: '' };

let stage: ApiStage;
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(() => stage.close());

function understudy(...args: readonly string[]) {
  return runTool(process.execPath, [PROGRAM, ...args, '-f', stage.file], { env: NOTHING_SET });
}

async function made(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await understudy('token', 'new', ...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/the only time that this token/) });
  expect(stdout).toMatch(/^[A-Za-z0-9_-]{43}\n$/);
  return stdout.trim();
}

async function statusWith(token: string, path = '/v1/status'): Promise<number> {
  return (await stage.ask(path, { token })).status;
}

const tokensFile = (): string => stage.config.path('secrets/api');

describe('understudy token', () => {
  it('cli - a token is made, shown once, kept as its digest, taken without a restart, and revoked at once', async () => {
    const before = readFileSync(tokensFile(), 'utf8');
    const token = await made('viewer', 'eve', '--expires', '90d');
    const text = readFileSync(tokensFile(), 'utf8');
    expect(text.startsWith(before)).toBe(true);
    expect(text).not.toContain(token);
    expect(text.slice(before.length)).toMatch(/^viewer eve sha256:[0-9a-f]{64} expires=\d{4}-\d\d-\d\dT[0-9:.]+Z\n$/);
    expect(statSync(tokensFile()).mode & 0o777).toBe(0o600);
    expect(await statusWith(token)).toBe(200);
    const again = await understudy('token', 'new', 'operator', 'eve');
    expect(again).toMatchObject({ status: errorRegistry.CONFIG_INVALID.exit, stdout: '' });
    expect(again.stderr).toMatch(/has a token of eve: revoke it first/);

    expect(await understudy('token', 'revoke', 'eve')).toMatchObject({ status: 0, stderr: '' });
    expect(await statusWith(token)).toBe(401);
    expect(await statusWith(OPERATOR)).toBe(200);
    expect(readFileSync(tokensFile(), 'utf8')).toBe(before);
    expect(readdirSync(stage.config.path('secrets')).sort()).toEqual(['api', 'spare1', 'web1']);
    expect(stage.controller.audited.filter(({ type }) => type === 'access').map(({ text: line }) => line)).toEqual([
      'the token of eve (viewer) is taken from now on',
      'the token of eve (viewer) is not taken any more',
    ]);
  });

  it('cli - the list has names, roles, expiry and services, and nothing that lets anybody in', async () => {
    const token = await made('operator', 'wendy', '--service', 'wiki', '--expires', '12h');
    writeFileSync(tokensFile(), `viewer old sha256:${'0'.repeat(64)} expires=2020-01-01T00:00:00Z\n`, { flag: 'a' });
    const { stdout } = await understudy('token', 'list', '--json');
    const list = JSON.parse(stdout) as object[];
    expect(shapeDifferences(documentedJson('token'), list)).toEqual([]);
    expect(list).toEqual([
      { name: 'alice', role: 'operator', expiresAt: null, services: null, state: 'clear' },
      { name: 'grafana', role: 'viewer', expiresAt: null, services: null, state: 'clear' },
      { name: 'wendy', role: 'operator', expiresAt: expect.any(String), services: ['wiki'], state: 'digest' },
      { name: 'old', role: 'viewer', expiresAt: '2020-01-01T00:00:00.000Z', services: null, state: 'expired' },
    ]);
    const plain = await understudy('token', 'list');
    expect(plain.stdout).toMatch(/^operator {2}alice {2}does not expire; in clear text: make a new one/m);
    expect(plain.stdout).toMatch(/^operator {2}wendy {2}expires .*, only wiki$/m);
    for (const secret of [token, OPERATOR, VIEWER, 'sha256']) expect(stdout + plain.stdout).not.toContain(secret);
    expect(await statusWith(token)).toBe(200);
  });

  it('cli - what cannot be is refused, and the file stays as it is', async () => {
    const before = readFileSync(tokensFile(), 'utf8');
    const refused = async (words: RegExp, ...args: readonly string[]): Promise<void> => {
      const { status, stdout, stderr } = await understudy('token', ...args);
      expect([args, stdout, status === 0]).toEqual([args, '', false]);
      expect(stderr).toMatch(words);
    };
    await refused(/no service "shop"/, 'new', 'operator', 'bob', '--service', 'shop');
    await refused(/--service limits an operator/, 'new', 'viewer', 'bob', '--service', 'wiki');
    await refused(/no host "web9"/, 'new', 'agent', 'web9');
    await refused(/the name "local" is that of commands on this machine/, 'new', 'operator', 'local');
    await refused(/"soon" is not a time; write for example 90d/, 'new', 'viewer', 'bob', '--expires', 'soon');
    await refused(/'root' is invalid/, 'new', 'root', 'bob');
    await refused(/has no token of "bob"/, 'revoke', 'bob');
    expect(readFileSync(tokensFile(), 'utf8')).toBe(before);
  });

  it('cli - several at the same time lose none', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const tokens = await Promise.all(names.map((name) => made('viewer', name)));
    expect(await Promise.all(tokens.map((token) => statusWith(token)))).toEqual([200, 200, 200, 200]);
  });

  it('cli - an agent may have one as well; it reports for its host alone', async () => {
    const token = await made('agent', 'web1');
    const report = (host: string) => stage.ask(`/v1/agents/${host}/reports`, { token, body: {} });
    expect([(await report('web1')).status, (await report('spare1')).status]).toEqual([400, 403]);
  });

  it('cli - commands on this machine need no token of their own, and are called local', async () => {
    writeFileSync(tokensFile(), `operator alice sha256:${'0'.repeat(64)}\n`);
    expect(await understudy('approve', 'p-1')).toMatchObject({ status: 0 });
    expect(stage.controller.audited.at(-1)).toMatchObject({ type: 'order', who: 'local', action: 'POST /v1/approve' });
    await expect(tokenForClient(tokensFile())).rejects.toMatchObject({ message: expect.stringContaining('digests') });
    const away = await runTool(process.execPath, [PROGRAM, 'status', '-f', stage.file, '--url', stage.url]);
    expect(away.stderr).toMatch(/it has digests; name the file with your own token/);
  });
});

describe('tokens while the interface runs', () => {
  it('api - a reader of events whose token is revoked is cut off', async () => {
    let ended = false;
    const headers = { authorization: `Bearer ${VIEWER}` };
    const reading = request(`${stage.url}/v1/events`, { headers, agent: false }, (response) => {
      response.resume().on('close', () => {
        ended = true;
      });
    });
    reading.end();
    await eventually('it reads', () => stage.controller.readers === 2);
    writeFileSync(tokensFile(), `operator alice ${OPERATOR}\n`);
    stage.controller.emit({ kind: 'error', subject: 'x', text: 'not for grafana', data: {} });
    await eventually('it is cut off', () => ended);
  });

  it('api - a token is taken until it expires, and its owner is named in the audit after that', async () => {
    const soon = new Date(Date.now() + 4000).toISOString();
    const [now, then] = ['expiring-0123456789abcdef', 'expired-0123456789abcdef'];
    const past = '2026-01-01T00:00:00Z';
    writeFileSync(
      tokensFile(),
      `viewer now ${now} expires=${soon}\nviewer then ${then} expires=${past}\noperator alice ${OPERATOR}\n`,
    );
    expect(await statusWith(now)).toBe(200);
    const late = await stage.ask('/v1/status', { token: then });
    expect([late.status, late.json]).toMatchObject([
      401,
      { error: { message: expect.stringContaining('expired on 2026') } },
    ]);
    expect(stage.controller.audited).toContainEqual(expect.objectContaining({ type: 'refusal', who: 'then' }));
    await eventually('the other expires', async () => (await statusWith(now)) === 401);
  });

  it('api - a file that became wrong lets in nobody by its wrong lines, and says which', async () => {
    stage.config.secret('api', `operator alice ${OPERATOR}\nviewer grafana\n`);
    expect([await statusWith(OPERATOR), await statusWith(VIEWER)]).toEqual([200, 401]);
    const told = (): string => stage.controller.audited.map(({ text }) => text).join('\n');
    expect(told()).toMatch(/secrets\/api:2:1: a token is 16 to 512/);
    stage.config.secret('api', `operator alice ${OPERATOR}\n`, 0o644);
    expect(await statusWith(OPERATOR)).toBe(401);
    expect(told()).toMatch(/can be read or changed by others \(mode 0644\)/);
    stage.config.secret('api', `operator alice ${OPERATOR}\nviewer grafana ${VIEWER}\n`);
    expect([await statusWith(OPERATOR), await statusWith(VIEWER)]).toEqual([200, 200]);
  });

  it('api - tokens in clear text, and those that expire soon, work and are told', async () => {
    expect(stage.api.warnings()).toEqual([
      expect.stringMatching(/tokens in clear text \(alice, grafana\); make new ones/),
    ]);
    const soon = new Date(Date.now() + 86_400_000).toISOString();
    writeFileSync(tokensFile(), `viewer eve sha256:${'1'.repeat(64)} expires=${soon}\n`);
    const book = await readTokens(await loadConfiguration(stage.file, drivers));
    expect(book.warnings()).toEqual([`the token of eve expires on ${soon}`]);
  });
});
