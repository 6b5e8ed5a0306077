// The controller judges what no agent brings: the director's counts and Prometheus.
import { describe, expect, it } from 'vitest';
import { eachWithALife, life, reportOf, start, untilDone, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';

eachWithALife();

describe('signals without agents', () => {
  it('controller - a service may be judged without any agent, each host by its own numbers', async () => {
    const prometheus = (query: string) =>
      ({ kind: 'prometheus', url: 'http://metrics', query, everySeconds: 2, tokenFile: null }) as const;
    const judged = { baseline: null, objective: { below: 50, fastSeconds: 10, slowSeconds: 20, share: 0.5 } };
    life.metrics.answers.set('busy{host="web1",ip="10.0.0.11"}', 10).set('database', 5);
    life.metrics.answers.set('busy{host="spare1",ip="10.0.0.21"}', 10);
    const controller = await start('automatic', 'one', [], {
      signals: [
        { ...judged, name: 'busy', outside: false, source: prometheus('busy{host="{{host}}",ip="{{address}}"}') },
        { ...judged, name: 'database', outside: true, source: prometheus('database') },
        { ...judged, name: 'director.errors', outside: false, source: { kind: 'director' } },
      ],
    });
    life.load = 5;
    const verdict = async (): Promise<string | undefined> => (await controller.status()).services[0]?.verdict;
    await eventually('healthy', async () => (await verdict()) === 'healthy');
    // What an agent says of it is not asked for.
    expect(await controller.report('web1', { ...reportOf('web1'), verdict: 'failing' })).toMatchObject({ signals: [] });
    life.metrics.answers.set('database', 500).set('busy{host="web1",ip="10.0.0.11"}', 90);
    await eventually('refused', async () => {
      const last = (await controller.status()).services[0]?.lastDecision;
      return last?.outcome === 'refused' && last.reason.includes('outside of the host: database above 50');
    });
    life.metrics.answers.set('database', 5);
    await untilPhase(controller, 'wiki-1', 'serving');
    life.metrics.answers.set('busy{host="web1",ip="10.0.0.11"}', 10);
    await eventually('both healthy', async () => (await verdict()) === 'healthy');
    const asked = life.metrics.asked.map(({ query }) => query);
    const times = (query: string): number => asked.filter((one) => one === query).length;
    expect(times('busy{host="spare1",ip="10.0.0.21"}')).toBeGreaterThan(0);
    expect(times('database')).toBeLessThanOrEqual(times('busy{host="web1",ip="10.0.0.11"}') + 1);
    // Nothing is known of one of them: that scales nothing in, however little load there is.
    life.metrics.answers.delete('busy{host="spare1",ip="10.0.0.21"}');
    life.load = 1;
    await eventually('unknown', async () => (await verdict()) === 'unknown');
    const { evidence } = (await controller.status()).services[0] ?? { evidence: [] };
    expect(evidence.map(({ host, text }) => `${host}: ${text}`)).toContainEqual(
      expect.stringContaining('spare1: busy has no value: http://metrics does not know'),
    );
    life.metrics.answers.set('busy{host="spare1",ip="10.0.0.21"}', 10);
    await untilDone(controller, 'wiki-1');
  });

  it('controller - what a baseline has learned of the lead comes back in the next life', async () => {
    const source = {
      kind: 'prometheus',
      url: 'http://metrics',
      query: 'busy',
      everySeconds: 2,
      tokenFile: null,
    } as const;
    const baseline = { direction: 'above', learnSamples: 50 } as const;
    const signals = [{ name: 'busy', objective: null, baseline, outside: false, source }];
    life.metrics.answers.set('busy', 10);
    const first = await start('advise', 'one', [], { signals });
    const facts = async (controller: typeof first): Promise<string> => {
      const { evidence } = (await controller.status()).services[0] ?? { evidence: [] };
      return evidence.map(({ text }) => text).join('; ');
    };
    await eventually('it learns', async () => (await facts(first)).includes('is not known yet'));
    // Ten minutes of the simulation and more.
    const untilMs = life.plant.nowMs + 700_000;
    await eventually('it has learned, and kept it', () => life.plant.nowMs > untilMs);
    await first.stop();
    const second = await start('advise', 'one', [], { signals });
    await eventually('something is said', async () => (await facts(second)).includes('busy'));
    expect(await facts(second)).not.toContain('is not known yet');
  });
});
