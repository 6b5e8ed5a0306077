import { describe, expect, it } from 'vitest';
import { type Call, memoryEpochGate } from '../../src/base/mod.ts';
import { FakePower, type PowerState, readBackOff, untilOff } from '../../src/power/mod.ts';
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

  it('says off so many times before it is, and lies so many times', async () => {
    const power = new FakePower({ hosts: ['web1'], gate: memoryEpochGate() });
    power.set('web1', true);
    power.fault('web1', { kind: 'early', times: 1 });
    await power.off('web1', call);
    expect([await power.state('web1', call), power.isOn('web1')]).toEqual(['off', true]);
    expect([await power.state('web1', call), power.isOn('web1')]).toEqual(['off', false]);
    power.fault('web1', { kind: 'lie', state: 'on', times: 2 });
    const states = [await power.state('web1', call), await power.state('web1', call), await power.state('web1', call)];
    expect(states).toEqual(['on', 'on', 'off']);
    power.fault('web1', { kind: 'silent' });
    expect(await power.state('web1', call)).toBe('unknown');
    await expect(power.on('web1', call)).rejects.toMatchObject({ code: 'POWER_FAILED' });
  });
});

describe('power that is read back', () => {
  const relay = () => {
    const power = new FakePower({ hosts: ['web1'], gate: memoryEpochGate() });
    let nowMs = 0;
    const waits: number[] = [];
    const next: (() => void)[] = [];
    const pause = async (ms: number): Promise<void> => {
      waits.push(ms);
      nowMs += ms;
      next.shift()?.();
    };
    const readBack = { read: () => power.state('web1', call), pause };
    const off = (timeoutMs: number): Promise<PowerState> => untilOff({ ...readBack, timeoutMs, nowMs: () => nowMs });
    return { power, waits, next, off, twice: () => readBackOff(readBack) };
  };

  it('is off when two readings say so, some time apart', async () => {
    const { power, waits, next, twice } = relay();
    expect(await twice()).toBe('off');
    next.push(() => power.set('web1', true));
    expect(await twice()).toBe('on');
    expect(await twice()).toBe('on');
    power.fault('web1', { kind: 'lie', state: 'off' });
    next.push(() => power.fault('web1', { kind: 'lie', state: 'unknown' }));
    expect(await twice()).toBe('unknown');
    expect(waits).toEqual([1000, 1000, 1000]);
  });

  it('is waited for until it is off twice in a row, as long as there is time', async () => {
    const { power, waits, next, off } = relay();
    power.set('web1', true);
    const fault = (state: PowerState) => () => power.fault('web1', { kind: 'lie', state, times: 1 });
    // On; off and then on again; off twice.
    next.push(
      fault('off'),
      () => undefined,
      () => power.set('web1', false),
    );
    expect(await off(10_000)).toBe('off');
    expect(waits).toEqual([500, 1000, 500, 1000]);
    power.set('web1', true);
    expect(await off(900)).toBe('on');
    power.fault('web1', { kind: 'silent' });
    expect(await off(900)).toBe('unknown');
  });

  it('is off for a relay that says so too early only when the host has stopped', async () => {
    const { power, off } = relay();
    power.set('web1', true);
    power.fault('web1', { kind: 'early', times: 1 });
    await power.off('web1', call);
    expect([await off(10_000), power.isOn('web1')]).toEqual(['off', false]);
  });
});
