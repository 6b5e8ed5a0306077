// Hosts with a BMC: ipmitool against ipmi_sim, whose hosts are real QEMU machines.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Call, memoryEpochGate, present, requireTool } from '../../src/base/mod.ts';
import { IpmiPower, type IpmiSettings } from '../../src/power/mod.ts';
import { describePower } from '../conformance/power.ts';
import { Bmc } from '../rig/bmc.ts';
import { commandsWith, identityOf, killMachinesWith, machinesWith } from '../rig/machines.ts';
import { eventually } from '../rig/wait.ts';

/** A room with a BMC for each host; each starts a machine that bears the name of the room's folder. */
class Room {
  readonly folder = mkdtempSync(join(tmpdir(), 'ust-ipmi-'));
  readonly #bmcs = new Map<string, Bmc>();

  async add(host: string): Promise<Bmc> {
    const folder = join(this.folder, host);
    mkdirSync(folder);
    const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86');
    const options = ['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-m', '8'];
    const bmc = await Bmc.start({ folder, command: [qemu, ...options, '-name', `${folder}/machine`] });
    this.#bmcs.set(host, bmc);
    return bmc;
  }

  bmc(host: string): Bmc {
    return present(this.#bmcs.get(host), host);
  }

  get settings(): ReadonlyMap<string, IpmiSettings> {
    return new Map([...this.#bmcs].map(([host, bmc]) => [host, bmc.settings]));
  }

  machines(host: string): readonly number[] {
    return machinesWith(`${this.folder}/${host}/machine`);
  }

  async close(): Promise<void> {
    for (const bmc of this.#bmcs.values()) await bmc.kill();
    await killMachinesWith(this.folder);
    rmSync(this.folder, { recursive: true });
  }
}

describePower('hosts with a BMC', async ({ gate, timeoutMs }) => {
  const room = new Room();
  for (const host of ['web1', 'spare1']) await room.add(host);
  return {
    driver: new IpmiPower({ hosts: room.settings, gate, ...(timeoutMs === undefined ? {} : { timeoutMs }) }),
    hosts: ['web1', 'spare1'],
    running(host) {
      const pids = room.machines(host);
      expect(pids.length).toBeLessThan(2);
      return pids[0] === undefined ? null : identityOf(pids[0]);
    },
    silence: (host, silent) => room.bmc(host).freeze(silent),
    close: () => room.close(),
  };
});

describe('a BMC', () => {
  const rooms: Room[] = [];
  const call: Call = { epoch: 1, signal: new AbortController().signal };

  afterEach(async () => {
    for (const room of rooms.splice(0)) await room.close();
  });

  async function enter(): Promise<Room> {
    const room = new Room();
    rooms.push(room);
    await room.add('web1');
    return room;
  }

  function powerOf(settings: IpmiSettings, timeoutMs: number): IpmiPower {
    return new IpmiPower({ hosts: new Map([['web1', settings]]), gate: memoryEpochGate(), timeoutMs });
  }

  /** Processes of ipmitool that talk to a BMC. */
  function askersOf(bmc: Bmc): ReadonlyMap<number, readonly string[]> {
    return commandsWith(bmc.settings.passwordFile);
  }

  it('that refuses the password or the user is told from one that is silent', async () => {
    const room = await enter();
    const { settings } = room.bmc('web1');
    const passwordFile = join(room.folder, 'wrong');
    writeFileSync(passwordFile, 'closesesame\n', { mode: 0o600 });
    const open = join(room.folder, 'open');
    writeFileSync(open, 'opensesame\n', { mode: 0o644 });
    const wrong: readonly [IpmiSettings, RegExp][] = [
      [{ ...settings, passwordFile }, /HMAC is invalid/],
      [{ ...settings, user: 'nobody' }, /unauthorized name/],
      [{ ...settings, passwordFile: join(room.folder, 'missing') }, /missing does not exist/],
      [{ ...settings, passwordFile: open }, /open can be read or changed by others \(mode 0644\); chmod 600/],
    ];
    for (const [refused, reason] of wrong) {
      const power = powerOf(refused, 20_000);
      expect(await power.state('web1', call)).toBe('unknown');
      const failure = { code: 'POWER_FAILED', message: expect.stringMatching(reason) };
      await expect(power.on('web1', call)).rejects.toMatchObject(failure);
      await expect(power.off('web1', call)).rejects.toMatchObject(failure);
    }
    expect(room.machines('web1')).toEqual([]);
  });

  it('that is gone makes the state unknown, and a change fails in time; its host goes on', async () => {
    const room = await enter();
    const bmc = room.bmc('web1');
    await powerOf(bmc.settings, 20_000).on('web1', call);
    await eventually('the host runs', () => room.machines('web1').length === 1);
    await bmc.kill();
    const power = powerOf(bmc.settings, 3000);
    expect(await power.state('web1', call)).toBe('unknown');
    await expect(power.on('web1', call)).rejects.toMatchObject({ code: 'POWER_TIMEOUT' });
    await expect(power.off('web1', call)).rejects.toMatchObject({ code: 'POWER_TIMEOUT' });
    expect(room.machines('web1')).toHaveLength(1);
  });

  it('that answers late is waited for', async () => {
    const room = await enter();
    const bmc = room.bmc('web1');
    await bmc.freeze(true);
    const switched = powerOf(bmc.settings, 40_000).on('web1', call);
    const runs = new Set<number>();
    await eventually('one ipmitool has given up', () => {
      for (const pid of askersOf(bmc).keys()) runs.add(pid);
      return runs.size > 1;
    });
    await bmc.freeze(false);
    await switched;
    await eventually('the host runs', () => room.machines('web1').length === 1);
  });

  it('is never shown the password on a command line', async () => {
    const room = await enter();
    const bmc = room.bmc('web1');
    await bmc.freeze(true);
    const asking = powerOf(bmc.settings, 2500).state('web1', call);
    const args = await eventually('ipmitool runs', () => [...askersOf(bmc).values()][0]);
    expect(await asking).toBe('unknown');
    const password = readFileSync(bmc.settings.passwordFile, 'utf8').trim();
    expect(args).toContain(bmc.settings.passwordFile);
    expect(args.filter((argument) => argument.includes(password))).toEqual([]);
  });
});
