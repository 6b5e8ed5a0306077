// The bundled agent as a process: how it begins and ends, what it leaves, what it says of its machine, and that
// `understudy agent` is the same.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { spawnBound } from '../../src/base/mod.ts';
import { Baseline } from '../../src/detection/mod.ts';
import { AGENT, onStage, PRESSURE_OBJECTIVE } from '../rig/agent-stage.ts';
import { CLI } from '../rig/copy-process.ts';
import { eventually } from '../rig/wait.ts';

describe('an agent as a process', () => {
  test.concurrent(
    'agent - SIGTERM ends it in good order, and the controller hears of it',
    onStage(async (stage) => {
      const agent = await stage.healthyAgent();
      expect(await agent.end('SIGTERM')).toEqual({ status: 0, signal: null });
      expect(agent.stderr.trim().endsWith('understudy agent: stopped')).toBe(true);
      expect(stage.controller.last).toMatchObject({
        verdict: 'unknown',
        evidence: [{ text: 'the agent was stopped' }],
      });
      expect(stage.controller.changes.at(-1)).toMatchObject({ verdict: 'unknown' });
    }),
  );

  test.concurrent(
    'agent - SIGTERM ends it also while the controller and the service keep it waiting',
    onStage(async (stage) => {
      const url = await stage.service(() => undefined);
      stage.controller.watch(PRESSURE_OBJECTIVE, { url, contains: null, timeoutMs: 60_000 });
      const agent = stage.agent('--config', stage.settings());
      await eventually('a report', () => stage.controller.received.length > 1);
      stage.controller.trick = () => undefined;
      await eventually('a report that waits', () => stage.controller.open > 0);
      expect(await agent.end('SIGTERM')).toEqual({ status: 0, signal: null });
    }),
  );

  test.concurrent(
    'agent - SIGKILL leaves nothing behind, and the next start is another boot that begins anew',
    onStage(async (stage) => {
      const agent = await stage.healthyAgent();
      const { pid } = agent.child;
      expect(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')).toBe('');
      const files = readdirSync(stage.folder, { recursive: true });
      expect(await agent.end('SIGKILL')).toEqual({ status: null, signal: 'SIGKILL' });
      expect(readdirSync(stage.folder, { recursive: true })).toEqual(files);
      await eventually('no connection', () => stage.controller.open === 0);
      const before = stage.controller.last?.boot;
      await stage.healthyAgent();
      await eventually('another boot', () => stage.controller.last?.boot !== before);
      const own = stage.controller.received.filter(({ report }) => report.boot !== before);
      expect(own[0]?.report).toMatchObject({ sequence: 1, verdict: 'unknown', changes: [] });
    }),
  );

  test.concurrent(
    'agent - one look tells what it saw, as text and as JSON',
    onStage(async (stage) => {
      const url = await stage.service((_, response) => response.end());
      stage.controller.watch(PRESSURE_OBJECTIVE, { url, contains: null, timeoutMs: 60_000 });
      const config = ['--config', stage.settings(), '--proc', stage.proc(7)];
      const text = stage.agent(...config, '--once');
      expect(await text.ended).toEqual({ status: 0, signal: null });
      expect(text.stdout).toMatch(/^web1: unknown\n/);
      expect(text.stdout).toMatch(/^ {2}cpu\.pressureAvg10 +7 %$/m);
      expect(text.stdout).toMatch(/^ {2}probe\.milliseconds +[0-9.]+ ms$/m);
      const json = stage.agent(...config, '--once', '--json');
      expect(await json.ended).toEqual({ status: 0, signal: null });
      const lines = json.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines).toHaveLength(2);
      expect(lines[1]).toMatchObject({ host: 'web1', verdict: 'unknown', delivered: true, error: null });
      expect(Object.keys(lines[1] ?? {})).toEqual([
        ...['host', 'at', 'verdict', 'score', 'since', 'evidence', 'signals', 'delivered', 'error'],
      ]);
    }),
  );

  test.concurrent(
    'agent - what baselines have learned outlives it, and is written whole at its end',
    onStage(async (stage) => {
      const baseline = { direction: 'above', learnSamples: 300 } as const;
      const earlier = new Baseline(baseline);
      const nowMs = Date.now();
      for (let second = 3600; second > 60; second -= 1) earlier.add({ atMs: nowMs - second * 1000, value: second % 3 });
      const key = 'cpu.pressureAvg10 above 300';
      const path = stage.write(
        'state/learned.json',
        JSON.stringify({ version: 1, learned: { [key]: earlier.memory } }),
      );
      const lastMs = (): number => JSON.parse(readFileSync(path, 'utf8')).learned[key].lastMs;
      const before = lastMs();
      const signal = { name: 'cpu.pressureAvg10', objective: null, baseline, outside: false };
      stage.controller.instruction = { signals: [signal], probe: null, reportSeconds: 1 };
      const state = ['--proc', stage.proc(1), '--state', join(stage.folder, 'state')];
      const agent = stage.agent('--config', stage.settings(), ...state);
      // Without it, it would be unknown for five minutes.
      await eventually('healthy at once', () => stage.controller.verdicts.at(-1) === 'healthy');
      expect(await agent.end('SIGTERM')).toEqual({ status: 0, signal: null });
      expect(lastMs()).toBeGreaterThan(before);
    }),
  );

  test.concurrent(
    'agent - `understudy agent` is the same',
    onStage(async (stage) => {
      const tokenFile = stage.write('token', `${stage.controller.token}\n`);
      const args = ['--controller', stage.controller.url, '--host', 'web1', '--token-file', tokenFile];
      const proc = ['--proc', stage.proc(7)];
      const command = stage.process([process.execPath, CLI, 'agent'], [...args, ...proc, '--once', '--json']);
      expect(await command.ended).toEqual({ status: 0, signal: null });
      const bundle = stage.agent(...args, ...proc, '--once', '--json');
      await bundle.ended;
      const last = (output: string): unknown => JSON.parse(output.trim().split('\n').at(-1) ?? '').signals;
      expect(last(command.stdout)).toEqual(last(bundle.stdout));
      const help = stage.process([process.execPath, CLI, 'agent', '--help'], []);
      await help.ended;
      expect(help.stdout).toContain('Example:');
    }),
  );

  test.concurrent(
    'agent - without settings, and with wrong ones, it ends with the exit status of its error',
    onStage(async (stage) => {
      const unknown = stage.agent('--nonsense');
      expect((await unknown.ended).status).toBe(2);
      expect(unknown.stderr).toContain('(USAGE)');
      const absent = stage.agent('--config', join(stage.folder, 'absent.json'));
      expect((await absent.ended).status).toBe(2);
      expect(absent.stderr).toContain('(CONFIG_UNREADABLE)');
      const broken = stage.agent('--config', stage.settings({ controller: 'nowhere' }));
      expect((await broken.ended).status).toBe(2);
      expect(broken.stderr).toContain('"nowhere" is not the URL of a controller');
      const help = stage.agent('--help');
      expect((await help.ended).status).toBe(0);
      expect(help.stdout).toContain('Example:');
    }),
  );

  test.concurrent(
    'agent - a reader of its reports that goes away ends it',
    onStage(async (stage) => {
      const agent = await stage.healthyAgent();
      await agent.end('SIGTERM');
      const reading = stage.agent('--config', stage.settings(), '--proc', stage.proc(0), '--json');
      await eventually('a line', () => reading.stdout.includes('\n'));
      reading.child.stdout?.destroy();
      expect(await reading.ended).toEqual({ status: 0, signal: null });
    }),
  );
});

