// The superblock of an ext2/3/4 file system as dumpe2fs(8) prints it. Labels and paths in it are the image's own bytes and
// may imitate other lines; that gives an image no power that its block bitmaps do not give it anyway: all a lie can do is to
// leave out blocks of that same file system, because callers hold every number against the bounds of the partition.

export interface ExtHeader {
  readonly features: readonly string[];
  /** "clean" and nothing else is trustworthy. */
  readonly state: string;
  readonly blockBytes: number;
  readonly blockCount: number;
  /** Blocks of a cluster (bigalloc), else 1. */
  readonly clusterBlocks: number;
  readonly firstBlock: number;
  /** Errors that the kernel noted since the last check. */
  readonly errorCount: number;
}

/** The name by which e2fsprogs find a file system inside an image (unix_io's "offset" option). */
export function ext2Name(path: string, offsetBytes: number): string {
  return offsetBytes === 0 ? path : `${path}?offset=${offsetBytes}`;
}

/** Null when something is missing or out of range. */
export function parseHeader(text: string): ExtHeader | null {
  const fields = new Map<string, string>();
  const end = text.search(/^Group 0:/m);
  for (const line of text.slice(0, end < 0 ? text.length : end).split('\n')) {
    const match = /^([A-Z][A-Za-z #]*[A-Za-z#]):\s+(.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) fields.set(match[1], match[2].trim());
  }
  const blockBytes = Number(fields.get('Block size'));
  const clusterBytes = Number(fields.get('Cluster size') ?? blockBytes);
  const header: ExtHeader = {
    features: (fields.get('Filesystem features') ?? '').split(/\s+/),
    state: fields.get('Filesystem state') ?? '',
    blockBytes,
    blockCount: Number(fields.get('Block count')),
    clusterBlocks: clusterBytes / blockBytes,
    firstBlock: Number(fields.get('First block')),
    errorCount: Number(fields.get('FS Error count') ?? 0),
  };
  const sound =
    [1024, 2048, 4096, 8192, 16384, 32768, 65536].includes(header.blockBytes) &&
    Number.isSafeInteger(header.blockCount * header.blockBytes) &&
    header.blockCount > 0 &&
    Number.isSafeInteger(header.clusterBlocks) &&
    header.clusterBlocks >= 1 &&
    (header.firstBlock === 0 || header.firstBlock === 1);
  return sound ? header : null;
}
