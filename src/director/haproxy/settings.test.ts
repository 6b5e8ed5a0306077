import { describe, expect, it } from 'vitest';
import { haproxySettings } from './settings.ts';

const least = { socket: '/run/haproxy/understudy.sock', backend: 'wiki' };

describe('settings of HAProxy', () => {
  it('have defaults for all but socket and backend', () => {
    expect(haproxySettings.parse(least)).toEqual({
      ...least,
      readsBackend: null,
      checkIntervalMs: 1000,
      checkPasses: 2,
      checkFailures: 3,
      connectionsMax: null,
      timeoutMs: 30_000,
    });
  });

  it('are what they were when they are read again', () => {
    const settings = haproxySettings.parse({ ...least, readsBackend: 'wiki-reads', connectionsMax: 10 });
    expect(haproxySettings.parse(settings)).toEqual(settings);
  });

  it.each([
    [{ socket: '' }],
    [{ backend: undefined }],
    [{ backend: 'a b' }],
    [{ backend: 'x;show info' }],
    [{ backend: '' }],
    [{ readsBackend: 'wiki' }],
    [{ readsBackend: 'wiki/reads' }],
    [{ checkIntervalMs: 99 }],
    [{ checkIntervalMs: 1.5 }],
    [{ checkFailures: 1 }],
    [{ connectionsMax: 0 }],
    [{ timeoutMs: 999 }],
    [{ backends: 'wiki' }],
  ])('refuse %j', (odd) => {
    expect(haproxySettings.safeParse({ ...least, ...odd }).success).toBe(false);
  });
});
