// What `understudy up` writes while it runs: every order with who gave it, every refusal, transition and error.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { errorRegistry } from '../../src/base/mod.ts';
import type { StatusView } from '../../src/controller/mod.ts';
import { patience } from '../rig/patience.ts';
import { UpStage } from '../rig/up-stage.ts';
import { eventually } from '../rig/wait.ts';

let stage: UpStage;

beforeEach(async () => {
  stage = await UpStage.make();
});

afterEach(() => stage.close());

interface Line {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly subject?: string;
  readonly kind?: string;
  readonly code?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Every line is a record. */
function lines(): readonly Line[] {
  return stage.log
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

function has(wanted: Partial<Line>): boolean {
  const isIn = (part: object, whole: object): boolean =>
    Object.entries(part).every(([name, value]) => (whole as Record<string, unknown>)[name] === value);
  const { data = {}, ...rest } = wanted;
  return lines().some((line) => isIn(rest, line) && isIn(data, line.data ?? {}));
}

it(
  'log - orders with who gave them, refusals, each phase, and what fails beside them, one JSON line each',
  async () => {
    await stage.up();
    await eventually('it says where it answers', () => has({ level: 'info', subject: 'controller' }));
    await eventually('the director is away', () => {
      return has({ level: 'error', kind: 'error', subject: 'director/wiki', code: 'DIRECTOR_FAILED' });
    });

    writeFileSync(join(stage.folder, 'secrets/other'), 'nobody-0123456789abcdef\n', { mode: 0o600 });
    expect((await stage.understudy('status', '--token-file', join(stage.folder, 'secrets/other'))).status).not.toBe(0);
    await eventually('the refusal', () => has({ level: 'warn', kind: 'audit', code: 'API_UNAUTHORIZED' }));

    const alice = ['--token-file', join(stage.folder, 'secrets/tokens')];
    expect((await stage.understudy('power', 'web9', 'on', ...alice)).status).not.toBe(0);
    const order = { who: 'alice', role: 'operator', by: 'token', action: 'POST /v1/hosts/:name/power' };
    await eventually('order and end', () => {
      const about = lines().filter(({ data }) => data?.action === order.action);
      return about.length === 2;
    });
    expect(lines().filter(({ data }) => data?.action === order.action)).toMatchObject([
      { level: 'info', kind: 'audit', data: { ...order, type: 'order', request: { name: 'web9', state: 'on' } } },
      { level: 'warn', kind: 'audit', code: 'HOST_UNKNOWN', data: { ...order, type: 'outcome' } },
    ]);

    void stage.understudy('clone', 'web1', '--to', 'spare1', ...alice);
    await eventually('it is backed up', () =>
      has({ kind: 'stage', data: { engagement: 'wiki-1', phase: 'preserve' } }),
    );
    await stage.understudy('dismiss', 'spare1', ...alice);
    await eventually(
      'it is over',
      async () => (await stage.json<StatusView>('status')).services[0]?.engagements.length === 0,
    );
    const phases = lines().filter(({ kind, subject }) => kind === 'stage' && subject === 'engagement/wiki-1');
    expect(phases.map(({ data }) => data?.phase)).toEqual(
      expect.arrayContaining(['choose', 'fence', 'restore', 'release']),
    );

    process.kill(stage.storageDaemon, 'SIGKILL');
    await eventually('it is told', () => has({ level: 'error', kind: 'error', subject: 'storage' }));

    await stage.end('SIGTERM');
    expect(lines().at(-1)).toMatchObject({ level: 'info', message: expect.stringContaining('stay as they are') });
  },
  patience(120_000),
);

it(
  'log - levels, text, and the priorities of the journal',
  async () => {
    await stage.up('--log-format', 'text', '--log-level', 'warn');
    await eventually('the director is away', () => stage.log.includes('(DIRECTOR_FAILED)'));
    expect(stage.log).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z error director\/wiki: .* \(DIRECTOR_FAILED\)$/m);
    expect(stage.log).not.toMatch(/Z info /);
    await stage.end('SIGTERM');

    const path = join(stage.folder, 'journal');
    stage.journal = path;
    await stage.up('--log-level', 'debug');
    await stage.json('status');
    const journal = (): string => readFileSync(path, 'utf8');
    await eventually('requests are told', () => /^<7>\{.*GET \/v1\/status 200/m.test(journal()));
    expect(journal()).toMatch(/^<6>\{"time":"[^"]*","level":"info",.*answers at/m);
    expect(journal()).toMatch(/^<3>\{"time":"[^"]*","level":"error",.*DIRECTOR_FAILED/m);
    expect(
      journal()
        .split('\n')
        .slice(0, -1)
        .filter((line) => !/^<[3467]>\{/.test(line)),
    ).toEqual([]);

    const { status, stdout, stderr } = await stage.understudy('up', '--log-level', 'loud');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('--log-level is error, warn, info or debug, not loud');
  },
  patience(120_000),
);

it.each([[[]], [['--json']]])(
  'log - Ctrl-C ends clone, and says that the engagement goes on: %s',
  async (options: readonly string[]) => {
    await stage.up();
    const daemon = stage.storageDaemon;
    // So that it does not end before it is interrupted.
    process.kill(daemon, 'SIGSTOP');
    try {
      const clone = stage.begin('clone', 'web1', '--to', 'spare1', ...options);
      const said = { out: '', err: '' };
      clone.stdout?.on('data', (bytes: Buffer) => {
        said.out += bytes.toString();
      });
      clone.stderr?.on('data', (bytes: Buffer) => {
        said.err += bytes.toString();
      });
      await eventually('it has begun', () => has({ kind: 'stage', data: { engagement: 'wiki-1' } }));
      // Until it knows the name.
      await delay(1000);
      const gone = once(clone, 'exit');
      clone.kill('SIGINT');
      expect(await gone).toEqual([errorRegistry.INTERRUPTED.exit, null]);
      const message =
        'the engagement wiki-1 goes on without this command: "understudy status" shows it, and "understudy dismiss ' +
        'spare1" ends it';
      expect(said.err).toContain(`understudy: ${message} (INTERRUPTED)\n`);
      const told =
        options.length === 0 ? '' : `${JSON.stringify({ ok: false, error: { code: 'INTERRUPTED', message } })}\n`;
      expect(said.out).toBe(told);
    } finally {
      process.kill(daemon, 'SIGCONT');
    }
  },
  patience(120_000),
);
