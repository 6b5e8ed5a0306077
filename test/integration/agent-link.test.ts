// The bundled agent and a controller that is away, slow, strange, or does not want to hear it.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { reply } from '../rig/agent-controller.ts';
import { onStage, PRESSURE_OBJECTIVE } from '../rig/agent-stage.ts';
import { eventually } from '../rig/wait.ts';

describe('an agent whose controller is away', () => {
  test.concurrent(
    'agent - changes are kept, and delivered once and in order when it is back',
    onStage(async (stage) => {
      const { controller } = stage;
      const agent = await stage.healthyAgent();
      await controller.down();
      await eventually('the loss', () => agent.stderr.includes('no report gets through to the controller'));
      for (const [load, verdict] of [
        [90, 'degraded'],
        [0, 'healthy'],
        [95, 'degraded'],
      ] as const) {
        const seen = agent.stderr.length;
        stage.proc(load);
        await eventually(`${verdict} meanwhile`, () => agent.stderr.slice(seen).includes(`agent: ${verdict}`));
      }
      await controller.up();
      await eventually('all changes', () => controller.verdicts.length >= 4);
      expect(controller.verdicts).toEqual(['healthy', 'degraded', 'healthy', 'degraded']);
      expect(controller.changes.map(({ number }) => number)).toEqual(controller.changes.map((_, index) => index + 1));
      await eventually('the return', () => agent.stderr.includes('the controller answers again'));
      expect(controller.last?.dropped).toBe(0);
      expect(new Set(controller.received.map(({ report }) => report.boot)).size).toBe(1);
      const kept = controller.received.find(({ report }) => report.changes.length >= 3)?.report.changes ?? [];
      const ages = kept.map(({ ageMs }) => ageMs);
      expect(ages).toEqual([...ages].sort((one, other) => other - one));
    }),
  );

  test.concurrent(
    'agent - a report whose answer was lost is repeated with the same numbers',
    onStage(async (stage) => {
      const { controller } = stage;
      await stage.healthyAgent();
      let change = 0;
      controller.trick = (response, report) => {
        controller.accept(report);
        change = report.changes.find(({ verdict }) => verdict === 'degraded')?.number ?? change;
        response.destroy();
      };
      stage.proc(90);
      await eventually('the change, without an answer', () => change > 0);
      await eventually('a repetition', () => {
        const carriers = controller.received.filter(({ report }) => report.changes.some((c) => c.number === change));
        return carriers.length >= 2;
      });
      controller.trick = null;
      await eventually('a report without changes', () => controller.last?.changes.length === 0);
      expect(controller.verdicts).toEqual(['healthy', 'degraded']);
      const numbers = controller.changes.map(({ number }) => number);
      expect(new Set(numbers).size).toBe(numbers.length);
    }),
  );

  test.concurrent(
    'agent - one that was away from the beginning is found later',
    onStage(async (stage) => {
      await stage.controller.down();
      const agent = stage.agent('--config', stage.settings(), '--proc', stage.proc(0));
      await eventually('the complaint', () => agent.stderr.includes('connection refused'));
      stage.controller.watch(PRESSURE_OBJECTIVE);
      await stage.controller.up();
      await eventually('a healthy verdict', () => stage.controller.verdicts.at(-1) === 'healthy');
    }),
  );

  test.concurrent(
    'agent - a slow one is asked one thing at a time, and what was measured meanwhile comes next',
    onStage(async (stage) => {
      const { controller } = stage;
      const agent = await stage.healthyAgent();
      const held: (() => void)[] = [];
      controller.trick = (response, report) => {
        held.push(() => controller.agree(response, report));
      };
      await eventually('a report that waits', () => held.length >= 1);
      const seen = agent.stderr.length;
      stage.proc(90);
      await eventually('the change', () => agent.stderr.slice(seen).includes('agent: degraded'));
      controller.trick = null;
      for (const answer of held) answer();
      await eventually('the change, told', () => controller.verdicts.at(-1) === 'degraded');
      expect(controller.openMost).toBe(1);
    }),
  );
});

