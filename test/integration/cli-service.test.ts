// The commands of the service as processes: what they print, and with which status they end when something is in the
// way.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ErrorCode, errorRegistry, runTool } from '../../src/base/mod.ts';
import type { EngagementView } from '../../src/controller/mod.ts';
import { eventually } from '../rig/wait.ts';
import { ApiStage, OPERATOR, OTHER_AGENT, VIEWER } from '../support/api-stage.ts';
import { changed } from '../support/config-folder.ts';
import { decision, engagement, hold, inspection, NOW } from '../support/controller-peer.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const LOOKING = [['status'], ['explain', 'wiki']] as const;
const CHANGING = [
  ['clone', 'web1', '--to', 'spare2'],
  ['dismiss', 'spare1'],
  ['approve', 'wiki-plan'],
  ['power', 'spare2', 'on'],
  ['pause', 'wiki', '--for', '2h'],
  ['resume', 'wiki'],
  ['maintenance', 'spare2', 'on'],
  ['ack', 'wiki-1'],
] as const;
const COMMANDS = [...LOOKING, ...CHANGING];
/** What is set around the test is not the test's; an empty variable says nothing. */
const NOTHING_SET = { UNDERSTUDY_URL: '', UNDERSTUDY_TOKEN_FILE: '' };

let stage: ApiStage;
beforeEach(async () => {
  stage = await ApiStage.open();
});
afterEach(() => stage.close());

function understudy(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return runTool(process.execPath, [PROGRAM, ...args], { env: { ...NOTHING_SET, ...env } });
}

function withToken(token: string, mode = 0o600): readonly string[] {
  return ['--url', stage.url, '--token-file', stage.config.secret('handed-out', `${token}\n`, mode)];
}

/** One line that says what is wrong, nothing on standard output, and the status of the registry. */
async function expectRefusal(args: readonly string[], code: ErrorCode, message: RegExp): Promise<void> {
  const { status, stdout, stderr } = await understudy(args);
  expect(stderr, args.join(' ')).toMatch(new RegExp(`^understudy: [^]*\\(${code}\\)\n$`));
  expect(stderr).toMatch(message);
  expect({ status, stdout }).toEqual({ status: errorRegistry[code].exit, stdout: '' });
}

async function json(...args: readonly string[]): Promise<unknown> {
  const { status, stdout, stderr } = await understudy([...args, '--json', '-f', stage.file]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^[^\n]+\n$/);
  return JSON.parse(stdout);
}

/** What the controller says of the engagement that `clone` waits for. */
function cloned(change: Partial<EngagementView>): void {
  stage.controller.engagements = [{ ...engagement, name: 'wiki-2', understudy: 'spare2', progress: null, ...change }];
}

