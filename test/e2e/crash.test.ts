// Parts are killed while an understudy is engaged and dismissed, and the end is the same. `npm test` kills the
// controller at every boundary of phases, and at a few random moments from a fixed seed, and storage and guest once;
// `npm run proof:loop` kills at more moments, from a new seed: UNDERSTUDY_LOOP_SEED=seed UNDERSTUDY_LOOP_KILLS=n npx
// vitest run test/e2e/crash.test.ts
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stage } from '../../scripts/loop/stage.ts';
import { seededRandom } from '../../src/base/mod.ts';
import type { EngagementView, Phase } from '../../src/controller/mod.ts';
import { commandsWith } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';
import { BUILD_MS, digestOf, GuestStage, LOOP_MS } from './guest-stage.ts';
import { askHaproxyStat } from './haproxy-stat.ts';
import { Observer } from './observer.ts';

const given = process.env.UNDERSTUDY_LOOP_SEED;
const seed = given === undefined ? 20_261_125 : given === 'new' ? Date.now() % 1_000_000_000 : Number(given);
const kills = Number(process.env.UNDERSTUDY_LOOP_KILLS ?? 2);
/** After the beginning of a phase. */
const KILL_AFTER_MS_MAX = 3000;
/** Phases that last long enough to be seen from outside. */
const SEEN_UP: readonly Phase[] = ['fence', 'preserve', 'replicate', 'personalise', 'boot', 'prove', 'admit'];
const SEEN_DOWN: readonly Phase[] = ['drain', 'off', 'restore'];
const SEEN: readonly Phase[] = [...SEEN_UP, ...SEEN_DOWN];

let guests: GuestStage;
let stage: Stage;
let spareBefore: string;
let leadMachineId: string;

beforeAll(async () => {
  guests = await GuestStage.make();
  stage = guests.stage;
  await guests.startLead();
  spareBefore = await guests.digestOf('spare1');
  leadMachineId = (await guests.whoAmI('10.90.0.11')).machineId;
}, BUILD_MS);

afterAll(() => guests?.close(), patience(60_000));

const serves = ({ phase, state }: EngagementView): boolean => phase === 'serving' && state === 'waiting';
const isDone = ({ state }: EngagementView): boolean => state === 'done';