const REFUSALS = [
  [401, 'it does not accept the token (401)'],
  [403, 'the token is not that of host web1 (403)'],
  [404, 'it has no host web1 (404)'],
] as const;

const STRANGE_ANSWERS = [
  ['endless', 'x'.repeat(100 * 1024), 'the answer is longer than 65536 bytes'],
  ['no JSON', '<html>', 'not JSON'],
  [
    'a probe of a file',
    '{"signals":[],"probe":{"url":"file:///etc/shadow","contains":null,"timeoutMs":1000},"reportSeconds":1}',
    'url is not one that can be probed',
  ],
] as const;

describe('an agent whose controller refuses or is strange', () => {
  for (const [status, text] of REFUSALS) {
    test.concurrent(
      `agent - ${status} is said and does not end the agent`,
      onStage(async (stage) => {
        stage.controller.trick = (response) => reply(response, status, {});
        const agent = stage.agent('--config', stage.settings());
        await eventually('the complaint', () => agent.stderr.includes(text));
        expect(agent.stderr).toContain('it is asked again once a minute');
        expect(agent.running).toBe(true);
        expect(await agent.end('SIGTERM')).toEqual({ status: 0, signal: null });
      }),
    );
  }

  test.concurrent(
    'agent - a wrong token ends a single look with the exit status of its error',
    onStage(async (stage) => {
      const agent = stage.agent('--config', stage.settings({ token: 'another' }), '--once');
      expect(await agent.ended).toEqual({ status: 10, signal: null });
      expect(agent.stderr).toContain('it does not accept the token (401) (API_UNAUTHORIZED)');
    }),
  );

  test.concurrent(
    'agent - a redirect is not followed: the token goes nowhere else',
    onStage(async (stage) => {
      let visits = 0;
      const elsewhere = createServer((_, response) => {
        visits += 1;
        response.end('{}');
      });
      await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
      stage.later(() => new Promise((resolve) => elsewhere.close(resolve)));
      const { port } = elsewhere.address() as AddressInfo;
      stage.controller.trick = (response) => response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end();
      const agent = stage.agent('--config', stage.settings());
      await eventually('the complaint', () => agent.stderr.includes('a redirect (307), which is not followed'));
      await eventually('another try', () => stage.controller.received.length >= 2);
      expect(visits).toBe(0);
    }),
  );

  for (const [name, body, text] of STRANGE_ANSWERS) {
    test.concurrent(
      `agent - an answer that is ${name} is refused, and the last good one holds`,
      onStage(async (stage) => {
        const agent = await stage.healthyAgent();
        stage.controller.trick = (response) => response.writeHead(200).end(body);
        await eventually('the complaint', () => agent.stderr.includes(text));
        stage.controller.trick = null;
        await eventually('the return', () => agent.stderr.includes('the controller answers again'));
        expect(stage.controller.verdicts).toEqual(['healthy']);
      }),
    );
  }

  test.concurrent(
    'agent - changes that are not taken are given up and counted, later ones get through',
    onStage(async (stage) => {
      const { controller } = stage;
      const agent = await stage.healthyAgent();
      controller.trick = (response, report) => {
        if (report.changes.length > 0) reply(response, 400, {});
        else controller.agree(response, report);
      };
      const before = controller.changes.length;
      stage.proc(90);
      await eventually('a counted loss', () => (controller.last?.dropped ?? 0) > 0);
      const dropped = controller.last?.dropped ?? 0;
      controller.trick = null;
      stage.proc(0);
      await eventually(
        () => `the next change; said ${agent.stderr}`,
        () => controller.changes.length > before,
      );
      expect(controller.changes[before]?.number).toBeGreaterThanOrEqual(before + dropped + 1);
    }),
  );
});