describe('commands that cannot reach the controller', () => {
  it('cli - nobody listens, nobody runs here, or nobody said where', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, 'close');
    const [, , ...tokenFile] = withToken(OPERATOR);
    const nowhere = ['--url', `http://127.0.0.1:${port}`, ...tokenFile];
    for (const command of COMMANDS) {
      await expectRefusal([...command, ...nowhere], 'API_UNAVAILABLE', /cannot be reached: .*ECONNREFUSED/);
    }
    await stage.api.close();
    await expectRefusal(['status', '-f', stage.file], 'API_UNAVAILABLE', /no controller runs with .*\(understudy up\)/);
    await expectRefusal(['status'], 'USAGE', /say where the controller is: -f understudy\.yaml, or --url and/);
  });

  it('cli - address and token may come from the environment, which yields to what is said', async () => {
    const env = { UNDERSTUDY_URL: stage.url, UNDERSTUDY_TOKEN_FILE: stage.config.secret('mine', VIEWER) };
    expect(await understudy(['status'], env)).toMatchObject({ status: 0, stderr: '' });
    const wrong = { UNDERSTUDY_URL: 'http://127.0.0.1:9', UNDERSTUDY_TOKEN_FILE: '/nowhere' };
    expect(await understudy(['status', '-f', stage.file], wrong)).toMatchObject({ status: 0, stderr: '' });
    expect(await understudy(['status', ...withToken(VIEWER)], wrong)).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('commands with another token', () => {
  it('cli - a viewer may look, and nothing that changes anything reaches the controller', async () => {
    for (const command of LOOKING) {
      expect(await understudy([...command, ...withToken(VIEWER)])).toMatchObject({ status: 0, stderr: '' });
    }
    stage.controller.asked.splice(0);
    for (const command of CHANGING) {
      const message = /grafana may look, and not change anything; that takes an operator/;
      await expectRefusal([...command, ...withToken(VIEWER)], 'API_FORBIDDEN', message);
    }
    expect(stage.controller.asked).toEqual([]);
  });

  it('cli - a token that is not known, that of an agent, and one that everybody can read', async () => {
    await expectRefusal(['status', ...withToken('nobody-0123456789abcdef')], 'API_UNAUTHORIZED', /token is not known/);
    await expectRefusal(['status', ...withToken(OTHER_AGENT)], 'API_FORBIDDEN', /an agent may only report/);
    await expectRefusal(['status', ...withToken(OPERATOR, 0o644)], 'CONFIG_INVALID', /handed-out .*chmod/);
    expect(stage.controller.asked).toEqual([]);
  });
});

describe('commands with a broken configuration', () => {
  it('cli - each error is told with line and column, and nothing is started', async () => {
    const file = stage.config.write(changed('tokensFile', 'tokenFile'));
    const absent = stage.config.path('absent.yaml');
    await expectRefusal(['status', '-f', file], 'CONFIG_INVALID', /understudy\.yaml:4:3: .*tokenFile/);
    await expectRefusal(['status', '-f', absent], 'CONFIG_UNREADABLE', /absent\.yaml/);
    for (const [broken, code, message] of [
      [file, 'CONFIG_INVALID', /understudy\.yaml:4:3: .*tokenFile/],
      [absent, 'CONFIG_UNREADABLE', /absent\.yaml/],
    ] as const) {
      const { status, stdout, stderr } = await understudy(['up', '-f', broken]);
      expect({ status, stdout }).toEqual({ status: errorRegistry[code].exit, stdout: '' });
      // Its log is for a program to read, as standard error is not a terminal.
      const record = { level: 'error', code, message: expect.stringMatching(message) };
      expect(JSON.parse(stderr)).toMatchObject(record);
    }
  });
});

describe('commands that the controller refuses', () => {
  it.each([
    ['HOST_UNKNOWN', CHANGING[0]],
    ['ENGAGEMENT_REFUSED', CHANGING[1]],
    ['INTERRUPTED', CHANGING[2]],
    ['POWER_TIMEOUT', CHANGING[3]],
  ] as const)('cli - %s: its message, and its exit status', async (code, command) => {
    stage.controller.fail(code, 'spare2 is where it should not be');
    await expectRefusal([...command, '-f', stage.file], code, /^understudy: spare2 is where it should not be \(/);
  });

  it('cli - a clone that fails names phase, cause and remedy, and ends with the status of the cause', async () => {
    const told = { code: 'STORAGE_SPACE', message: 'no room', phase: 'preserve', remedy: 'make room' } as const;
    cloned({ state: 'failed', phase: 'drain', error: told });
    const clone = ['clone', 'web1', '--to', 'spare2', '-f', stage.file];
    const plain = await understudy(clone);
    expect(plain).toMatchObject({ status: errorRegistry.STORAGE_SPACE.exit, stdout: '' });
    expect(plain.stderr).toMatch(/spare2 does not serve for web1: preserve: no room \(STORAGE_SPACE\); make room\n$/);
    const { status, stdout } = await understudy([...clone, '--json']);
    expect(status).toBe(errorRegistry.STORAGE_SPACE.exit);
    const object = JSON.parse(stdout) as { error: object };
    expect(object).toMatchObject({ ok: false, error: told });
    expect(shapeDifferences(documentedJson('clone'), object)).toEqual([]);
    expect(Object.keys(object.error).sort()).toEqual(['code', 'message', 'phase', 'remedy']);
  });

  it('cli - a clone that is dismissed meanwhile ends like an interrupted one', async () => {
    cloned({ state: 'running', phase: 'drain' });
    const { status, stdout } = await understudy(['clone', 'web1', '--to', 'spare2', '-f', stage.file, '--json']);
    expect(status).toBe(errorRegistry.INTERRUPTED.exit);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: null });
  });
});

describe('what commands print', () => {
  it('cli - status and clone print what docs/cli.md shows, field by field', async () => {
    expect(shapeDifferences(documentedJson('status'), await json('status'))).toEqual([]);
    cloned({ state: 'waiting', phase: 'serving', timeToCapacitySeconds: 34.5 });
    const object = await json('clone', 'web1', '--to', 'spare2');
    expect(shapeDifferences(documentedJson('clone'), object)).toEqual([]);
    expect(object).toMatchObject({ ok: true, engagement: 'wiki-2', timeToCapacitySeconds: 34.5, error: null });
    expect(stage.controller.asked.filter((what) => what.startsWith('clone'))).toEqual(['clone web1 spare2']);
  });

  it('cli - what others have said begins no line of ours, and acts on no terminal', async () => {
    const forged = 'slow\n2026-11-24T10:00:00.000Z  scale-out started: \u001b[2Jforged\u2028\trecord x';
    const evidence = [{ host: 'web1', text: forged, values: {} }];
    const said = { ...decision, reason: forged, evidence };
    const [wiki] = stage.controller.services;
    if (wiki === undefined) throw new Error('there is a service');
    stage.controller.services = [{ ...wiki, evidence, lastDecision: said }];
    stage.controller.decisions = [said];
    const error = { code: 'POWER_FAILED', message: forged, phase: 'boot', at: NOW, remedy: 'see' } as const;
    stage.controller.engagements = [{ ...engagement, error }];
    stage.controller.hosts = stage.controller.hosts.map((one) => ({ ...one, keptOut: forged }));
    stage.controller.unusable = [{ key: `event/${forged}`, revision: 1, reason: forged, text: null, sizeBytes: 1 }];
    for (const args of LOOKING) {
      const { stdout } = await understudy([...args, '-f', stage.file]);
      const lines = stdout.split('\n').filter((line) => line.includes('forged'));
      expect(lines.length).toBeGreaterThan(1);
      for (const line of lines) {
        expect(line).toMatch(/slow\\x0a2026/);
        expect(['\t', '\u001b', '\u2028'].filter((one) => line.includes(one))).toEqual([]);
      }
    }
  });

  it('cli - status and clone say what an engagement waits for', async () => {
    cloned({
      state: 'running',
      phase: 'prove',
      waitsFor: 'a good answer from 10.0.0.21, port 80 (connection refused)',
    });
    const status = await understudy(['status', '-f', stage.file]);
    const wait = 'waits for a good answer from 10.0.0.21, port 80 (connection refused)\n';
    expect(status.stdout).toContain(`wiki-2: spare2 for web1, prove, running\n    ${wait}`);
    const clone = understudy(['clone', 'web1', '--to', 'spare2', '-f', stage.file]);
    await eventually(
      'clone looks',
      () => stage.controller.asked.filter((what) => what === 'engagement wiki-2').length > 2,
    );
    cloned({ state: 'waiting', phase: 'serving', timeToCapacitySeconds: 34.5 });
    expect((await clone).stderr.match(/^ {2}prove {8}waits for .*$/gm)).toEqual([`  prove        ${wait.trim()}`]);
  });

  it('cli - explain and the short orders print what docs/cli.md says', async () => {
    const [last] = (documentedJson('status') as { services: { lastDecision: unknown }[] }).services;
    const decisions = (await json('explain', 'wiki', '--limit', '3')) as unknown[];
    expect(decisions).toEqual([decision]);
    expect(shapeDifferences([last?.lastDecision], decisions)).toEqual([]);
    expect(await json('dismiss', 'spare1')).toEqual({ engagement: 'wiki-1' });
    expect(await json('approve', 'wiki-plan')).toEqual({ engagement: 'wiki-3' });
    expect(await json('power', 'spare2', 'off')).toEqual({ power: 'off' });
    const report = await json('inspect', 'web1');
    expect(shapeDifferences(documentedJson('inspect'), report)).toEqual([]);
    expect(report).toEqual({ image: 'web1', ...inspection });
    expect(stage.controller.asked).toEqual([
      'explain wiki 3',
      'dismiss {"host":"spare1"}',
      'approve wiki-plan',
      'power spare2 off',
      'inspect web1',
    ]);
  });

  it('cli - what holds the controller back, and for how long', async () => {
    expect(await json('pause', 'wiki', '--for', '2h')).toEqual({ hold });
    expect(await json('resume', 'wiki')).toEqual({ lifted: [hold] });
    const maintained = (await json('maintenance', 'spare1', 'on')) as object;
    expect(maintained).toMatchObject({ hold: { kind: 'maintenance' }, engagement: 'wiki-1' });
    expect(await json('ack', 'wiki-1', 'wiki-2')).toEqual({ engagements: ['wiki-1', 'wiki-2'] });
    await json('dismiss', 'spare1', '--hold', '30m');
    await json('dismiss', 'spare1', '--hold', '0s');
    const plain = await understudy(['pause', 'wiki', '-f', stage.file]);
    expect(plain.stdout).toBe('wiki is paused by alice; "understudy resume wiki" ends it\n');
    expect(stage.controller.asked).toEqual([
      'pause {"service":"wiki","forMs":7200000}',
      'resume wiki',
      'maintenance spare1 on',
      'acknowledge wiki-1',
      'acknowledge wiki-2',
      'dismiss {"host":"spare1","holdMs":1800000}',
      'dismiss {"host":"spare1","holdMs":0}',
      'pause {"service":"wiki","forMs":null}',
    ]);
    await expectRefusal(['pause', 'wiki', '--for', '0s', '-f', stage.file], 'USAGE', /not a time from 1s to 365d/);
    await expectRefusal(['dismiss', 'spare1', '--hold', 'soon', '-f', stage.file], 'USAGE', /"soon" is not a time/);
  });

  it('cli - status shows what is not over; failures until they are acknowledged, and all with --all', async () => {
    const named = (number: number, change: Partial<EngagementView>): EngagementView => ({
      ...{ ...engagement, name: `wiki-${number}`, progress: null, ...change },
    });
    const failed = [2, 3, 4, 5].map((number) => named(number, { state: 'failed', phase: 'prove' }));
    stage.controller.engagements = [...failed, named(6, { state: 'done', phase: 'release' }), engagement];
    const [wiki] = stage.controller.services;
    if (wiki !== undefined) stage.controller.services = [{ ...wiki, holds: [hold] }];
    const { stdout } = await understudy(['status', '-f', stage.file]);
    expect(stdout).toMatch(/^wiki {2}degraded, 2 of at most 3 hosts, automatic, paused$/m);
    expect(stdout).toMatch(/^ {4}wiki is paused by alice: understudy resume wiki$/m);
    expect(stdout).toMatch(/^ {2}director of wiki +ok +haproxy: web1 takes requests$/m);
    const names = (text: string) => [...text.matchAll(/^ {2}(wiki-\d+): /gm)].map(([, name]) => name);
    expect(names(stdout)).toEqual(['wiki-3', 'wiki-4', 'wiki-5', 'wiki-1']);
    expect(stdout).toContain('it is over: understudy ack wiki-5');
    expect(stdout).toMatch(/^ {2}2 more are over, 1 of them failed: understudy status --all$/m);
    const all = await understudy(['status', '--all', '-f', stage.file]);
    expect(names(all.stdout)).toEqual(['wiki-2', 'wiki-3', 'wiki-4', 'wiki-5', 'wiki-6', 'wiki-1']);
  });

  it('cli - what cannot be undone is shown first, asked on a terminal, and done with --yes', async () => {
    const record = { key: 'plan/wiki', revision: 7, reason: 'it is not JSON', text: '{\\x1b[2J', sizeBytes: 5 };
    stage.controller.unusable = [record];
    const asks = { status: errorRegistry.USAGE.exit, stdout: '' };
    const forced = await understudy(['dismiss', 'spare1', '--force', '-f', stage.file]);
    expect(forced).toMatchObject(asks);
    expect(forced.stderr).toMatch(
      /wiki-1 of spare1 is dismissed by force\.\nIt tries once:\n {2}off: [\s\S]*It may leave undone:\n/,
    );
    const removed = await understudy(['records', 'plan/wiki', '--remove', '-f', stage.file]);
    expect(removed).toMatchObject(asks);
    expect(removed.stderr).toMatch(/plan\/wiki: it is not JSON\n {2}revision 7, 5 B: /);
    await expectRefusal(['records', 'plan/shop', '-f', stage.file], 'ENGAGEMENT_REFUSED', /no record "plan\/shop"/);
    await expectRefusal(['records', '--remove', '-f', stage.file], 'USAGE', /--remove needs a key/);
    expect(shapeDifferences(documentedJson('records'), await json('records'))).toEqual([]);
    expect(stage.controller.asked.filter((what) => /^(dismiss|remove) /.test(what))).toEqual([]);
    const sure = await understudy(['dismiss', 'wiki-1', '--force', '--yes', '-f', stage.file]);
    expect(sure).toMatchObject({ status: 0, stdout: 'wiki-1 leaves the stage (wiki-1)\n' });
    await understudy(['records', 'plan/wiki', '--remove', '--yes', '-f', stage.file]);
    expect(stage.controller.asked.slice(-4)).toEqual([
      'dismissal {"host":"wiki-1"}',
      'dismiss {"host":"wiki-1","force":true}',
      'records',
      'remove plan/wiki 7',
    ]);
  });

  it.each([
    ['yes', 0],
    ['no', errorRegistry.INTERRUPTED.exit],
    ['y', errorRegistry.INTERRUPTED.exit],
  ])('cli - the answer %s on a terminal', async (typed, status) => {
    const command = [process.execPath, PROGRAM, 'dismiss', 'spare1', '--force', '-f', stage.file].join(' ');
    const shell = `printf '%s\\n' ${typed} | script -qec '${command}' /dev/null`;
    expect((await runTool('/bin/sh', ['-c', shell], { env: { ...NOTHING_SET } })).status).toBe(status);
    const done = stage.controller.asked.some((what) => what.startsWith('dismiss {"host":"spare1","force":true}'));
    expect(done).toBe(status === 0);
  });

  it('cli - audit prints what docs/cli.md shows, since then or all, and nothing that would act on a terminal', async () => {
    await json('approve', 'wiki-plan');
    const { request, ...entry } = (documentedJson('audit') as [Readonly<Record<string, unknown>>])[0];
    expect(request).toEqual({ lead: 'web1', to: 'spare1' });
    const kept = (await json('audit')) as readonly Readonly<Record<string, unknown>>[];
    expect(kept).toMatchObject([
      { type: 'order', who: 'local', action: 'POST /v1/approve', request: { plan: 'wiki-plan' } },
    ]);
    const shapes = kept.map(({ request: _, ...rest }) => shapeDifferences(entry, rest));
    expect(shapes).toEqual([[]]);
    // What the controller of this test keeps is of 2026-11-24.
    expect(await json('audit', '--since', '2026-11-25')).toEqual([]);
    expect(await json('audit', '--since', '2026-11-24T09:00:00Z')).toEqual(kept);
    const { stdout } = await understudy(['audit', '--since', '9999d', '-f', stage.file]);
    expect(stdout).toBe(
      '2026-11-24T10:00:00.000Z  order    local (operator) at 127.0.0.1: POST /v1/approve plan=wiki-plan\n',
    );
    await expectRefusal(['audit', '--since', 'noon', '-f', stage.file], 'USAGE', /"noon" is not a time; write for/);
  });

  it('cli - status --watch prints one more line for what happens', async () => {
    const args = [PROGRAM, 'status', '--watch', '--json', '-f', stage.file];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const gone = once(child, 'exit');
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const next = async (): Promise<unknown> => JSON.parse((await lines.next()).value ?? 'null');
      expect(await next()).toMatchObject({ revision: 0, engagements: [{ phase: 'replicate' }] });
      stage.controller.engagements = [{ ...engagement, phase: 'personalise' }];
      stage.controller.emit({ kind: 'decision', subject: 'wiki', text: 'something happened', data: decision });
      expect(await next()).toMatchObject({ revision: 1, engagements: [{ phase: 'personalise' }] });
    } finally {
      child.kill('SIGKILL');
      await gone;
    }
  });

  it('cli - the comparison finds fields that are missing, more, or of another kind', () => {
    const documented = { a: 1, b: [{ c: 'x' }], d: null };
    expect(shapeDifferences(documented, { a: 2, b: [], d: { e: 1 } })).toEqual([]);
    expect(shapeDifferences(documented, { b: [{ c: 'y' }, { c: 1 }], d: 1, f: 2 })).toEqual([
      '.a: documented, and not there',
      '.f: not documented',
      '.b[1].c: number, documented as string',
    ]);
  });
});
