import { describe, expect, it } from 'vitest';
import { codeOf, messageOf } from './errors.ts';
import { withinTime } from './within-time.ts';

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
const limit = { timeoutMs: 600_000, code: 'DIRECTOR_TIMEOUT', what: () => 'look' } as const;
const quiet = new AbortController().signal;

describe('work within a time', () => {
  it('gives what the work gives', async () => {
    expect(await withinTime(limit, quiet, async () => 7)).toBe(7);
    await expect(withinTime(limit, quiet, () => Promise.reject(new Error('own')))).rejects.toThrow('own');
  });

  it('ends when the time is over, saying how far it came', async () => {
    let step = 'begin';
    const work = withinTime({ ...limit, timeoutMs: 1, what: () => `look (${step})` }, quiet, (signal) => {
      step = 'second part';
      return never(signal);
    });
    const error: unknown = await work.catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('DIRECTOR_TIMEOUT');
    expect(messageOf(error)).toBe('look (second part): not done within 1 ms');
  });

  it('ends when its caller says so, also when the work does not listen', async () => {
    const stop = new AbortController();
    let heard: AbortSignal | null = null;
    const work = withinTime(limit, stop.signal, (signal) => {
      heard = signal;
      return new Promise(() => {});
    });
    stop.abort();
    const error: unknown = await work.catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('INTERRUPTED');
    expect((heard as AbortSignal | null)?.reason).toBe(error);
  });

  it('does not begin what is stopped already', async () => {
    let begun = false;
    const work = withinTime(limit, AbortSignal.abort(), async () => {
      begun = true;
    });
    expect(codeOf(await work.catch((reason: unknown) => reason))).toBe('INTERRUPTED');
    expect(begun).toBe(false);
  });
});
