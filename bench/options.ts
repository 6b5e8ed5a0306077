// The command line of the benchmarks.
import { parseArgs } from 'node:util';
import { limits, messageOf, parseBytes, UnderstudyError } from '../src/base/mod.ts';

export interface BenchOptions {
  readonly names: readonly string[];
  /** Bytes of the image, or null for the size that each question has by itself. */
  readonly sizeBytes: number | null;
  /** Bytes a second of the capped source (staggered) or target (slow-target), or null. */
  readonly rateBytes: number | null;
  /** Pairs of runs, or null for the number that each question has by itself. */
  readonly rounds: number | null;
  /** Numbers of targets or jobs, or null. */
  readonly counts: readonly number[] | null;
  /** Windows in passes, for the staggered question, or null. */
  readonly windows: readonly number[] | null;
  /** 'disk', 'tmpfs' or both. */
  readonly places: readonly string[];
  /** 'small' (image larger than memory), 'large' (image fits in the page cache) or both. */
  readonly regimes: readonly string[];
  /** Names of rivals must contain one of these words, or null for all. */
  readonly peers: readonly string[] | null;
  /** Bytes of our ring, or null for what it has by itself. */
  readonly bufferBytes: number | null;
  /** Targets are loop devices instead of new files. */
  readonly block: boolean;
  /** The programs' own files are in the page cache, the image is not. */
  readonly warmPrograms: boolean;
  /** Folder on the disk to measure, or null for .cache/bench in the project. */
  readonly folder: string | null;
  readonly write: boolean;
  readonly installPeers: boolean;
  readonly help: boolean;
}

export const usage = `npm run bench -- [QUESTION...] [options]

  --size BYTES       size of the image (2G)
  --rate BYTES       bytes a second of the capped source (200M) or target (40M)
  --rounds N         pairs of runs
  --count N[,N]      numbers of targets or jobs
  --window W[,W]     staggered: windows of starts, in passes
  --place P[,P]      disk, tmpfs
  --regime R[,R]     small (image larger than memory), large (image fits in the page cache)
  --peers WORD[,..]  only rivals whose name contains a word; "none" for none of them
  --buffer BYTES     all-at-once: size of our ring
  --block            targets are loop devices
  --warm-programs    the programs themselves are in the page cache, only the image is not
  --dir FOLDER       folder on the disk to measure
  --trial            512 MiB, one round, four targets: to see that it works, not to learn anything
  --write            put the results into docs/benchmarks.md
  --install-peers    install etcher-sdk and the digest candidates from npm, then stop`;

const list = (text: string | undefined): string[] | null =>
  text === undefined ? null : text.split(',').filter(Boolean);

function numbers(text: string | undefined): number[] | null {
  const values = list(text)?.map(Number) ?? null;
  if (values?.some((value) => !(value > 0))) {
    throw new UnderstudyError('USAGE', `"${text}" is not a list of numbers above zero`);
  }
  return values;
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      size: { type: 'string' },
      rate: { type: 'string' },
      rounds: { type: 'string' },
      count: { type: 'string' },
      window: { type: 'string' },
      place: { type: 'string' },
      regime: { type: 'string' },
      peers: { type: 'string' },
      dir: { type: 'string' },
      buffer: { type: 'string' },
      block: { type: 'boolean', default: false },
      'warm-programs': { type: 'boolean', default: false },
      trial: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      'install-peers': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
}

function parsed(args: readonly string[]): ReturnType<typeof parse> {
  try {
    return parse(args);
  } catch (cause) {
    throw new UnderstudyError('USAGE', messageOf(cause), { cause });
  }
}

/** @throws USAGE with a sentence for people. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parsed(args);
  const trial = values.trial;
  if (trial && values.write)
    throw new UnderstudyError('USAGE', 'a trial says nothing about speed, so it is not written');
  return {
    names: positionals,
    sizeBytes: values.size === undefined ? (trial ? 512 * limits.MIB : null) : parseBytes(values.size),
    rateBytes: values.rate === undefined ? (trial ? 100 * limits.MIB : null) : parseBytes(values.rate),
    rounds: numbers(values.rounds)?.[0] ?? (trial ? 1 : null),
    counts: numbers(values.count) ?? (trial ? [4] : null),
    windows: numbers(values.window) ?? (trial ? [1] : null),
    places: list(values.place) ?? ['disk', 'tmpfs'],
    regimes: list(values.regime) ?? ['small', 'large'],
    peers: list(values.peers),
    bufferBytes: values.buffer === undefined ? null : parseBytes(values.buffer),
    block: values.block,
    warmPrograms: values['warm-programs'],
    folder: values.dir ?? null,
    write: values.write,
    installPeers: values['install-peers'],
    help: values.help,
  };
}