describe('an agent and its machine', () => {
  test.concurrent(
    'agent - without pressure information it is unknown, with the reason, and everything else goes on',
    onStage(async (stage) => {
      const proc = stage.proc(0);
      rmSync(join(proc, 'pressure'), { recursive: true });
      stage.controller.watch({ ...PRESSURE_OBJECTIVE, signal: 'cpu.pressure' });
      stage.agent('--config', stage.settings(), '--proc', proc);
      const reason = 'cpu.pressure has no value: pressure/cpu cannot be read: this kernel does not have it';
      await eventually('the reason', () => stage.controller.last?.evidence.some(({ text }) => text === reason));
      expect(stage.controller.last).toMatchObject({
        verdict: 'unknown',
        signals: { 'memory.available': { value: 50 }, 'load.perCpu': { value: 1 } },
      });
      expect(stage.controller.verdicts).toEqual([]);
    }),
  );

  test.concurrent(
    'agent - a machine with more to compute than processors is under pressure, and known to be',
    onStage(async (stage) => {
      stage.controller.watch({ ...PRESSURE_OBJECTIVE, signal: 'cpu.pressure', below: 20 });
      const agent = stage.agent('--config', stage.settings());
      // Ends by itself, should nobody be left to end it.
      const burner = 'for (const end = Date.now() + 60_000; Date.now() < end;);';
      for (let count = 0; count < 2 * availableParallelism() + 1; count += 1) {
        const child = spawnBound(process.execPath, ['-e', burner], { stdio: 'ignore' });
        stage.later(async () => child.kill('SIGKILL'));
      }
      // A kernel without pressure information is told apart by the agent as by this test.
      const wanted = existsSync('/proc/pressure/cpu') ? ['degraded', 'failing'] : ['unknown'];
      await eventually(
        () => `${wanted.join(' or ')}; said ${agent.stderr}`,
        () => stage.controller.received.some(({ report }) => report.sequence > 1 && wanted.includes(report.verdict)),
      );
      if (wanted.length === 2) {
        const { evidence } = stage.controller.changes.find(({ verdict }) => wanted.includes(verdict)) ?? {};
        expect(evidence?.[0]?.text).toBe('cpu.pressure breaks its objective in both windows');
      }
    }),
  );

  test.concurrent(
    'agent - a controller with a certificate is checked with the authority given, and only then told the token',
    onStage(async (stage) => {
      const key = join(stage.folder, 'key.pem');
      const cert = join(stage.folder, 'cert.pem');
      const names = ['-subj', '/CN=controller', '-addext', 'subjectAltName=IP:127.0.0.1'];
      const made = [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        ...names,
        '-keyout',
        key,
        '-out',
        cert,
      ];
      expect(spawnSync('openssl', made, { timeout: 60_000 }).status).toBe(0);
      const tokens: unknown[] = [];
      const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
        tokens.push(request.headers.authorization);
        response.end(JSON.stringify({ signals: [], probe: null, reportSeconds: 1 }));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      stage.later(() => new Promise((resolve) => server.close(resolve)));
      const controller = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const stranger = stage.agent('--config', stage.settings({ controller }), '--once');
      expect((await stranger.ended).status).toBe(10);
      expect(stranger.stderr).toContain('its certificate is not accepted: it has signed itself');
      expect(tokens).toEqual([]);
      const friend = stage.agent('--config', stage.settings({ controller, caFile: 'cert.pem' }), '--once');
      expect(await friend.ended).toEqual({ status: 0, signal: null });
      expect(tokens).toEqual(['Bearer the-token-of-web1', 'Bearer the-token-of-web1']);
    }),
  );

  test('agent - it is one file that names nothing outside Node.js', () => {
    const text = readFileSync(AGENT, 'utf8');
    const required = [...text.matchAll(/\brequire\("([^"]+)"\)/g)].map((match) => match[1] ?? '');
    expect(required.length).toBeGreaterThan(0);
    expect(required.filter((name) => !name.startsWith('node:'))).toEqual([]);
    expect(text).not.toMatch(/\bimport\s*\(|^import /m);
    expect(text.length).toBeLessThan(200_000);
  });
});
