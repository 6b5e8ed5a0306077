// e2fsck(8): replays journals, and judges whether a file system is whole.
import { UnderstudyError } from '../../base/mod.ts';
import { e2fsName, runE2fs, summary } from './tool.ts';

const CORRECTED = 1;
const LEFT = 4;

/**
 * Replays the journal and does nothing else.
 * @throws IMAGE_DAMAGED
 */
export async function replayJournal(image: string, path: string, signal: AbortSignal): Promise<void> {
  await repair(image, ['-p', '-E', 'journal_only', path], signal);
}

/**
 * Replays the journal and checks everything, correcting what is certain: what a host that lost its power leaves behind.
 * @throws IMAGE_DAMAGED when there is more
 */
export async function repairAll(image: string, path: string, signal: AbortSignal): Promise<void> {
  await repair(image, ['-f', '-p', path], signal);
}

async function repair(image: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const outcome = await runE2fs('e2fsck', args, signal);
  if (!outcome.ended) throw damaged(image, outcome.why);
  // Exit codes are a sum (e2fsck(8), EXIT CODE): 1 and 2 mean corrected, all above that something is wrong.
  if (outcome.result.status >= LEFT) throw damaged(image, summary(outcome.result));
}

/** Nothing is written. Null when the file system is whole, else what e2fsck says. */
export async function faultIn(path: string, offsetBytes: number, signal: AbortSignal): Promise<string | null> {
  const outcome = await runE2fs('e2fsck', ['-f', '-n', e2fsName(path, offsetBytes)], signal);
  if (!outcome.ended) return outcome.why;
  return outcome.result.status < CORRECTED ? null : summary(outcome.result);
}

function damaged(image: string, why: string): UnderstudyError {
  return new UnderstudyError('IMAGE_DAMAGED', `the file system in ${image} is damaged beyond its journal: ${why}`);
}
