import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkQueue } from './queue.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

const noFailure = async (_: string, error: unknown): Promise<void> => {
  throw error;
};

/** A promise and its end, for work that the test ends. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('the work queue', () => {
  it('queue - a key is worked on by one at a time; asking meanwhile means once more', async () => {
    const { opened, open } = gate();
    let running = 0;
    let runs = 0;
    const queue = new WorkQueue(
      async () => {
        expect(++running).toBe(1);
        runs += 1;
        await opened;
        running -= 1;
        return null;
      },
      noFailure,
      pause,
    );
    queue.add('a');
    queue.add('a');
    queue.add('a');
    open();
    await vi.runAllTimersAsync();
    expect(runs).toBe(2);
  });

  it('queue - comes back by itself when the work says so, and after a failure later each time', async () => {
    const at: number[] = [];
    const failed: string[] = [];
    const started = Date.now();
    const queue = new WorkQueue(
      async () => {
        at.push(Date.now() - started);
        if (at.length === 1) return { inMs: 100 };
        if (at.length < 5) throw new Error('no');
        return null;
      },
      async (key) => {
        failed.push(key);
      },
      pause,
    );
    queue.add('a');
    await vi.runAllTimersAsync();
    expect(at).toEqual([0, 100, 600, 1600, 3600]);
    expect(failed).toEqual(['a', 'a', 'a']);
  });

  it('queue - an interrupted key is looked at anew at once, and that is no failure', async () => {
    let runs = 0;
    const queue = new WorkQueue(
      async (_, signal) => {
        runs += 1;
        if (runs === 2) return null;
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('stopped')));
        });
      },
      noFailure,
      pause,
    );
    queue.add('a');
    queue.interrupt('a');
    queue.interrupt('b');
    await vi.runAllTimersAsync();
    expect(runs).toBe(2);
  });

  it('queue - stop waits for what runs, and starts nothing more', async () => {
    let runs = 0;
    const queue = new WorkQueue(
      async (_, signal) => {
        runs += 1;
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve);
        });
        return { inMs: 0 };
      },
      noFailure,
      pause,
    );
    queue.add('a');
    await queue.stop();
    queue.add('a');
    await vi.runAllTimersAsync();
    expect(runs).toBe(1);
  });
});
