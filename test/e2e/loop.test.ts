// The whole loop end to end, with real guests: a step of load is seen, the lead's live disk is cloned, the clone takes reads under
// its own identity, and the spare has its own disk back when the load is gone. What is asserted is the state of the world: the
// answers of the guests, HAProxy's own statistics, QEMU's processes and counters, the bytes of volumes; not our records.
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildGuests, GUEST_APPEND, LEAD, SPARE } from '../../guests/mod.ts';
import { calibrate, OBJECTIVE, READERS } from '../../scripts/loop/calibrate.ts';
import { Stage } from '../../scripts/loop/stage.ts';
import { memoryEpochGate } from '../../src/base/mod.ts';
import type { EngagementView, StatusView } from '../../src/controller/mod.ts';
import { QemuPower, qemuSettings } from '../../src/power/mod.ts';
import { askHaproxyStat } from './haproxy-stat.ts';

const BUILD_MS = 900_000;
const LOOP_MS = 600_000;
const PAGE = '/doku.php?id=start';
/** What a guest does by itself in some seconds; a copy of its disk is a hundred times as much. */
const IDLE_BYTES_MAX = 16 * 1024 * 1024;

const dist = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));

let folder: string;
let stage: Stage;

beforeAll(async () => {
  const guests = await buildGuests({ report: () => undefined, abort: new AbortController().signal });
  folder = mkdtempSync(join(tmpdir(), 'e'));
  const host = (name: string, number: number, mac: string, image: string) => {
    return { name, number, mac, image, token: `agent-of-${name}-0123456789` };
  };
  stage = await Stage.make({
    folder,
    program: dist('run/cli/understudy.js'),
    inside: dist('scripts/loop/inside.js'),
    agent: dist('run/agent/agent.js'),
    kernel: guests.kernel,
    initrd: guests.initrd,
    append: GUEST_APPEND,
    hosts: [host('web1', 11, LEAD.mac, guests.webImage), host('spare1', 21, SPARE.mac, guests.spareImage)],
    mode: 'advise',
    objectiveMs: 60_000,
  });
}, BUILD_MS);

