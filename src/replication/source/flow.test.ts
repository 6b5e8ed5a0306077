import { closeSync, writeSync } from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';
import { createPipe } from '../../linux/mod.ts';
import { flowOfPipe } from './flow.ts';

afterEach(() => void vi.restoreAllMocks());

/** Each look at the clock finds that 20 seconds have passed; the pipe gives its first bytes at the tenth one. */
async function slowly(waiting: boolean): Promise<string> {
  const { readFd, writeFd } = createPipe();
  let looks = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    looks += 1;
    if (looks === 10) {
      writeSync(writeFd, 'image');
      closeSync(writeFd);
    }
    return looks * 20_000;
  });
  try {
    const { first } = await flowOfPipe(readFd, 4096, { uri: 'uri', signal: undefined, waiting: () => waiting });
    return Buffer.from(first).toString();
  } finally {
    closeSync(readFd);
    if (looks < 10) closeSync(writeFd);
  }
}

it('flow - a pipe that gives nothing is given up', async () => {
  await expect(slowly(false)).rejects.toMatchObject({ code: 'SOURCE_TIMEOUT' });
});

it('flow - a pipe is waited for as long as what is behind it is waited for itself', async () => {
  expect(await slowly(true)).toBe('image');
});
