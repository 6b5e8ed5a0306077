// The whole loop end to end, with real guests: a step of load is seen, the lead's live disk is cloned, the clone takes reads under
// its own identity, and the spare has its own disk back when the load is gone. What is asserted is the state of the world: the
// answers of the guests, HAProxy's own statistics, QEMU's processes and counters, the bytes of volumes; not our records.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calibrate, OBJECTIVE, READERS } from '../../scripts/loop/calibrate.ts';
import type { Stage } from '../../scripts/loop/stage.ts';
import { memoryEpochGate } from '../../src/base/mod.ts';
import type { InspectionView, StatusView } from '../../src/controller/mod.ts';
import { QemuPower, qemuSettings } from '../../src/power/mod.ts';
import { machinesWith } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';
import { BUILD_MS, dist, GuestStage, LOOP_MS } from './guest-stage.ts';
import { askHaproxyStat } from './haproxy-stat.ts';

const PAGE = '/doku.php?id=start';
/** What a guest does by itself in some seconds; a copy of its disk is a hundred times as much. */
const IDLE_BYTES_MAX = 16 * 1024 * 1024;

/** Rules of an administrator's own, beside those that come with the program. */
const OWN_RULES = `rules:
  - name: greeting
    why: It says which host this is.
    path: [/etc/issue]
    action: generate
    with: "This is {{hostName}} at {{address}}, a clone.\\n"
keep:
  - rule: cron
    path: /etc/cron.d/wiki-index
    because: It does no harm twice.
`;

let guests: GuestStage;
let stage: Stage;

beforeAll(async () => {
  guests = await GuestStage.make();
  stage = guests.stage;
}, BUILD_MS);

afterAll(() => guests?.close(), patience(60_000));

/** QEMU's own count of what a guest has asked of its disk. */
async function diskBytesOf(host: string): Promise<number> {
  const power = new QemuPower({
    hosts: new Map([[host, qemuSettings.parse({})]]),
    folder: join(stage.folder, 'state/machines'),
    gate: memoryEpochGate(),
    diskOf: async () => null,
  });
  const counted = await power.statistics(host, { epoch: 1, signal: AbortSignal.timeout(patience(30_000)) });
  return counted.readBytes + counted.writtenBytes;
}

async function startWithOwnRules(): Promise<void> {
  writeFileSync(join(stage.folder, 'rules.yaml'), OWN_RULES);
  stage.configure({ identity: '{ rules: rules.yaml }' });
  await guests.startLead();
  await stage.lan.run(process.execPath, [dist('run/cli/understudy.js'), 'doctor', '-f', stage.configuration]);
}

function stat() {
  return askHaproxyStat(join(stage.folder, 'haproxy.sock'));
}