afterAll(async () => {
  await stage?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

async function whoAmI(address: string): Promise<{ hostName: string; machineId: string }> {
  const { body } = await stage.insider.ask({ url: `http://${address}/whoami.php` });
  return JSON.parse(body) as { hostName: string; machineId: string };
}

async function engagement(): Promise<EngagementView | null> {
  return (await stage.api<StatusView>('/v1/status')).engagements.at(-1) ?? null;
}

async function untilEngagement(what: string, reached: (seen: EngagementView) => boolean): Promise<EngagementView> {
  let last: EngagementView | null = null;
  await stage.until(
    `${what}`,
    async () => {
      last = await engagement();
      return last !== null && reached(last);
    },
    LOOP_MS,
  );
  if (last === null) throw new Error('no engagement');
  return last;
}

/** QEMU's own count of what a guest has read from its disk. */
async function readBytesOf(host: string): Promise<number> {
  const power = new QemuPower({
    hosts: new Map([[host, qemuSettings.parse({})]]),
    folder: join(folder, 'state/machines'),
    gate: memoryEpochGate(),
    diskOf: async () => null,
  });
  return (await power.statistics(host, { epoch: 1, signal: AbortSignal.timeout(30_000) })).readBytes;
}

interface Write {
  readonly status: number;
  readonly number: number;
}

/** Writes through HAProxy, one after the other, until told to stop. */
function writeOnAndOn(): { stop(): Promise<readonly Write[]> } {
  const writes: Write[] = [];
  let going = true;
  const done = (async () => {
    while (going) {
      const { status, body } = await stage.insider.ask({ method: 'POST', url: `${stage.site}/counter.php`, body: '' });
      writes.push({ status, number: Number(/\d+/.exec(body)?.[0] ?? Number.NaN) });
    }
  })();
  return {
    async stop() {
      going = false;
      await done;
      return writes;
    },
  };
}

describe('the loop', () => {
  it(
    'loop - a clone by hand: a moment of the live disk, an identity of its own, and the spare as it was afterwards',
    async () => {
      await stage.startController();
      await stage.json('power', 'web1', 'on');
      await stage.until('web1 answers', async () => {
        return (await stage.insider.ask({ url: `${stage.site}/whoami.php` })).status === 200;
      });
      await stage.lan.run(process.execPath, [dist('run/cli/understudy.js'), 'doctor', '-f', stage.configuration]);
      const before = await digestOf(stage.volume('spare1'));
      const lead = await whoAmI('10.90.0.11');
      const readBefore = await readBytesOf('web1');
      const writer = writeOnAndOn();
      const clone = stage.json<{ ok: boolean; timeToCapacitySeconds: number }>('clone', 'web1', '--to', 'spare1');
      await untilEngagement('the copy is made', ({ stages }) => stages.some(({ phase }) => phase === 'replicate'));
      const readByLead = (await readBytesOf('web1')) - readBefore;
      expect(await clone).toMatchObject({ ok: true });
      const writes = await writer.stop();

      // The lead lost nothing, and its host read nothing for the copy.
      expect(writes.length).toBeGreaterThan(3);
      expect(writes.filter(({ status }) => status !== 200)).toEqual([]);
      expect(writes.map(({ number }) => number)).toEqual(writes.map((_, index) => (writes[0]?.number ?? 0) + index));
      expect(readByLead).toBeLessThan(IDLE_BYTES_MAX);

      // The clone is somebody else, and shows one moment: the page and its log agree.
      const understudy = await whoAmI('10.90.0.21');
      expect(understudy.hostName).toBe('spare1');
      expect(understudy.machineId).not.toBe(lead.machineId);
      expect(await whoAmI('10.90.0.11')).toEqual(lead);
      const { body } = await stage.insider.ask({ url: 'http://10.90.0.21/counter.php' });
      const [count, logged, lines] = (body.match(/\d+/g) ?? []).map(Number);
      expect([count, (count ?? 0) + 1]).toContain(logged);
      expect(lines).toBe(logged);

      // It gets reads, and no write.
      for (let request = 0; request < 6; request += 1) {
        await stage.insider.ask({ url: `${stage.site}/whoami.php` });
        await stage.insider.ask({ method: 'POST', url: `${stage.site}/counter.php`, body: '' });
      }
      const stat = await askHaproxyStat(join(folder, 'haproxy.sock'));
      expect(stat.filter(({ server }) => server === 'spare1').map(({ backend }) => backend)).toEqual(['wiki-reads']);
      const after = await stage.insider.ask({ url: 'http://10.90.0.21/counter.php' });
      expect(after.body).toBe(body);

      await stage.json('dismiss', 'spare1');
      await untilEngagement('spare1 is free', ({ state }) => state === 'done');
      expect(await digestOf(stage.volume('spare1'))).toBe(before);
      await expect(readBytesOf('spare1')).rejects.toMatchObject({ code: 'POWER_FAILED' });
    },
    LOOP_MS,
  );

  it(
    'loop - by itself: a step of load is seen, a clone takes reads, and goes when the load has gone',
    async () => {
      const pageMs = await calibrate(stage, `${stage.site}${PAGE}`);
      stage.configure({ mode: 'automatic', objectiveMs: Math.round(pageMs * OBJECTIVE) });
      await stage.stopController('SIGKILL');
      await stage.startController();
      const before = await digestOf(stage.volume('spare1'));
      const readers = (clients: number): void =>
        stage.insider.load({ clients, url: `${stage.site}${PAGE}`, thinkMs: 20, timeoutMs: 120_000 });
      readers(READERS);
      await untilEngagement('an understudy serves', ({ phase, state }) => phase === 'serving' && state === 'waiting');
      expect((await whoAmI('10.90.0.21')).hostName).toBe('spare1');
      await stage.until('spare1 has answered readers', async () => {
        const stat = await askHaproxyStat(join(folder, 'haproxy.sock'));
        return (stat.find(({ server }) => server === 'spare1')?.requests ?? 0) > 3;
      });
      await stage.until('the objective is met again', async () => {
        return (await stage.api<StatusView>('/v1/status')).services[0]?.verdict === 'healthy';
      });
      readers(0);
      await untilEngagement('spare1 is free', ({ state }) => state === 'done');
      expect(await digestOf(stage.volume('spare1'))).toBe(before);
      const stat = await askHaproxyStat(join(folder, 'haproxy.sock'));
      expect(stat.some(({ server }) => server === 'spare1')).toBe(false);
    },
    LOOP_MS,
  );
});
