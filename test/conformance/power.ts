// The suite that every driver of src/power/contract.ts must pass. A driver's test gives hosts behind a relay, and tells
// past the driver what is really so.

import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Call, codeOf, type EpochGate, memoryEpochGate } from '../../src/base/mod.ts';
import { type PowerDriver, type PowerState, readBackOff } from '../../src/power/mod.ts';
import { eventually } from '../rig/wait.ts';

export interface PowerRoom {
  readonly driver: PowerDriver;
  /** A host that is off at first, and one more. */
  readonly hosts: readonly [string, string];
  /** What tells the machine that runs now from every other that ran before; null while none runs. */
  running(host: string): string | null;
  /** Makes the relay of the host silent, or lets it answer again. */
  silence(host: string, silent: boolean): Promise<void>;
  close(): Promise<void>;
}

export interface PowerRoomOptions {
  readonly gate: EpochGate;
  /** Bound of one call; absent: one that is never reached. */
  readonly timeoutMs?: number;
}

export type OpenPowerRoom = (options: PowerRoomOptions) => Promise<PowerRoom>;

/** For calls that have to end by their own bound; long enough for a relay that answers. */
const SHORT_MS = 4000;
const never = new AbortController().signal;
const call = (epoch = 1): Call => ({ epoch, signal: never });

async function codeOfFailure(work: Promise<unknown>): Promise<string | null> {
  const outcome = await work.then(
    () => null,
    (error: unknown) => ({ error }),
  );
  if (outcome === null) return null;
  const code = codeOf(outcome.error);
  if (code === null) throw outcome.error;
  return code;
}

type Enter = (options?: Partial<PowerRoomOptions>) => Promise<PowerRoom>;

function readBack({ driver }: PowerRoom, host: string): Promise<PowerState> {
  return readBackOff({ read: () => driver.state(host, call()), pause: (ms) => delay(ms) });
}

/** The relay may need a moment to see what has become of the host. */
async function seen(room: PowerRoom, host: string, wanted: 'on' | 'off'): Promise<void> {
  await eventually(`${host} is ${wanted}`, async () => (await room.driver.state(host, call())) === wanted);
}

function describeSwitching(enter: Enter): void {
  it('switches a host on and off, and reads back what it is', async () => {
    const room = await enter();
    const [host, other] = room.hosts;
    expect(await room.driver.state(host, call())).toBe('off');
    await room.driver.on(host, call());
    await seen(room, host, 'on');
    expect(room.running(host)).not.toBeNull();
    expect(room.running(other)).toBeNull();
    expect(await room.driver.state(other, call())).toBe('off');
    expect(await readBack(room, host)).toBe('on');
    await room.driver.off(host, call());
    await seen(room, host, 'off');
    expect(await readBack(room, host)).toBe('off');
    await eventually('the machine is gone', () => room.running(host) === null);
  });

  it('leaves on what is on, and off what is off', async () => {
    const room = await enter();
    const [host] = room.hosts;
    await room.driver.off(host, call());
    await room.driver.on(host, call());
    await seen(room, host, 'on');
    const first = room.running(host);
    await room.driver.on(host, call());
    expect(room.running(host)).toBe(first);
    await room.driver.off(host, call());
    await seen(room, host, 'off');
    await room.driver.off(host, call());
    expect(await room.driver.state(host, call())).toBe('off');
    await room.driver.on(host, call());
    await seen(room, host, 'on');
    expect(room.running(host)).not.toBe(first);
  });

  it('makes one machine of many requests at once', async () => {
    const room = await enter();
    const [host] = room.hosts;
    await Promise.all([1, 2, 3].map(() => room.driver.on(host, call())));
    await seen(room, host, 'on');
    const machine = room.running(host);
    await Promise.all([1, 2, 3].map(() => room.driver.on(host, call())));
    expect(room.running(host)).toBe(machine);
    await Promise.all([1, 2].map(() => room.driver.off(host, call())));
    await seen(room, host, 'off');
  });
}

