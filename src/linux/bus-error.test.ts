import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { busErrors, watchBusErrors } from './bus-error.ts';
import { mapShared } from './mapping.ts';

test('bus error - what a cut file leaves of a mapping reads as zeros, and is counted', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ust-bus-'));
  try {
    const fd = openSync(join(folder, 'file'), 'w+');
    ftruncateSync(fd, 8 * 4096);
    const { buffer, unmap } = mapShared(fd, 8 * 4096);
    const bytes = new Uint8Array(buffer);
    bytes.fill(7);
    watchBusErrors();
    watchBusErrors();
    expect(busErrors()).toBe(0);
    ftruncateSync(fd, 4096);
    expect([bytes[0], bytes[4096], bytes[5 * 4096 + 9]]).toEqual([7, 0, 0]);
    bytes[3 * 4096] = 1;
    expect(busErrors()).toBe(3);
    unmap();
    closeSync(fd);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
