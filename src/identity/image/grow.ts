// A root that fills a larger disk than the one it was made for: the second copy of a GPT goes to the end, the partition
// up to it, and the file system up to the end of the partition. The table is changed in place, by sfdisk(8); what a
// crash leaves is completed by the next call, since each step is done only where it is still to be done.
import { UnderstudyError } from '../../base/mod.ts';
import type { RawImage } from './raw-image.ts';
import { identityFailed, runBounded, runToEnd, sizeOf, summary } from './tool.ts';

const SECTOR_BYTES = 512;
/** Below this nothing is worth a change: partitions end at whole MiB. */
const WORTH_BYTES = 2 * 1024 * 1024;
/** What a GPT needs behind the last partition: 33 sectors. */
const GPT_END_BYTES = 33 * SECTOR_BYTES;

interface Partition {
  readonly node: string;
  readonly start: number;
  readonly size: number;
}

interface Table {
  readonly label: string;
  readonly partitions: readonly Partition[];
}

/** Bytes that the file system may have that begins at `offsetBytes`: to the end of its partition, or of the image. */
export async function roomFor(image: RawImage, offsetBytes: number, signal: AbortSignal): Promise<number> {
  const table = offsetBytes === 0 ? null : await tableOf(image, signal);
  const own = table?.partitions.find(({ start }) => start * SECTOR_BYTES === offsetBytes);
  return own === undefined ? (await sizeOf(image)) - offsetBytes : own.size * SECTOR_BYTES;
}

/**
 * @returns whether the table had to be changed
 * @throws IMAGE_UNSUPPORTED when another partition lies behind
 */
export async function growPartition(image: RawImage, offsetBytes: number, signal: AbortSignal): Promise<boolean> {
  const table = offsetBytes === 0 ? null : await tableOf(image, signal);
  if (table === null) return false;
  const index = table.partitions.findIndex(({ start }) => start * SECTOR_BYTES === offsetBytes);
  const own = table.partitions[index];
  if (own === undefined) return false;
  if (table.partitions.some(({ start }) => start > own.start)) {
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `the root in ${image.label} cannot grow: another partition lies behind it`,
    );
  }
  const endBytes = (own.start + own.size) * SECTOR_BYTES;
  const free = (await sizeOf(image)) - endBytes - (table.label === 'gpt' ? GPT_END_BYTES : 0);
  if (free < WORTH_BYTES) return false;
  if (table.label === 'gpt') await sfdisk(image, ['--relocate', 'gpt-bak-std'], '', signal);
  await sfdisk(image, ['-N', String(index + 1), '--no-reread', '--no-tell-kernel'], ', +\n', signal);
  return true;
}

/** @param path of the file system, which is whole */
export async function growFileSystem(path: string, roomBytes: number, signal: AbortSignal): Promise<void> {
  const outcome = await runBounded('resize2fs', [path, `${Math.floor(roomBytes / 1024)}K`], signal);
  if (!outcome.ended) throw identityFailed(outcome.why);
  if (outcome.result.status !== 0) throw identityFailed(`the file system cannot grow: ${summary(outcome.result)}`);
}

/** Whether it is worth while. */
export function hasRoom(fileSystemBytes: number, roomBytes: number): boolean {
  return roomBytes - fileSystemBytes >= WORTH_BYTES;
}

async function tableOf({ path, label }: RawImage, signal: AbortSignal): Promise<Table | null> {
  const asked = await runToEnd('sfdisk', ['--json', '--', path], signal);
  if (asked.status !== 0) return null;
  const { partitiontable: table } = JSON.parse(asked.stdout) as { partitiontable: Table & { sectorsize?: number } };
  if ((table.sectorsize ?? SECTOR_BYTES) !== SECTOR_BYTES) {
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `${label} has sectors of ${table.sectorsize} bytes, so it cannot grow here`,
    );
  }
  return table;
}

async function sfdisk(image: RawImage, args: readonly string[], input: string, signal: AbortSignal): Promise<void> {
  const done = await runToEnd('sfdisk', ['-q', ...args, '--', image.path], signal, { input });
  if (done.status !== 0)
    throw identityFailed(`the partition table of ${image.label} cannot be changed: ${done.stderr.trim()}`);
}
