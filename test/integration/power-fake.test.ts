import { describe, expect, it } from 'vitest';
import { type Call, memoryEpochGate } from '../../src/base/mod.ts';
import { FakePower, type PowerState, readBackOff } from '../../src/power/mod.ts';
import { describePower } from '../conformance/power.ts';

describePower('power in memory', async ({ gate, timeoutMs }) => {
  const driver = new FakePower({ hosts: ['web1', 'spare1'], gate, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  return {
    driver,
    hosts: ['web1', 'spare1'],
    running: (host) => (driver.isOn(host) ? String(driver.startsOf(host)) : null),
    silence: async (host, silent) => driver.fault(host, silent ? { kind: 'hang' } : null),
    close: async () => undefined,
  };
});

const call: Call = { epoch: 1, signal: new AbortController().signal };

describe('faults of the relay in memory', () => {
  it('does nothing where it ignores, and says something else where it lies', async () => {
    const changes: string[] = [];
    const onChange = (host: string, on: boolean): void => void changes.push(`${host} ${on}`);
    const power = new FakePower({ hosts: ['web1'], gate: memoryEpochGate(), onChange });
    power.fault('web1', { kind: 'ignore' });
    await power.on('web1', call);
    expect(power.isOn('web1')).toBe(false);
    power.fault('web1', { kind: 'lie', state: 'off' });
    await power.on('web1', call);
    expect(power.isOn('web1')).toBe(true);
    expect(await power.state('web1', call)).toBe('off');
    power.fault('web1', { kind: 'fail', reason: 'no such outlet' });
    await expect(power.off('web1', call)).rejects.toMatchObject({ code: 'POWER_FAILED' });
    power.fault('web1', null);
    await power.off('web1', call);
    expect(changes).toEqual(['web1 true', 'web1 false']);
  });

  it('asks twice, some time apart, before it calls a host off', async () => {
    const power = new FakePower({ hosts: ['web1'], gate: memoryEpochGate() });
    const waits: number[] = [];
    const readings = (...between: (() => void)[]): Promise<PowerState> =>
      readBackOff(power, 'web1', call, {
        apartMs: 700,
        wait: async (ms) => {
          waits.push(ms);
          for (const step of between) step();
        },
      });
    expect(await readings()).toBe('off');
    expect(await readings(() => power.set('web1', true))).toBe('on');
    expect(await readings()).toBe('on');
    power.fault('web1', { kind: 'lie', state: 'off' });
    expect(await readings(() => power.fault('web1', { kind: 'lie', state: 'unknown' }))).toBe('unknown');
    expect(waits).toEqual([700, 700, 700]);
  });
});
