// Virtual machines of ours: real QEMU processes, some with a guest in 79 bytes.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Call, memoryEpochGate, requireTool } from '../../src/base/mod.ts';
import {
  findAccelerator,
  QemuPower,
  type QemuPowerOptions,
  type QemuSettingsInput,
  qemuSettings,
} from '../../src/power/mod.ts';
import { runsGuests } from '../../src/power/qemu/accelerator.ts';
import { describePower } from '../conformance/power.ts';
import { freeze, identityOf, killMachinesWith, machinesWith } from '../rig/machines.ts';
import { eventually } from '../rig/wait.ts';
import { freePort, type NbdServer, startQemuNbd } from '../support/nbd-server.ts';
import { onLan } from '../support/net-namespace.ts';
import { countOn, tinyDisk } from '../support/tiny-guest.ts';

const SMALL: QemuSettingsInput = { memoryMiB: 8, accelerator: 'tcg' };
const call = (epoch = 1): Call => ({ epoch, signal: new AbortController().signal });

/** The one machine of a host of the folder, or null. */
function machineOf(folder: string, host: string): number | null {
  const pids = machinesWith(`${folder}/${host}.qmp`);
  expect(pids.length).toBeLessThan(2);
  return pids[0] ?? null;
}

describePower('virtual machines of ours', async ({ gate, timeoutMs }) => {
  const folder = mkdtempSync(join(tmpdir(), 'ust-power-'));
  const settings = qemuSettings.parse(SMALL);
  const driver = new QemuPower({
    hosts: new Map([
      ['web1', settings],
      ['spare1', settings],
    ]),
    folder,
    gate,
    diskOf: async () => null,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  return {
    driver,
    hosts: ['web1', 'spare1'],
    running(host) {
      const pid = machineOf(folder, host);
      return pid === null ? null : identityOf(pid);
    },
    async silence(host, silent) {
      const pid = machineOf(folder, host);
      if (pid !== null) await freeze(pid, silent);
    },
    async close() {
      await killMachinesWith(folder);
      rmSync(folder, { recursive: true });
    },
  };
});

describe('a virtual machine of ours', () => {
  const undo: (() => unknown)[] = [];

  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  function place(): string {
    const folder = mkdtempSync(join(tmpdir(), 'ust-power-'));
    undo.push(() => rmSync(folder, { recursive: true }));
    undo.push(() => killMachinesWith(folder));
    return folder;
  }

  function powerIn(folder: string, settings: QemuSettingsInput = SMALL, options: Partial<QemuPowerOptions> = {}) {
    const hosts = new Map([['web1', qemuSettings.parse(settings)]]);
    return new QemuPower({ hosts, folder, gate: memoryEpochGate(), diskOf: async () => null, ...options });
  }

  async function serve(disk: Uint8Array): Promise<NbdServer> {
    const server = await startQemuNbd(disk, 'raw');
    undo.push(() => server.stop());
    return server;
  }

  /** The same over TCP, for as many connections as there are. */
  async function serveTcp(disk: Uint8Array): Promise<{ port: number; stop: () => Promise<void> }> {
    const folder = place();
    writeFileSync(join(folder, 'disk'), disk);
    const port = await freePort();
    const pidFile = join(folder, 'pid');
    const options = ['--persistent', '--format=raw', '--bind=127.0.0.1', `--port=${port}`, `--pid-file=${pidFile}`];
    const child = spawn(requireTool('qemu-nbd', 'qemu-utils'), [...options, join(folder, 'disk')], { stdio: 'ignore' });
    await eventually('it listens', () => existsSync(pidFile));
    const stop = async (): Promise<void> => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    };
    return { port, stop };
  }

  function user(folder: string, what: 'on' | 'off'): ChildProcess {
    const child = fork(resolve('dist/test/rig/power-user.js'), [folder, 'web1', what, JSON.stringify(SMALL)]);
    undo.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    return child;
  }

  it('is a process without rights, of a user of its own, with a disk that comes over TCP', async () => {
    const folder = place();
    const { port, stop } = await serveTcp(tinyDisk('count'));
    undo.push(stop);
    const serialLog = join(folder, 'serial');
    const power = powerIn(folder, { ...SMALL, serialLog }, { diskOf: async () => `nbd://127.0.0.1:${port}/` });
    await power.on('web1', call());
    const status = readFileSync(`/proc/${machineOf(folder, 'web1')}/status`, 'utf8');
    for (const line of [
      /^Uid:\t65334\t65334\t65334\t65334$/m,
      /^Gid:\t65334\t/m,
      /^CapEff:\t0+$/m,
      /^NoNewPrivs:\t1$/m,
    ])
      expect(status).toMatch(line);
    await eventually('its guest writes', () => readFileSync(serialLog, 'utf8').includes('.....'));
    expect(await power.state('web1', call())).toBe('on');
    await power.off('web1', call());
    expect(machineOf(folder, 'web1')).toBe(null);
  });

  it('boots the volume that it is told of, and counts what its guest asked of it', async () => {
    const folder = place();
    const disk = await serve(tinyDisk('count'));
    const serialLog = join(folder, 'serial');
    const power = powerIn(folder, { ...SMALL, serialLog }, { diskOf: async () => disk.uri });
    await power.on('web1', call());
    const written = () => countOn(readFileSync(join(disk.folder, 'disk')));
    await eventually('five writes', () => written() >= 5);
    const before = await power.statistics('web1', call());
    expect(before.readRequests).toBeGreaterThan(0);
    expect(before.writeRequests).toBeGreaterThanOrEqual(5);
    expect(before.writtenBytes).toBe(before.writeRequests * 512);
    await eventually('more writes', async () => {
      const now = await power.statistics('web1', call());
      return now.writeRequests > before.writeRequests;
    });
    expect(readFileSync(serialLog, 'utf8')).toContain('.....');
    await power.off('web1', call());
    await expect(power.statistics('web1', call())).rejects.toMatchObject({ code: 'POWER_FAILED' });
  });

  it('waits for a storage daemon that was killed, and goes on with it', async () => {
    const folder = place();
    const disk = await serve(tinyDisk('count'));
    const power = powerIn(folder, SMALL, { diskOf: async () => disk.uri });
    await power.on('web1', call());
    const written = () => countOn(readFileSync(join(disk.folder, 'disk')));
    await eventually('writes', () => written() > 0);
    await disk.kill();
    const before = written();
    expect(await power.state('web1', call())).toBe('on');
    await disk.run();
    await eventually('more writes', () => written() > before + 3);
    expect(machineOf(folder, 'web1')).not.toBeNull();
  });

  it('is off when its guest has switched itself off', async () => {
    const folder = place();
    const disk = await serve(tinyDisk('off'));
    const power = powerIn(folder, SMALL, { diskOf: async () => disk.uri });
    for (const times of [1, 2]) {
      await power.on('web1', call());
      await eventually('off', async () => (await power.state('web1', call())) === 'off');
      // The boot sector starts from zero each time.
      expect([times, countOn(readFileSync(join(disk.folder, 'disk')))]).toEqual([times, 1]);
    }
  });

  it('outlives the process that started it, which another then finds running', async () => {
    const folder = place();
    const starter = user(folder, 'on');
    expect(await once(starter, 'message')).toEqual(['done', undefined]);
    starter.kill('SIGKILL');
    await once(starter, 'exit');
    const pid = machineOf(folder, 'web1');
    expect(pid).not.toBeNull();
    const power = powerIn(folder);
    expect(await power.state('web1', call())).toBe('on');
    await power.on('web1', call());
    expect(machineOf(folder, 'web1')).toBe(pid);
    await power.off('web1', call());
    expect(machineOf(folder, 'web1')).toBeNull();
  });

  it('is one machine when two processes start it at once', async () => {
    const folder = place();
    const answers = await Promise.all([user(folder, 'on'), user(folder, 'on')].map((one) => once(one, 'message')));
    expect(answers.map(([answer]) => answer)).toEqual(['done', 'done']);
    expect(machineOf(folder, 'web1')).not.toBeNull();
  });

  it('is not off to anybody while somebody is about to start it', async () => {
    const folder = place();
    let asked = 0;
    let letGo = (): void => undefined;
    const paused = new Promise<void>((done) => {
      letGo = done;
    });
    // The first controller stops between having been admitted for the last time and starting the machine.
    const gate = {
      async admit() {
        asked += 1;
        if (asked === 2) await paused;
      },
    };
    const first = powerIn(folder, SMALL, { gate }).on('web1', call());
    await eventually('the first is about to start', () => asked === 2);
    const second = powerIn(folder, SMALL, { timeoutMs: 1500 });
    expect(await second.state('web1', call(2))).toBe('unknown');
    await expect(second.off('web1', call(2))).rejects.toMatchObject({ code: 'POWER_TIMEOUT' });
    letGo();
    await first;
    await second.off('web1', call(2));
    expect(machineOf(folder, 'web1')).toBeNull();
  });

  it('is cut off although somebody holds its monitor and says nothing', async () => {
    const folder = place();
    const power = powerIn(folder, SMALL, { timeoutMs: 6000 });
    await power.on('web1', call());
    const silent = createConnection(join(folder, 'web1.qmp'));
    undo.push(() => silent.destroy());
    await once(silent, 'data');
    expect(await power.state('web1', call())).toBe('unknown');
    await power.off('web1', call());
    expect(machineOf(folder, 'web1')).toBeNull();
    expect(await power.state('web1', call())).toBe('off');
  });

  it('is not off because its lock and its monitor were deleted', async () => {
    const folder = place();
    const power = powerIn(folder);
    await power.on('web1', call());
    for (const end of ['lock', 'qmp']) rmSync(join(folder, `web1.${end}`));
    expect(await power.state('web1', call())).toBe('unknown');
    await expect(power.on('web1', call())).rejects.toMatchObject({ code: 'POWER_FAILED' });
    expect(machinesWith(folder)).toHaveLength(1);
    await power.off('web1', call());
    expect(machinesWith(folder)).toEqual([]);
    expect(await power.state('web1', call())).toBe('off');
  });

  it('says why it could not be started, and holds nothing then', async () => {
    const folder = place();
    const wrong: readonly [QemuSettingsInput, string | null, RegExp][] = [
      [{ ...SMALL, kernel: '/nowhere/vmlinuz' }, null, /could not open kernel/],
      [{ ...SMALL, interfaces: [{ tap: 'no-such-tap', mac: '52:54:00:90:00:11' }] }, null, /no-such-tap/],
      [SMALL, `nbd+unix:///x?socket=${folder}/nowhere`, /No such file/],
      [SMALL, 'iscsi://10.0.0.1/lun', /not an NBD URI/],
      [{ ...SMALL, netns: 'no-such-namespace' }, null, /no-such-namespace/],
    ];
    for (const [settings, uri, reason] of wrong) {
      const power = powerIn(folder, settings, { diskOf: async () => uri });
      await expect(power.on('web1', call())).rejects.toMatchObject({
        code: 'POWER_FAILED',
        message: expect.stringMatching(reason),
      });
      expect(await power.state('web1', call())).toBe('off');
    }
    expect(machinesWith(folder)).toEqual([]);
  });

  it('runs in the network namespace of its tap device', async () => {
    await onLan({ taps: ['tap-web1'] }, async (lan) => {
      const folder = place();
      const interfaces = [{ tap: 'tap-web1', mac: '52:54:00:90:00:11' }];
      const power = powerIn(folder, { ...SMALL, netns: lan.namespace, interfaces });
      const isUp = async (): Promise<boolean> =>
        (await lan.run('ip', ['link', 'show', 'tap-web1'])).includes('LOWER_UP');
      expect(await isUp()).toBe(false);
      await power.on('web1', call());
      await eventually('somebody is at the other end', isUp);
      await power.off('web1', call());
      await eventually('nobody is there', async () => !(await isUp()));
    });
  });

  it('runs with KVM only where KVM runs guests, and finds that out once', async () => {
    const folder = place();
    const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86');
    expect(await runsGuests(qemu, 'tcg', folder)).toBe(true);
    const accelerator = await findAccelerator(qemu, folder);
    if (accelerator === 'kvm') expect(await runsGuests(qemu, 'kvm', folder)).toBe(true);
    const answer = join(folder, 'accelerator.json');
    expect(existsSync(answer)).toBe(true);
    const found = statSync(answer).mtimeMs;
    const power = powerIn(folder, { ...SMALL, accelerator: 'auto' });
    await power.on('web1', call());
    const pid = machineOf(folder, 'web1');
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain(`-accel\0${accelerator}`);
    expect(statSync(answer).mtimeMs).toBe(found);
  });
});
