// The proof of life, with a machine that is not up, answers wrongly, shows keys of somebody else, or is not alone.
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { boot, fence, personalise, preserve, prove, replicate } from '../../src/controller/steps-up.ts';
import { type BenchPlan, StepBench } from '../rig/step-bench.ts';
import { strangerAt } from '../sim/plant.ts';

const ADDRESS = '10.0.0.21';
let bench: StepBench;

/** spare1 was just switched on with its replica. */
async function started(plan: BenchPlan = {}): Promise<StepBench> {
  const made = await StepBench.make(plan);
  for (const step of [fence, preserve, replicate, personalise, boot]) await made.do(step);
  made.enter('prove');
  return made;
}

/** Looks until the step is over. */
async function outcome(): Promise<string> {
  for (let look = 0; look < 100; look += 1) {
    const seen = await bench.do(prove);
    if (seen.kind !== 'again') return seen.kind;
  }
  throw new Error('it looks for ever');
}

beforeEach(async () => {
  bench = await started();
});

describe('prove', () => {
  it('steps - a machine that comes up is proved, and what is waited for is told', async () => {
    const from = bench.plant.nowMs;
    expect(await outcome()).toBe('done');
    expect(bench.plant.nowMs - from).toBeGreaterThanOrEqual(15_000);
    expect(bench.waits[0]).toBe('answer');
  });

  it('steps - one that never answers is given up when its time is over, and not before', async () => {
    bench.plant.mute.add('spare1');
    const from = bench.plant.nowMs;
    await expect(outcome()).rejects.toMatchObject({
      code: 'PROVE_FAILED',
      message: expect.stringMatching(/^spare1 after \d+ s: missing: a good answer from 10\.0\.0\.21, port 80 \(conn/),
    });
    const waitedMs = bench.plant.nowMs - from;
    expect([waitedMs >= 60_000, waitedMs < 70_000]).toEqual([true, true]);
  });

  it('steps - an answer without what it must contain is none', async () => {
    bench = await started({ service: { check: { kind: 'http', path: '/', contains: 'welcome', timeoutMs: 1000 } } });
    await expect(outcome()).rejects.toMatchObject({ message: expect.stringContaining('without "welcome"') });
    bench = await started({ service: { check: { kind: 'http', path: '/', contains: 'spare1', timeoutMs: 1000 } } });
    expect(await outcome()).toBe('done');
  });

  it.each([
    ['alone', (own: readonly string[]) => (own.length > 0 ? ['SHA256:foreign'] : [])],
    ['beside its own', (own: readonly string[]) => [...own, 'SHA256:foreign']],
  ])('steps - a foreign SSH host key is refused, %s', async (_, keys) => {
    bench.plant.foreignKeys.set('spare1', keys(bench.plant.disks.bytesOf('spare1').keys));
    await expect(outcome()).rejects.toMatchObject({
      code: 'PROVE_FAILED',
      message: `${ADDRESS} shows the host key SHA256:foreign, which is not ours`,
    });
  });

  it('steps - one that shows no SSH host key is not proved, unless it has none', async () => {
    bench.plant.foreignKeys.set('spare1', []);
    await expect(outcome()).rejects.toMatchObject({
      code: 'PROVE_FAILED',
      message: expect.stringMatching(/missing: its SSH host keys$/),
    });
    expect(bench.waits.at(-1)).toBe('its SSH host keys');
    bench = await started();
    bench.plant.foreignKeys.set('spare1', []);
    bench.engagement = { ...bench.engagement, proof: { sshHostKeys: [], machineId: 'spare1' } };
    expect(await outcome()).toBe('done');
  });

  it('steps - foreign keys from before it answers are forgotten when it shows its own', async () => {
    const { keys } = bench.plant.disks.bytesOf('spare1');
    const asked: string[] = [];
    Object.assign(bench.plant.network, {
      sshHostKeys: async () => {
        asked.push(bench.plant.answers('spare1') ? 'up' : 'starting');
        return bench.plant.answers('spare1') ? keys : ['SHA256:of the boot loader'];
      },
    });
    expect(await outcome()).toBe('done');
    expect(asked).toEqual(expect.arrayContaining(['starting', 'up']));
  });

  it('steps - a stranger at its address is refused, also one who comes when it answers', async () => {
    bench.plant.strangers.push(strangerAt(ADDRESS));
    await expect(outcome()).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
    bench = await started();
    const { check, holders } = bench.plant.network;
    let answered = false;
    Object.assign(bench.plant.network, {
      // A look takes its time, and finds whoever has come until its end.
      holders: async (...args: Parameters<typeof holders>) => {
        await setImmediate();
        return holders(...args);
      },
      check: async (...args: Parameters<typeof check>) => {
        const answer = await check(...args);
        if (answer.ok && !answered) {
          answered = true;
          bench.plant.strangers.push(strangerAt(ADDRESS));
        }
        return answer;
      },
    });
    await expect(outcome()).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });

  it('steps - a look for others that ended before the answer does not count, one that overlaps it does', async () => {
    const { holders, check } = bench.plant.network;
    const looks: { readonly end: () => void }[] = [];
    let answered = false;
    Object.assign(bench.plant.network, {
      check: async (...args: Parameters<typeof check>) => {
        const answer = await check(...args);
        answered ||= answer.ok;
        return answer;
      },
      // Each ends when it is told to; the first one before the answer, the second after it.
      holders: async (...args: Parameters<typeof holders>) => {
        if (looks.length > 0) await new Promise<void>((resolve) => looks.push({ end: resolve }));
        else looks.push({ end: () => undefined });
        return holders(...args);
      },
    });
    let pauses = 0;
    bench.onPause = () => {
      pauses = answered ? pauses + 1 : 0;
      if (pauses === 8) looks[1]?.end();
    };
    expect(await outcome()).toBe('done');
    expect([looks.length, pauses >= 8]).toEqual([2, true]);
    expect(bench.waits.at(-1)).toBe(`the end of a look for others at ${ADDRESS}`);
  });

  it('steps - without a link nobody is looked for', async () => {
    bench = await started({ understudy: { link: null } });
    Object.assign(bench.plant.network, { holders: () => Promise.reject(new Error('it was looked')) });
    expect(await outcome()).toBe('done');
  });

  it('steps - one that goes off is started again; a relay that says so once is not believed', async () => {
    bench.plant.relays.fault('spare1', { kind: 'lie', state: 'off', times: 1 });
    expect(await outcome()).toBe('done');
    bench.plant.switchOff('spare1');
    expect(await outcome()).toBe('back');
  });

  it('steps - one of which nobody can tell whether it is on is not proved', async () => {
    bench.plant.silent.add('spare1');
    await expect(outcome()).rejects.toMatchObject({
      message: expect.stringContaining('its relay to say that it is on'),
    });
  });

  it('steps - a question that is lost holds nothing up', async () => {
    const { check, sshHostKeys } = bench.plant.network;
    const lost = new Set<string>();
    const first =
      <T extends readonly unknown[], R>(what: string, ask: (...args: T) => Promise<R>) =>
      async (...args: T): Promise<R> => {
        if (lost.has(what)) return ask(...args);
        lost.add(what);
        return new Promise(() => undefined);
      };
    Object.assign(bench.plant.network, { check: first('check', check), sshHostKeys: first('keys', sshHostKeys) });
    expect(await outcome()).toBe('done');
  });

  it('steps - what fails ends it, and leaves nothing under way; so does an interruption', async () => {
    let underWay = 0;
    const { holders } = bench.plant.network;
    const never = ({ signal }: { signal: AbortSignal }) =>
      new Promise((_, reject) => {
        underWay += 1;
        signal.addEventListener('abort', () => {
          underWay -= 1;
          reject(signal.reason);
        });
      });
    Object.assign(bench.plant.network, {
      check: (_address: string, _check: unknown, call: { signal: AbortSignal }) => never(call),
      holders: () => Promise.reject(new TypeError('poison')),
    });
    await expect(outcome()).rejects.toThrow('poison');
    expect(underWay).toBe(0);
    Object.assign(bench.plant.network, { holders });
    let pauses = 0;
    bench.onPause = () => {
      pauses += 1;
      if (pauses === 20) bench.interrupt();
    };
    await expect(outcome()).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(underWay).toBe(0);
  });
});
