// What can go wrong while an understudy is engaged, with real parts: each time the error names the phase and what to
// do, the lead goes on as if nothing had been, and the spare has its own data. And the same installation, once nothing
// is in the way.
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/mod.ts';
import { errorRegistry } from '../../src/base/mod.ts';
import type { EngagementView, Phase } from '../../src/controller/mod.ts';
import { askHaproxyStat } from '../e2e/haproxy-stat.ts';
import { BmcStage } from '../rig/bmc-stage.ts';
import { freeze, identityOf } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';

const AGENT = fileURLToPath(new URL('../../dist/run/agent/agent.js', import.meta.url));
const SPARE_ADDRESS = '10.90.0.21';
const LEAD_ADDRESS = '10.90.0.11';
/** The first run on a machine builds the guests. */
const BUILD_MS = patience(900_000);
const CASE_MS = patience(300_000);

let room: BmcStage;
let lead: { readonly process: string; readonly machineId: string };
let spareBefore: string;

beforeAll(async () => {
  room = await BmcStage.make();
  const { stage } = room;
  await stage.startController();
  await stage.json('power', 'web1', 'on');
  await stage.until('web1 answers', async () => (await stage.insider.ask({ url: site() })).status === 200);
  lead = { process: identityOf(room.machines('web1')[0] ?? 0), machineId: (await room.whoAmI(LEAD_ADDRESS)).machineId };
  spareBefore = digestOf('spare1');
}, BUILD_MS);

afterAll(() => room?.close(), patience(60_000));

function site(): string {
  return `${room.stage.site}/whoami.php`;
}

function digestOf(host: string): string {
  return createHash('sha256')
    .update(readFileSync(room.stage.volume(host)))
    .digest('hex');
}

/** Reads through HAProxy all the time. @returns how many answers there were, and those that were not the lead's */
function readers(): { stop(): Promise<{ answers: number; strange: unknown[] }> } {
  let answers = 0;
  let going = true;
  const strange: unknown[] = [];
  const done = (async () => {
    while (going) {
      const answer = await room.stage.insider.ask({ url: site() }).catch((error: unknown) => String(error));
      answers += 1;
      if (typeof answer === 'string' || answer.status !== 200 || !answer.body.includes(lead.machineId))
        strange.push(answer);
    }
  })();
  return {
    async stop() {
      going = false;
      await done;
      return { answers, strange };
    },
  };
}

async function restart(timeouts: Parameters<BmcStage['configure']>[0]): Promise<void> {
  room.configure(timeouts);
  await room.stage.stopController('SIGTERM');
  await room.stage.startController();
}

/** Asks for the understudy, which fails in a phase, and looks at everything that has to be so then. */
async function expectFailure(phase: Phase, code: ErrorCode, message: RegExp, remedy: RegExp): Promise<void> {
  const reading = readers();
  const { status, stdout } = await room.stage.cli('clone', 'web1', '--to', 'spare1', '--json');
  const answer = JSON.parse(stdout) as { ok: boolean; engagement: string; error: EngagementView['error'] };
  expect(answer.error?.message).toMatch(message);
  expect(answer).toMatchObject({ ok: false, error: { code, phase, remedy: expect.stringMatching(remedy) } });
  expect(status).toBe(errorRegistry[code].exit);
  const over = await room.over(answer.engagement);
  expect(over).toMatchObject({ error: { code, phase } });
  // The lead: the same process, and every reader was served by it.
  const { answers, strange } = await reading.stop();
  expect(answers).toBeGreaterThan(3);
  expect(strange).toEqual([]);
  expect(room.machines('web1').map(identityOf)).toEqual([lead.process]);
  const servers = await askHaproxyStat(join(room.stage.folder, 'haproxy.sock'));
  expect(servers.filter(({ server }) => server === 'spare1')).toEqual([]);
}

/** The spare is off, and its disk is to the byte what it was. */
function expectSpareAsBefore(): void {
  expect(room.machines('spare1')).toEqual([]);
  expect(digestOf('spare1')).toBe(spareBefore);
}

