// The agent beside real load, in a real guest, started by the unit that is shipped: what is detected and how soon, what is not, and what the
// clock, control groups and a kernel without pressure information do to it.
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildGuests, type Entry, type Guests, LEAD, makeVolume, writeIntoImage } from '../../guests/mod.ts';
import type { AgentSignal, Report } from '../../src/agent/mod.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import { AgentController } from '../rig/agent-controller.ts';
import { BOOT_PATIENCE_MS, RunningGuest } from '../rig/guest.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';

const BUILD_MS = patience(900_000);
const MINUTE_MS = 60_000;
const PORT = 7780;
const STRESS = '/opt/stress';
const FAST_SECONDS = 10;
const SLOW_SECONDS = 60;

let guests: Guests;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ust-agent-'));
  guests = await buildGuests({ report: () => undefined, abort: new AbortController().signal });
}, BUILD_MS);

afterAll(() => rmSync(folder, { recursive: true }));

/** stress-ng with all libraries, its own loader too, so that it runs wherever the kernel does. */
async function stressEntries(): Promise<Readonly<Record<string, Entry>>> {
  const program = requireTool('stress-ng', 'stress-ng');
  const { stdout } = await runTool(requireTool('ldd', 'libc-bin'), [program]);
  const libraries = [...stdout.matchAll(/(\/\S+\.so\S*)/g)].map(([path]) => path);
  const entries: Record<string, Entry> = {};
  for (const path of [program, ...new Set(libraries)]) {
    entries[`${STRESS}/${basename(path)}`] = { content: readFileSync(path), mode: 0o755 };
  }
  return entries;
}

function stress(options: string): string {
  const loader = `${STRESS}/ld-linux-x86-64.so.2 --library-path ${STRESS} ${STRESS}/stress-ng`;
  // In the background, with an end of its own.
  return `systemd-run --quiet --unit stress --collect --working-directory=/var/tmp ${loader} --timeout 170 ${options}`;
}

class Rig {
  readonly controller = new AgentController();
  readonly guest: RunningGuest;
  readonly #tunnel: ChildProcess;

  private constructor(guest: RunningGuest, controller: AgentController) {
    this.guest = guest;
    this.controller = controller;
    this.#tunnel = guest.forward(PORT, Number(new URL(controller.url).port));
  }

  static async start(name: string, signals: readonly AgentSignal[], append = ''): Promise<Rig> {
    const controller = new AgentController();
    await controller.up();
    controller.instruction = { signals, probe: null, reportSeconds: 1 };
    const volume = join(folder, `${name}.img`);
    const bundle = fileURLToPath(new URL('../../dist/run/agent/agent.js', import.meta.url));
    const settings = { host: 'web1', controller: `http://127.0.0.1:${PORT}`, token: controller.token };
    await makeVolume(guests.webImage, volume, { bundle, settings });
    const unit = { content: readFileSync('packaging/understudy-agent.service') };
    await writeIntoImage(volume, {
      ...(await stressEntries()),
      '/etc/systemd/system/understudy-agent.service': unit,
    });
    const guest = await RunningGuest.start(guests, LEAD, volume, { append });
    try {
      await guest.serves('/whoami.php');
      return new Rig(guest, controller);
    } catch (error) {
      await guest.kill();
      await controller.down();
      throw error;
    }
  }

  get last(): Report | undefined {
    return this.controller.last;
  }

  until(what: string, reached: () => boolean, patienceMs = 5 * MINUTE_MS): Promise<unknown> {
    const state = () => `${what}; the last report was ${JSON.stringify(this.last)}`;
    return eventually(state, () => (reached() ? true : null), patienceMs);
  }

  isBroken(): boolean {
    return ['degraded', 'failing'].includes(this.last?.verdict ?? '');
  }

  async close(): Promise<void> {
    this.#tunnel.kill('SIGKILL');
    await this.guest.kill();
    await this.controller.down();
  }
}

function signal(name: string, below: number): AgentSignal {
  const objective = { below, fastSeconds: FAST_SECONDS, slowSeconds: SLOW_SECONDS, share: 0.5 };
  return { name, objective, baseline: null, outside: false };
}

