// The bundled agent as a process, the controller's side of HTTP, and a service: what is told, and when.
import { describe, expect, test } from 'vitest';
import { REPORT_BYTES_MAX, SIGNAL_NAME, SIGNALS_MAX } from '../../src/agent/mod.ts';
import { AGENT_SIGNALS } from '../../src/config/mod.ts';
import { onStage, PRESSURE_OBJECTIVE } from '../rig/agent-stage.ts';
import { eventually } from '../rig/wait.ts';

const PROBE_OBJECTIVE = { ...PRESSURE_OBJECTIVE, signal: 'probe.milliseconds' };

describe('what an agent reports', () => {
  test.concurrent(
    'agent - a report has every signal, the token, and nothing beyond the protocol',
    onStage(async (stage) => {
      const agent = await stage.healthyAgent();
      const { report, headers, path, bytes } = await eventually('a later report', () =>
        stage.controller.received.find(({ report }) => report.verdict === 'healthy' && report.changes.length === 0),
      );
      expect(path).toBe('/v1/agents/web1/reports');
      expect(headers.authorization).toBe('Bearer the-token-of-web1');
      expect(headers['content-type']).toBe('application/json');
      expect(bytes).toBeLessThan(REPORT_BYTES_MAX);
      expect(report).toMatchObject({ host: 'web1', verdict: 'healthy', dropped: 0 });
      expect(report.boot).toMatch(/^[0-9a-f]{32}$/);
      expect(Date.parse(report.sentAt) - Date.parse(report.since)).toBe(report.ageMs);
      expect(Object.keys(report.signals).every((name) => SIGNAL_NAME.test(name))).toBe(true);
      expect(Object.keys(report.signals).length).toBeLessThan(SIGNALS_MAX);
      expect(report.signals).toMatchObject({
        'cpu.pressure': { value: 0, unit: '%' },
        'cpu.pressureAvg10': { value: 0, unit: '%' },
        'io.pressure': { value: 0, unit: '%' },
        'memory.pressureFull': { value: 0, unit: '%' },
        'load.perCpu': { value: 1, unit: '1' },
        'memory.available': { value: 50, unit: '%' },
        'probe.milliseconds': { value: null, unit: 'ms', error: 'the controller has not asked for a probe' },
      });
      // What understudy.yaml may ask of an agent it measures; a command only where its own settings name one.
      const measured = AGENT_SIGNALS.filter((name) => !name.startsWith('command.'));
      expect(Object.keys(report.signals)).toEqual(expect.arrayContaining(measured));
      expect(report.evidence.map(({ values }) => values.window ?? null)).toEqual([null, 'fast', 'slow']);
      expect(agent.stderr).toContain('web1 reports to');
    }),
  );

  test.concurrent(
    'agent - heartbeats go on without any change, with rising sequence',
    onStage(async (stage) => {
      await stage.healthyAgent();
      const from = stage.controller.received.length;
      await eventually('three more reports', () => stage.controller.received.length >= from + 3);
      const sequences = stage.controller.received.map(({ report }) => report.sequence);
      expect(sequences).toEqual(sequences.map((_, index) => index + 1));
      expect(stage.controller.verdicts).toEqual(['healthy']);
    }),
  );

  test.concurrent(
    'agent - a changed verdict is told at once, long before the next heartbeat',
    onStage(async (stage) => {
      // Heartbeats come once in 60 s, which is more than the patience of this wait.
      await stage.healthyAgent(60);
      stage.proc(90);
      await eventually('the change', () => stage.controller.verdicts.at(-1) === 'degraded');
      stage.proc(0);
      await eventually('the recovery', () => stage.controller.verdicts.at(-1) === 'healthy');
      expect(stage.controller.verdicts).toEqual(['healthy', 'degraded', 'healthy']);
      const change = stage.controller.changes.find(({ verdict }) => verdict === 'degraded');
      expect(change?.evidence[0]?.text).toBe('cpu.pressureAvg10 breaks its objective in both windows');
      expect(change?.evidence[1]?.values).toMatchObject({ window: 'fast', threshold: 40, p95: 90 });
    }),
  );

  test.concurrent(
    'agent - the service is measured as its users see it',
    onStage(async (stage) => {
      let asked = 0;
      const url = await stage.service((_, response) => {
        asked += 1;
        response.end('<h1>Welcome</h1>');
      });
      stage.controller.watch({ ...PROBE_OBJECTIVE, below: 30_000 }, { url, contains: 'Welcome', timeoutMs: 40_000 });
      stage.agent('--config', stage.settings());
      await eventually('a healthy verdict', () => stage.controller.verdicts.at(-1) === 'healthy');
      await eventually('a value', () => stage.controller.last?.signals['probe.milliseconds']?.value);
      expect(asked).toBeGreaterThan(0);
    }),
  );

  test.concurrent(
    'agent - a service that answers nobody in time is degraded, not unknown',
    onStage(async (stage) => {
      const url = await stage.service(() => undefined);
      stage.controller.watch({ ...PROBE_OBJECTIVE, below: 100 }, { url, contains: null, timeoutMs: 200 });
      stage.agent('--config', stage.settings());
      await eventually('a degraded verdict', () => stage.controller.verdicts.at(-1) === 'degraded');
      const { value, error } = stage.controller.last?.signals['probe.milliseconds'] ?? {};
      expect(value).toBeNull();
      expect(error).toContain('no answer within 200 ms');
    }),
  );

  test.concurrent(
    'agent - a service that stops answering is degraded before the first time-out',
    onStage(async (stage) => {
      const url = await stage.service(() => undefined);
      // Longer than this test waits for anything.
      stage.controller.watch({ ...PROBE_OBJECTIVE, below: 500 }, { url, contains: null, timeoutMs: 60_000 });
      stage.agent('--config', stage.settings());
      await eventually('a degraded verdict', () => stage.controller.verdicts.at(-1) === 'degraded');
    }),
  );

  test.concurrent(
    'agent - a service that turns its users away is degraded, one that is broken is unknown',
    onStage(async (stage) => {
      let status = 503;
      const url = await stage.service((_, response) => response.writeHead(status).end());
      stage.controller.watch({ ...PROBE_OBJECTIVE, below: 5000 }, { url, contains: null, timeoutMs: 30_000 });
      const agent = stage.agent('--config', stage.settings());
      await eventually('a degraded verdict', () => stage.controller.verdicts.at(-1) === 'degraded');
      status = 500;
      await eventually('unknown', () => stage.controller.last?.verdict === 'unknown');
      await eventually('the reason', () =>
        stage.controller.last?.evidence.some(({ text }) => text.endsWith('answered 500 Internal Server Error')),
      );
      expect(agent.stderr).not.toContain('healthy');
    }),
  );

  test.concurrent(
    'agent - another objective from the controller is followed',
    onStage(async (stage) => {
      await stage.healthyAgent();
      stage.controller.watch({ ...PRESSURE_OBJECTIVE, signal: 'no.such.signal' });
      await eventually('the reason', () =>
        stage.controller.last?.evidence.some(({ text }) => text === 'no.such.signal is not a signal of this agent'),
      );
      expect(stage.controller.last?.verdict).toBe('unknown');
      stage.controller.watch({ ...PRESSURE_OBJECTIVE, signal: 'memory.available', below: 20 });
      await eventually('degraded', () => stage.controller.verdicts.at(-1) === 'degraded');
      stage.controller.watch(null);
      await eventually('no objective', () =>
        stage.controller.last?.evidence[0]?.text.includes('nothing of this host is to be judged'),
      );
      expect(stage.controller.last?.verdict).toBe('unknown');
    }),
  );
});
