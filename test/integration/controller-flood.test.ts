// One host's agent that says something else each time: what it can cost everybody else.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openSqliteStore } from '../../src/store/mod.ts';
import { eachWithALife, life, reportOf, start } from '../rig/controller-life.ts';

eachWithALife();

const HOST = 'web1';

/** As much as the interface lets through. */
const evidence = Array.from({ length: 8 }, (_, fact) => ({
  text: `${fact}`.padEnd(500, 'x'),
  values: Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`${i}`.padEnd(100, 'n'), 'v'.repeat(200)])),
}));

function alternating(number: number): ReturnType<typeof reportOf> {
  const boot = number.toString(16).padStart(32, '0');
  const verdict = number % 2 === 0 ? 'degraded' : 'healthy';
  return { ...reportOf(HOST), boot, verdict, evidence, lacksCapacity: number % 2 === 0 };
}

it('controller - 4,500 reports with another boot and verdict each are told of once a second, and cost a bounded room', async () => {
  const controller = await start('advise');
  const store = life.memory.open();
  for (let batch = 0; batch < 90; batch += 1) {
    const reports = Array.from({ length: 50 }, (_, index) => controller.report(HOST, alternating(batch * 50 + index)));
    await Promise.all(reports);
  }
  const events = await store.list<{ kind: string; at: string; subject: string }>('event/');
  const verdicts = events.filter(({ value }) => value.kind === 'verdict' && value.subject === `host/${HOST}`);
  const times = verdicts.map(({ value }) => Date.parse(value.at));
  const closest = Math.min(...times.slice(1).map((at, index) => at - (times[index] ?? 0)));
  expect(closest).toBeGreaterThanOrEqual(1000);
  expect(verdicts.length).toBeLessThanOrEqual(200);
  const everything = await store.list('');
  const bytes = everything.reduce((sum, { value }) => sum + JSON.stringify(value).length, 0);
  expect(bytes).toBeLessThan(8 * 1024 * 1024);
  expect(JSON.stringify(await controller.status()).length).toBeLessThan(100_000);
});

it('controller - what a host says last is told, also when it said something else a moment before', async () => {
  const controller = await start('advise');
  const last = async (): Promise<string | undefined> => {
    const events = await life.memory.open().list<{ text: string; kind: string; subject: string }>('event/');
    return events.findLast(({ value }) => value.subject === 'host/spare2' && value.kind === 'verdict')?.value.text;
  };
  const say = (verdict: 'healthy' | 'failing') => controller.report('spare2', { ...reportOf('spare2'), verdict });
  // Time stands still, but for what is added here.
  if (life.ticker !== null) clearInterval(life.ticker);
  life.plant.nowMs += 60_000;
  await say('failing');
  await say('healthy');
  expect(await last()).toMatch(/is failing/);
  life.plant.nowMs += 1000;
  await say('healthy');
  expect(await last()).toMatch(/is healthy/);
});

it('store - room that a flood has taken is given back, while the store is used and when it is opened again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ust-store-'));
  try {
    const path = join(folder, 'store.db');
    const fill = async (): Promise<void> => {
      const store = await openSqliteStore(path);
      for (let index = 0; index < 64; index += 1) await store.put(`event/${index}`, 'x'.repeat(500_000), 0);
      await store.close();
    };
    await fill();
    expect(statSync(path).size + statSync(`${path}-wal`).size).toBeGreaterThan(16_000_000);
    const emptied = await openSqliteStore(path);
    for (const { key, revision } of await emptied.list('event/')) await emptied.delete(key, revision);
    for (let index = 0; index < 80; index += 1) {
      const revision = await emptied.put('other', index, 0);
      await emptied.delete('other', revision);
    }
    await emptied.close();
    const again = await openSqliteStore(path);
    expect(await again.list('')).toEqual([]);
    await again.put('other', 1, 0);
    expect(statSync(path).size).toBeLessThan(10_000_000);
    await again.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