describe('the loop', () => {
  it(
    'loop - a clone by hand: a moment of the live disk, an identity of its own, and the spare as it was afterwards',
    async () => {
      await startWithOwnRules();
      const before = await guests.digestOf('spare1');
      const lead = await guests.whoAmI('10.90.0.11');
      // A report of the live disk, before anybody clones anything: who it is now, and what a clone would do twice.
      const report = await stage.json<InspectionView>('inspect', 'web1');
      const found = (rule: string) => report.findings.filter((one) => one.rule === rule);
      expect(found('machine-id').map(({ value }) => value)).toEqual([lead.machineId]);
      const index = found('cron').find(({ path }) => path === '/etc/cron.d/wiki-index');
      expect([index?.action, index?.why]).toEqual(['keep', expect.stringContaining('It does no harm twice.')]);
      expect(found('agent').map(({ action }) => action)).toEqual(['rewrite']);
      const bytesBefore = await diskBytesOf('web1');
      const user = guests.useOnAndOn();
      const clone = stage.json<{ ok: boolean; timeToCapacitySeconds: number }>('clone', 'web1', '--to', 'spare1');
      const machinesOfSpare: number[] = [];
      await guests.untilEngagement('the copy is made', ({ stages }) => {
        if (stages.some(({ phase }) => phase === 'replicate')) return true;
        machinesOfSpare.push(...machinesWith('guest=spare1'));
        return false;
      });
      const bytesOfLead = (await diskBytesOf('web1')) - bytesBefore;
      expect(await clone).toMatchObject({ ok: true });
      const { writes, reads } = await user.stop();

      // The lead lost nothing, and its host read and wrote nothing for the copy; the spare had no machine that could.
      expect(writes.length).toBeGreaterThan(3);
      expect(writes.filter(({ status }) => status !== 200)).toEqual([]);
      expect(reads).toEqual(writes.map(() => 200));
      expect(writes.map(({ number }) => number)).toEqual(writes.map((_, index) => (writes[0]?.number ?? 0) + index));
      expect(bytesOfLead).toBeLessThan(IDLE_BYTES_MAX);
      expect(machinesOfSpare).toEqual([]);

      // The clone is somebody else, and shows one moment: the page and its log agree.
      const understudy = await guests.whoAmI('10.90.0.21');
      expect(understudy.hostName).toBe('spare1');
      expect(understudy.machineId).not.toBe(lead.machineId);
      expect(await guests.whoAmI('10.90.0.11')).toEqual(lead);
      expect(await guests.run('10.90.0.21', 'cat /etc/issue')).toBe('This is spare1 at 10.90.0.21, a clone.\n');
      expect(await guests.run('10.90.0.11', 'cat /etc/issue')).not.toContain('clone');
      const { body } = await stage.insider.ask({ url: 'http://10.90.0.21/counter.php' });
      const [count, logged, lines] = (body.match(/\d+/g) ?? []).map(Number);
      expect([count, (count ?? 0) + 1]).toContain(logged);
      expect(lines).toBe(logged);

      // Its disk was whole and clean when it began to boot: ext4(5) has no journal to replay, and finds nothing wrong.
      const kernel = await guests.run('10.90.0.21', 'dmesg | grep EXT4; cat /sys/fs/ext4/vda/errors_count');
      expect(kernel).toMatch(/EXT4-fs \(vda\): mounted filesystem/);
      expect(kernel).not.toMatch(/recovery|error|warning/i);
      expect(kernel).toMatch(/\n0\n$/);

      // It gets reads, and no write, by its own log.
      const [gets, posts] = [await guests.logged('10.90.0.21', 'GET'), await guests.logged('10.90.0.21', 'POST')];
      const postsOfLead = await guests.logged('10.90.0.11', 'POST');
      for (let request = 0; request < 6; request += 1) {
        await stage.insider.ask({ url: `${stage.site}/whoami.php` });
        await stage.insider.ask({ method: 'POST', url: `${stage.site}/counter.php`, body: '' });
      }
      const places = (await stat()).filter(({ server }) => server === 'spare1').map(({ backend }) => backend);
      expect(places).toEqual(['wiki-reads']);
      const after = await stage.insider.ask({ url: 'http://10.90.0.21/counter.php' });
      expect(after.body).toBe(body);
      expect(await guests.logged('10.90.0.21', 'POST')).toBe(posts);
      expect(await guests.logged('10.90.0.21', 'GET')).toBeGreaterThan(gets + 2);
      expect(await guests.logged('10.90.0.11', 'POST')).toBe(postsOfLead + 6);

      await stage.json('dismiss', 'spare1');
      await guests.untilEngagement('spare1 is free', ({ state }) => state === 'done');
      expect(await guests.digestOf('spare1')).toBe(before);
      await expect(diskBytesOf('spare1')).rejects.toMatchObject({ code: 'POWER_FAILED' });
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
      const before = await guests.digestOf('spare1');
      // The understudy was dismissed by hand, and that holds until it is lifted.
      expect((await stage.api<StatusView>('/v1/status')).services[0]?.holds).toMatchObject([{ kind: 'dismissal' }]);
      await stage.json('resume', 'wiki');
      const readers = (clients: number): void =>
        stage.insider.load({ clients, url: `${stage.site}${PAGE}`, thinkMs: 20, timeoutMs: 120_000 });
      readers(READERS);
      await guests.untilEngagement(
        'an understudy serves',
        ({ phase, state }) => phase === 'serving' && state === 'waiting',
      );
      expect((await guests.whoAmI('10.90.0.21')).hostName).toBe('spare1');
      await stage.until('spare1 has answered readers', async () => {
        return ((await stat()).find(({ server }) => server === 'spare1')?.requests ?? 0) > 3;
      });
      await stage.until('the objective is met again', async () => {
        return (await stage.api<StatusView>('/v1/status')).services[0]?.verdict === 'healthy';
      });
      readers(0);
      await guests.untilEngagement('spare1 is free', ({ state }) => state === 'done');
      expect(await guests.digestOf('spare1')).toBe(before);
      expect((await stat()).some(({ server }) => server === 'spare1')).toBe(false);
    },
    LOOP_MS,
  );
});