/** The order is given once; whoever gives it need not see the end. */
async function order(path: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const { status, body: answer } = await stage.ask(path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (status !== 200) throw new Error(`${path}: ${status} ${answer}`);
}

/** Whoever dies at whatever moment: the spare's own data is there, byte by byte, on its volume or beside it. */
async function restart(): Promise<void> {
  await stage.stopController('SIGKILL');
  expect(await placesOfOwnData()).not.toEqual([]);
  await stage.startController();
}

/** Files that hold what the spare's volume held before, by their bytes alone. */
async function placesOfOwnData(): Promise<readonly string[]> {
  const storage = join(stage.folder, 'state-storage');
  const entries = readdirSync(storage, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const files = [stage.volume('spare1'), ...entries.map(({ parentPath, name }) => join(parentPath, name))];
  const found: string[] = [];
  for (const file of files) if ((await digestOf(file)) === spareBefore) found.push(file);
  return found;
}

/** Looks on until the end is reached, and does something each time a phase begins. */
async function withPhases(
  reached: (seen: EngagementView) => boolean,
  act: (phase: Phase) => Promise<void>,
): Promise<void> {
  const deadline = performance.now() + LOOP_MS;
  let last: Phase | null = null;
  for (;;) {
    const seen = await guests.engagement();
    if (seen === null) throw new Error('the engagement is not there');
    if (seen.state === 'failed') throw new Error(`${seen.phase}: ${seen.error?.message} (${seen.error?.code})`);
    if (reached(seen)) return;
    if (performance.now() > deadline) throw new Error(`still in ${seen.phase}`);
    if (seen.phase !== last) await act(seen.phase);
    last = seen.phase;
  }
}

/** One clone and its dismissal, with something done at each phase, and everything that has to be so afterwards. */
async function engagement(act: (phase: Phase) => Promise<void>): Promise<void> {
  const observer = new Observer({ stage, lead: 'web1', spare: 'spare1', leadMachineId });
  const user = guests.useOnAndOn();
  await order('/v1/clone', { lead: 'web1', to: 'spare1' });
  await withPhases(serves, act);
  const understudy = await guests.whoAmI('10.90.0.21');
  expect(understudy.hostName).toBe('spare1');
  expect(understudy.machineId).not.toBe(leadMachineId);
  await order('/v1/dismiss', { host: 'spare1' });
  await withPhases(isDone, act);
  const { writes, reads } = await user.stop();
  const { violations, looks } = await observer.stop();
  expect(violations).toEqual([]);
  expect(looks).toBeGreaterThan(20);
  expect(writes.filter(({ status }) => status !== 200)).toEqual([]);
  expect(reads).toEqual(writes.map(() => 200));
  expect(writes.map(({ number }) => number)).toEqual(writes.map((_, index) => (writes[0]?.number ?? 0) + index));
  await asBefore();
}

async function asBefore(): Promise<void> {
  expect(await guests.digestOf('spare1')).toBe(spareBefore);
  const machines = [...commandsWith(stage.folder).values()].filter((args) => args.includes('guest=spare1'));
  expect(machines).toEqual([]);
  const servers = await askHaproxyStat(join(stage.folder, 'haproxy.sock'));
  expect(servers.filter(({ server }) => server === 'spare1')).toEqual([]);
  // No backup, no changed blocks of a snapshot, no ring.
  const storage = readdirSync(join(stage.folder, 'state-storage'), { recursive: true, withFileTypes: true });
  const left = storage.filter((entry) => entry.isFile() && !entry.parentPath.endsWith('/stamps'));
  expect(left.map(({ name }) => name)).toEqual([]);
  const producers = [...commandsWith('understudy-producer').values()].filter((args) =>
    args.some((argument) => argument.includes(stage.folder)),
  );
  expect(producers).toEqual([]);
}

describe('parts that are killed', () => {
  it('crash - the observer tells of a stranger that could write a disk of a host that is on', async () => {
    const stranger = openSync(stage.volume('web1'), 'r+');
    const seen = await new Observer({ stage, lead: 'web1', spare: 'spare1', leadMachineId }).stop();
    closeSync(stranger);
    expect(seen.violations).toEqual([expect.stringMatching(/invariant 1: .+ write the volume of web1$/)]);
    const gone = await new Observer({ stage, lead: 'web1', spare: 'spare1', leadMachineId }).stop();
    expect(gone.violations).toEqual([]);
  });

  it(
    'crash - SIGKILL of the controller whenever a phase begins, and at random moments of it: the same end',
    async () => {
      const random = seededRandom(seed);
      const killed: Phase[] = [];
      const moments: string[] = [];
      let left = Math.min(kills, SEEN.length);
      process.stdout.write(`crash: seed ${seed}, ${left} random moments\n`);
      try {
        // A phase that passes by while another one's delay lasts loses its moment, which is then one of a further
        // engagement.
        do {
          await engagement(async (phase) => {
            killed.push(phase);
            await restart();
            const ahead = SEEN.length - SEEN.indexOf(phase);
            // As many phases as random moments, each as likely as the others, wherever they are in the engagement.
            if (!SEEN.includes(phase) || random.below(ahead) >= left) return;
            left -= 1;
            const afterMs = random.below(KILL_AFTER_MS_MAX);
            moments.push(`${phase} + ${afterMs} ms`);
            await delay(afterMs);
            await restart();
          });
        } while (left > 0);
      } catch (error) {
        const told = error instanceof Error ? error.message : error;
        throw new Error(`seed ${seed}, killed at ${moments.join(', ')}: ${told}`, { cause: error });
      }
      process.stdout.write(`crash: also killed at ${moments.join(', ')}\n`);
      // A phase that passes by while another one's delay lasts is not seen to begin.
      const skipped = SEEN.filter((phase) => !killed.includes(phase));
      expect(skipped.length).toBeLessThanOrEqual(moments.length);
      expect(moments.length).toBeGreaterThan(0);
    },
    LOOP_MS,
  );

  // The daemon's death during a copy is also tried by test/fault/storage.test.ts, that of a guest by
  // test/fault/engagement.test.ts.
  it(
    'crash - SIGKILL of the storage daemon while it is copied from, and of the guest while it is looked at: the same end',
    async () => {
      const struck: Phase[] = [];
      await engagement(async (phase) => {
        const victim = phase === 'replicate' ? 'qemu-storage-daemon' : phase === 'prove' ? 'guest=spare1' : null;
        if (victim === null || struck.includes(phase)) return;
        struck.push(phase);
        const processes = [...commandsWith(stage.folder)].filter(([, args]) =>
          args.some((argument) => argument === victim || argument.endsWith(`/${victim}`)),
        );
        // The daemon that holds the volumes goes with the gateways in front of it; a machine is alone.
        expect(processes.length).toBeGreaterThan(victim === 'qemu-storage-daemon' ? 1 : 0);
        for (const [pid] of processes) process.kill(pid, 'SIGKILL');
      });
      expect(struck).toEqual(['replicate', 'prove']);
    },
    LOOP_MS,
  );
});
