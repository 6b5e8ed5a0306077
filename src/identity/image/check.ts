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

/**
 * What fsck.fat 4 says of a FAT that a running system has mounted, and of nothing worse: its mark, in one of two boot sectors; a count of
 * free clusters that was not written yet; clusters of files that were removed while they were open.
 */
const HARMLESS = [
  /^fsck\.fat \d/,
  /^There are differences between boot sector and its backup\.$/,
  /^This is mostly harmless\. /,
  /^\s+(?:37|65):0[01]\/0[01]$/,
  /^\s+Not automatically fixing this\.$/,
  /^Dirty bit is set\. /,
  /^\s*Automatically removing dirty bit\.$/,
  /^Free cluster summary (?:wrong|uninitialized) \(/,
  /^\s+Auto-(?:correcting|setting)\.$/,
  /^Reclaimed \d+ unused clusters? /,
  /^Leaving filesystem unchanged\.$/,
  /^.*: \d+ files, \d+\/\d+ clusters$/,
];

/**
 * Does what the system itself does at its next start, if nothing but that is to be done. Elsewhere fsck.fat corrects by cutting, and nobody
 * knows what that is worth. @throws IMAGE_DAMAGED
 */
export async function repairFat(image: string, path: string, signal: AbortSignal): Promise<void> {
  const looked = await runBounded('fsck.fat', ['-n', path], signal);
  if (!looked.ended) throw damaged(image, looked.why);
  const { stdout, stderr, status } = looked.result;
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
  const worse = lines.filter((line) => !HARMLESS.some((one) => one.test(line)));
  if (status > CORRECTED || (status === CORRECTED && worse.length > 0))
    throw damaged(image, worse.slice(0, 3).join('; '));
  if (status === 0) return;
  const corrected = await runBounded('fsck.fat', ['-a', '-w', path], signal);
  if (!corrected.ended) throw damaged(image, corrected.why);
  // Its status is 1 also when all is corrected, so a second look tells.
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
