// e2fsck(8) replays journals, and judges whether a file system is whole, as fsck.fat(8) does; xfs_repair(8) and btrfs-check(8) only
// judge.
import { UnderstudyError } from '../../base/mod.ts';
import { e2fsName, runBounded, summary } from './tool.ts';

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
  const outcome = await runBounded('e2fsck', args, signal);
  if (!outcome.ended) throw damaged(image, outcome.why);
  // Exit codes are a sum (e2fsck(8), EXIT CODE): 1 and 2 mean corrected, all above that something is wrong.
  if (outcome.result.status >= LEFT) throw damaged(image, summary(outcome.result));
}

/** Nothing is written. Null when the file system is whole, else what e2fsck says. */
export async function faultIn(path: string, offsetBytes: number, signal: AbortSignal): Promise<string | null> {
  const outcome = await runBounded('e2fsck', ['-f', '-n', e2fsName(path, offsetBytes)], signal);
  if (!outcome.ended) return outcome.why;
  return outcome.result.status < CORRECTED ? null : summary(outcome.result);
}

/** A system that runs marks its FAT as in use: a copy made meanwhile says so, and otherwise is whole. @throws IMAGE_DAMAGED */
export async function repairFat(image: string, path: string, signal: AbortSignal): Promise<void> {
  const outcome = await runBounded('fsck.fat', ['-a', '-w', path], signal);
  if (!outcome.ended) throw damaged(image, outcome.why);
  // fsck.fat(8), EXIT STATUS: 1 also when all is corrected, so a second look tells.
  if (outcome.result.status > CORRECTED) throw damaged(image, summary(outcome.result));
  const fault = await faultInFat(path, signal);
  if (fault !== null) throw damaged(image, fault);
}

/** Nothing is written. */
export async function faultInFat(path: string, signal: AbortSignal): Promise<string | null> {
  const outcome = await runBounded('fsck.fat', ['-n', path], signal);
  if (!outcome.ended) return outcome.why;
  return outcome.result.status === 0 ? null : summary(outcome.result);
}

/** The same for a file system that the kernel mounts, and that has been unmounted. */
export async function faultInMounted(type: 'xfs' | 'btrfs', path: string, signal: AbortSignal): Promise<string | null> {
  const outcome =
    type === 'xfs'
      ? await runBounded('xfs_repair', ['-n', '-f', path], signal)
      : await runBounded('btrfs', ['check', '--readonly', '--', path], signal);
  if (!outcome.ended) return outcome.why;
  return outcome.result.status === 0 ? null : summary(outcome.result);
}

function damaged(image: string, why: string): UnderstudyError {
  return new UnderstudyError('IMAGE_DAMAGED', `the file system in ${image} is damaged beyond its journal: ${why}`);
}