describe('an engagement in which something goes wrong', () => {
  it(
    'failure - no room for the backup of the spare',
    async () => {
      room.fill(true);
      try {
        await expectFailure('preserve', 'STORAGE_SPACE', /spare1.* needs .* are free/, /room in storage.folder/);
      } finally {
        room.fill(false);
      }
      expectSpareAsBefore();
    },
    CASE_MS,
  );

  it(
    'failure - an understudy that comes up without a system never answers',
    async () => {
      await restart({ boot: '6s' });
      room.spoil('broken', true);
      try {
        await expectFailure('prove', 'PROVE_FAILED', /spare1 after \d+ s: /, /what the understudy says on its console/);
      } finally {
        room.spoil('broken', false);
      }
      expectSpareAsBefore();
    },
    CASE_MS,
  );

  it(
    'failure - another computer has the address of the understudy',
    async () => {
      const { mac } = await room.stage.lan.addHost('clash', { address: SPARE_ADDRESS });
      try {
        await expectFailure(
          'choose',
          'ADDRESS_IN_USE',
          new RegExp(`${SPARE_ADDRESS} of spare1 is held by ${mac}`),
          /take the address from it/,
        );
      } finally {
        await room.stage.lan.plug('clash', false);
      }
      expectSpareAsBefore();
    },
    CASE_MS,
  );

  it(
    'failure - an agent that falls silent or has a wrong token makes the verdict unknown, and nothing is done',
    async () => {
      const { stage } = room;
      const settings = {
        host: 'web1',
        controller: stage.interface('').replace(/\/$/, ''),
        token: 'agent-of-web1-0123456789',
        ca: readFileSync(join(room.folder, 'pki', 'ca.crt'), 'utf8'),
      };
      const verdict = async (): Promise<string> => (await room.status()).services[0]?.verdict ?? 'none';
      const agentWith = (change: Partial<typeof settings>) => {
        const file = join(room.folder, 'agent.json');
        writeFileSync(file, JSON.stringify({ ...settings, ...change }));
        chmodSync(file, 0o600);
        return stage.lan.spawn(process.execPath, [AGENT, '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
      };
      const stranger = agentWith({ token: 'agent-of-nobody-0123456789' });
      let said = '';
      stranger.stderr?.on('data', (text: Buffer) => {
        said += text.toString();
      });
      await eventually(
        () => `the agent says that its token is wrong; it said ${said}`,
        () => /does not accept the token \(401\); this agent needs the token that is in agentTokenFile/.test(said),
      );
      expect(await verdict()).toBe('unknown');
      stranger.kill('SIGKILL');

      const agent = agentWith({});
      await stage.until('web1 is healthy', async () => (await verdict()) === 'healthy');
      await freeze(agent.pid ?? 0, true);
      await stage.until('nobody knows how web1 is', async () => (await verdict()) === 'unknown');
      agent.kill('SIGKILL');
      const { services } = await room.status();
      expect(services[0]).toMatchObject({ hosts: ['web1'], pendingPlan: null });
      const decisions = await stage.json<{ action: string; reason: string }[]>('explain', 'wiki', '--limit', '1');
      expect(decisions[0]).toMatchObject({ action: 'none' });
    },
    CASE_MS,
  );
});

describe('the same installation with nothing in the way', () => {
  it(
    'failure - a clone by hand through IPMI serves on while HAProxy restarts and understudy.yaml is broken, and goes in good order',
    async () => {
      const { stage } = room;
      await restart({});
      expect(await stage.json('clone', 'web1', '--to', 'spare1')).toMatchObject({ ok: true });
      const understudy = await room.whoAmI(SPARE_ADDRESS);
      expect(understudy.hostName).toBe('spare1');
      expect(understudy.machineId).not.toBe(lead.machineId);
      expect(await room.whoAmI(LEAD_ADDRESS)).toMatchObject({ hostName: 'web1', machineId: lead.machineId });
      const machine = room.machines('spare1').map(identityOf);
      expect(machine).toHaveLength(1);
      const places = async (): Promise<readonly string[]> => {
        const servers = await askHaproxyStat(join(stage.folder, 'haproxy.sock'));
        return servers.filter(({ server }) => server === 'spare1').map(({ backend }) => backend);
      };
      expect(await places()).toEqual(['wiki-reads']);

      await stage.stopDirector();
      await stage.startDirector();
      await stage.until('HAProxy knows spare1 again', async () => (await places()).includes('wiki-reads'));

      await stage.stopController('SIGTERM');
      const right = readFileSync(stage.configuration, 'utf8');
      writeFileSync(stage.configuration, right.replace('traffic: reads', 'trafic: reads'));
      await expect(stage.startController()).rejects.toThrow(/understudy\.yaml:\d+:\d+: .*trafic.*did you mean traffic/);
      expect(await room.whoAmI(SPARE_ADDRESS)).toEqual(understudy);
      writeFileSync(stage.configuration, right);
      await stage.startController();
      expect(room.machines('spare1').map(identityOf)).toEqual(machine);

      const { engagement } = await stage.json<{ engagement: string }>('dismiss', 'spare1');
      expect(await room.over(engagement)).toMatchObject({ state: 'done', error: null });
      expectSpareAsBefore();
      expect(await places()).toEqual([]);
      expect(room.machines('web1').map(identityOf)).toEqual([lead.process]);
    },
    CASE_MS,
  );
});

// The last one: a BMC of ipmi_sim whose host ignores it answers nobody for a while.
describe('a computer that does not obey', () => {
  it(
    'failure - a spare that keeps its power is not overwritten, and runs on',
    async () => {
      await restart({ off: '1s' });
      await room.stage.json('power', 'spare1', 'on');
      const own = await eventually('spare1 answers', () => room.whoAmI(SPARE_ADDRESS).catch(() => null), CASE_MS);
      const running = room.machines('spare1').map(identityOf);
      room.spoil('stubborn', true);
      try {
        await expectFailure('fence', 'POWER_TIMEOUT', /spare1 is not off 1 s after/, /switch it off by hand/);
        expect(await room.whoAmI(SPARE_ADDRESS)).toEqual(own);
        expect(own).toMatchObject({ hostName: 'spare1' });
        expect(room.machines('spare1').map(identityOf)).toEqual(running);
      } finally {
        room.spoil('stubborn', false);
      }
    },
    CASE_MS,
  );
});