describe('the agent in a guest', () => {
  let rig: Rig;

  beforeAll(async () => {
    const names = ['cpu.pressure', 'memory.pressure', 'io.pressure'];
    rig = await Rig.start(
      'web1',
      names.map((name) => signal(name, 40)),
    );
    // Swap makes a machine without memory slow, where it would else end programs.
    await rig.guest.run('fallocate -l 400M /swap && chmod 600 /swap && /sbin/mkswap -q /swap && /sbin/swapon /swap');
    await rig.until('healthy after the boot', () => rig.last?.verdict === 'healthy');
  }, BUILD_MS);

  afterAll(() => rig?.close());

  it('agent - under its unit it measures everything, and nothing is missing', () => {
    const missing = Object.entries(rig.last?.signals ?? {}).filter(
      ([name, { value }]) => value === null && !name.startsWith('probe.'),
    );
    expect(missing).toEqual([]);
    expect(Object.keys(rig.last?.signals ?? {})).toEqual(
      expect.arrayContaining(['disk.milliseconds', 'disk.queue', 'network.receivedBytes', 'network.retransmits']),
    );
  });

  it(
    'agent - an idle machine with a job every night, which works hard for a moment, raises nothing',
    async () => {
      const from = rig.controller.changes.length;
      // Reads and digests what is there with all processors, for about a quarter of the slow window; by real cron.
      const job =
        'find /usr -xdev -type f -print0 | timeout 15 xargs -0 -P 4 md5sum > /dev/null 2>&1; touch /run/job-done';
      await rig.guest.run(`printf '%s\\n' '* * * * * root ${job}' > /etc/cron.d/nightly && rm -f /run/job-done`);
      await eventually(
        'the job',
        async () => (await rig.guest.run('ls /run')).includes('job-done') || null,
        3 * MINUTE_MS,
      );
      const busy = Math.max(
        ...rig.controller.received.slice(-60).map(({ report }) => report.signals['cpu.pressure']?.max ?? 0),
      );
      await rig.guest.run('rm /etc/cron.d/nightly');
      await delay(MINUTE_MS);
      expect(busy).toBeGreaterThan(40);
      expect(rig.controller.changes.slice(from).filter(({ verdict }) => verdict !== 'unknown')).toEqual([]);
      expect(rig.last?.verdict).toBe('healthy');
    },
    8 * MINUTE_MS,
  );

  it.each([
    ['cpu.pressure', '--cpu 6'],
    ['io.pressure', '--hdd 4 --hdd-bytes 96M --hdd-opts sync,wr-seq --hdd-write-size 64k'],
    ['memory.pressure', '--vm 2 --vm-bytes 460M --vm-keep --vm-method write64'],
  ])(
    'agent - %s is detected while stress-ng runs with %s, and its end too',
    async (name, options) => {
      await rig.until('healthy before', () => rig.last?.verdict === 'healthy');
      const startedMs = performance.now();
      await rig.guest.run(stress(options));
      await delay(5000);
      expect(await rig.guest.run('systemctl is-active stress || journalctl -u stress | tail -n 20')).toBe('active\n');
      const breaks = (): boolean =>
        rig.isBroken() &&
        rig.last?.evidence.some(({ text }) => text.startsWith(`${name} breaks its objective`)) === true;
      await rig.until(`${name} is broken`, breaks);
      const seconds = Math.round((performance.now() - startedMs) / 1000);
      process.stderr.write(
        `${name}: detected ${seconds} s after the load began (windows ${FAST_SECONDS} s and ${SLOW_SECONDS} s)\n`,
      );
      expect(rig.last?.lacksCapacity).toBe(true);
      await rig.guest.run('systemctl stop stress || true');
      await rig.until('healthy again', () => rig.last?.verdict === 'healthy');
    },
    10 * MINUTE_MS,
  );

  it(
    'agent - a clock that steps changes nothing but the times that people read',
    async () => {
      const [from, boot] = [rig.controller.changes.length, rig.last?.boot];
      const ageMs = rig.last?.ageMs ?? 0;
      for (const step of ['+3 hours', '-5 hours', '+2 hours']) {
        const before = rig.last?.sequence ?? 0;
        await rig.guest.run(`date -s "$(date -d '${step}')"`);
        await rig.until('reports after the step', () => (rig.last?.sequence ?? 0) > before + 5);
      }
      expect(rig.last).toMatchObject({ boot, verdict: 'healthy' });
      expect(rig.controller.changes.length).toBe(from);
      expect(rig.last?.ageMs).toBeGreaterThan(ageMs);
      expect(rig.last?.ageMs).toBeLessThan(ageMs + 10 * MINUTE_MS);
    },
    5 * MINUTE_MS,
  );

  it(
    'agent - a control group that is a host is measured by itself',
    async () => {
      const loader = `${STRESS}/ld-linux-x86-64.so.2 --library-path ${STRESS} ${STRESS}/stress-ng`;
      const limits = '-p CPUQuota=10% -p MemoryMax=100M';
      await rig.guest.run(`systemd-run --quiet --unit tenant ${limits} --collect ${loader} --timeout 120 --cpu 2`);
      await delay(5000);
      const pressure = async (group: string): Promise<number> => {
        const out = await rig.guest.run(
          `node /usr/lib/understudy/agent.js --config /etc/understudy/agent.json --once --json --cgroup /sys/fs/cgroup/${group}`,
        );
        const { signals } = JSON.parse(out.trim().split('\n').at(-1) ?? '') as Report;
        return signals['cpu.pressure']?.value ?? Number.NaN;
      };
      expect(await pressure('system.slice/tenant.service')).toBeGreaterThan(60);
      expect(await pressure('system.slice/cron.service')).toBe(0);
      await rig.guest.run('systemctl stop tenant');
    },
    5 * MINUTE_MS,
  );
});

describe('the agent on a kernel without pressure information', () => {
  it(
    'agent - says so, is never healthy by that, and measures the rest',
    async () => {
      const rig = await Rig.start('nopsi', [signal('load.perCpu', 50), signal('cpu.pressure', 40)], 'psi=0');
      try {
        await rig.until('reports', () => (rig.last?.sequence ?? 0) > 70);
        expect(rig.last?.verdict).toBe('unknown');
        expect(rig.last?.evidence.map(({ text }) => text).join('; ')).toMatch(
          /cpu\.pressure has no value: pressure\/cpu cannot be read: (it is switched off \(psi=0\)|this kernel does not have it)/,
        );
        rig.controller.instruction = { ...rig.controller.instruction, signals: [signal('load.perCpu', 50)] };
        await rig.until('healthy by what there is', () => rig.last?.verdict === 'healthy');
      } finally {
        await rig.close();
      }
    },
    BOOT_PATIENCE_MS + 5 * MINUTE_MS,
  );
});