function describeRefusals(enter: Enter): void {
  it('refuses a host that is not its own', async () => {
    const { driver } = await enter();
    expect(await codeOfFailure(driver.state('nobody', call()))).toBe('HOST_UNKNOWN');
    expect(await codeOfFailure(driver.on('nobody', call()))).toBe('HOST_UNKNOWN');
    expect(await codeOfFailure(driver.off('nobody', call()))).toBe('HOST_UNKNOWN');
  });

  it('refuses whoever has been replaced, host by host, and changes nothing for him', async () => {
    const room = await enter();
    const [host, other] = room.hosts;
    expect(await room.driver.state(host, call(5))).toBe('off');
    expect(await codeOfFailure(room.driver.on(host, call(4)))).toBe('EPOCH_STALE');
    expect(await codeOfFailure(room.driver.state(host, call(4)))).toBe('EPOCH_STALE');
    expect(room.running(host)).toBeNull();
    await room.driver.on(host, call(5));
    await eventually('it is on', async () => (await room.driver.state(host, call(5))) === 'on');
    expect(await codeOfFailure(room.driver.off(host, call(4)))).toBe('EPOCH_STALE');
    expect(room.running(host)).not.toBeNull();
    expect(await room.driver.state(other, call(4))).toBe('off');
    await room.driver.off(host, call(6));
  });
}

function describeSilence(enter: Enter): void {
  it('says that it does not know when the relay is silent, and changes its mind when it is not', async () => {
    const room = await enter({ timeoutMs: SHORT_MS });
    const [host] = room.hosts;
    await room.driver.on(host, call());
    await seen(room, host, 'on');
    await room.silence(host, true);
    expect(await room.driver.state(host, call())).toBe('unknown');
    expect(await readBack(room, host)).toBe('unknown');
    await room.silence(host, false);
    await seen(room, host, 'on');
  });

  it('cuts the power of a silent machine, or says that it did not', async () => {
    const room = await enter({ timeoutMs: SHORT_MS });
    const [host] = room.hosts;
    await room.driver.on(host, call());
    await seen(room, host, 'on');
    await room.silence(host, true);
    const failure = await codeOfFailure(room.driver.off(host, call()));
    expect([null, 'POWER_FAILED', 'POWER_TIMEOUT']).toContain(failure);
    if (failure === null) expect(room.running(host)).toBeNull();
    await room.silence(host, false);
    await room.driver.off(host, call());
    await seen(room, host, 'off');
    await eventually('the machine is gone', () => room.running(host) === null);
  });
}

function describeBounds(enter: Enter): void {
  it('ends within its bound whatever it waits for', async () => {
    let letGo = (): void => undefined;
    const stuck = new Promise<void>((done) => {
      letGo = done;
    });
    const room = await enter({ gate: { admit: () => stuck }, timeoutMs: 200 });
    const [host] = room.hosts;
    const works = [room.driver.state(host, call()), room.driver.on(host, call()), room.driver.off(host, call())];
    const failures = await Promise.all(works.map((work) => codeOfFailure(work)));
    expect(failures).toEqual(['POWER_TIMEOUT', 'POWER_TIMEOUT', 'POWER_TIMEOUT']);
    letGo();
    // What was given up does not happen afterwards.
    await stuck;
    expect(room.running(host)).toBeNull();
  });

  it('ends when its caller does', async () => {
    const room = await enter({ gate: { admit: () => new Promise(() => undefined) } });
    const [host] = room.hosts;
    const caller = new AbortController();
    const mine: Call = { epoch: 1, signal: caller.signal };
    const works = [room.driver.state(host, mine), room.driver.on(host, mine), room.driver.off(host, mine)];
    const failures = Promise.all(works.map((work) => codeOfFailure(work)));
    caller.abort();
    expect(await failures).toEqual(['INTERRUPTED', 'INTERRUPTED', 'INTERRUPTED']);
    expect(await codeOfFailure(room.driver.on(host, mine))).toBe('INTERRUPTED');
    expect(room.running(host)).toBeNull();
  });
}

export function describePower(name: string, open: OpenPowerRoom): void {
  describe(name, () => {
    const rooms: PowerRoom[] = [];

    afterEach(async () => {
      for (const room of rooms.splice(0)) await room.close();
    });

    const enter: Enter = async (options = {}) => {
      const room = await open({ gate: memoryEpochGate(), ...options });
      rooms.push(room);
      return room;
    };

    describeSwitching(enter);
    describeRefusals(enter);
    describeSilence(enter);
    describeBounds(enter);
  });
}
