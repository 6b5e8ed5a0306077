// How a copy to one target failed: as its JSON tells, or as its one line on standard error when nothing was begun.
import { expect } from 'vitest';
import { errorRegistry, isErrorCode } from '../../src/base/mod.ts';
import type { CopyResult } from '../../src/replication/mod.ts';
import type { CopyProcess } from './copy-process.ts';

export interface Failure {
  readonly status: number | null;
  readonly code: string;
  readonly message: string;
}

export async function failureOf(copy: CopyProcess): Promise<Failure> {
  const { status } = await copy.ended;
  if (copy.stdout !== '') {
    const result = JSON.parse(copy.stdout) as CopyResult;
    const error = result.targets.find((target) => target.error !== null)?.error;
    return { status, code: error?.code ?? 'none', message: error?.message ?? '' };
  }
  const [, message = copy.stderr, code = 'none'] = /^understudy: (.*) \(([A-Z_]+)\)\n$/s.exec(copy.stderr) ?? [];
  return { status, code, message };
}

/** Expects a failure with a code, its exit status from the registry, and words in its message. */
export async function expectFailure(copy: CopyProcess, code: string, words: string | RegExp): Promise<void> {
  const failure = await failureOf(copy);
  expect(failure).toMatchObject({ code, message: expect.stringMatching(words) });
  expect([code, failure.status]).toEqual([code, isErrorCode(code) ? errorRegistry[code].exit : null]);
}
