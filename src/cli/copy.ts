import { createInterface } from 'node:readline/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { codeOf, formatBytes, messageOf, parseBytes, parseDuration, shown, withoutResources } from '../base/mod.ts';
import { type CopyOptions, copy, type ExtentRequest, type TargetFacts } from '../replication/mod.ts';
import { failedCopy, report } from './copy-report.ts';
import { digestFromFile } from './digest-file.ts';
import { refuseUnreadableFolder } from './names.ts';
import { stderr } from './output.ts';
import { createProgress, type ProgressKind } from './progress.ts';
import { untilInterrupted } from './until-interrupted.ts';

export { failedCopy } from './copy-report.ts';

interface Flags {
  format?: string;
  keyFile?: string;
  insecure?: boolean;
  cacert?: string;
  extent: 'whole' | 'image' | 'used';
  bytes?: number;
  join: 'oldest' | 'newest';
  gather?: number;
  onSlow: 'detach' | 'pace';
  onReadError: 'fail' | 'zero';
  verify?: boolean;
  resume?: boolean;
  limit?: number;
  blockSize?: number;
  buffer?: number;
  direct: 'auto' | 'on' | 'off';
  digest?: 'sha256';
  expect?: string;
  gpt: 'keep' | 'move';
  expectFile?: string;
  yes?: boolean;
  progress: ProgressKind;
  quiet?: boolean;
  json?: boolean;
}

const FORMATS = 'raw (unchanged), qcow2, vmdk, vhdx, vdi, vpc, gzip, xz, zstd, bzip2, lz4, zip, tar, android-sparse';
const EXTENT = 'copy everything, up to the end of the last partition or file system, or only used blocks';

const EXAMPLES = `
Examples:
  understudy copy golden.img /dev/sdb /dev/sdc     two disks, one reading of the image
  understudy copy golden.img /dev/sdd              later, in another terminal: joins the running copy
  understudy copy --verify --extent used nbd://store/golden web7.img
  understudy copy --resume golden.img /dev/sdd     continues after a kill or a power failure

Exit status: 0 if every target is complete; otherwise see docs/errors.md. All options: docs/cli.md`;

export function copyCommand(done: (exit: number) => void): Command {
  return new Command('copy')
    .description('Copies SOURCE to every TARGET. Joins a running copy of the same source, so that it is read once.')
    .argument('<source>', 'file, block device, NBD URI, http:// or https:// URL, or - for standard input')
    .argument('<target...>', 'files, block devices, NBD URIs')
    .option('--format <format>', `format of the source, instead of detecting it: ${FORMATS}`)
    .option(
      '--key-file <file>',
      'key of an encrypted qcow2 (LUKS); every byte of the file counts, including a final newline',
    )
    .option('--insecure', 'accept any certificate of an https source')
    .option('--cacert <file>', 'trust these certificate authorities (PEM) in addition to those of the system')
    .addOption(new Option('--extent <what>', EXTENT).choices(['whole', 'image', 'used']).default('whole'))
    .option('--bytes <size>', 'copy the first SIZE bytes', bytes)
    .addOption(
      new Option('--join <where>', 'where a late target starts: oldest block in memory, or block read last')
        .choices(['oldest', 'newest'])
        .default('oldest'),
    )
    .option('--gather <time>', 'wait for other copies of the source before reading it, for example 30s', duration)
    .addOption(
      new Option('--on-slow <what>', 'target that holds up others: leave it behind, or make all wait')
        .choices(['detach', 'pace'])
        .default('detach'),
    )
    .addOption(
      new Option('--on-read-error <what>', 'unreadable part of the source: fail, or write zeros')
        .choices(['fail', 'zero'])
        .default('fail'),
    )
    .option('--verify', 'read every target back from the medium and compare')
    .option('--resume', 'continue interrupted copies to these targets; start from the beginning if there is none')
    .option('--limit <rate>', 'maximum bytes per second to each target, for example 50M', bytes)
    .option('--block-size <size>', 'block size, 64K to 32M (default 4M)', bytes)
    .option('--buffer <size>', 'size of the ring in shared memory (default 128M; 32M if the page cache is used)', bytes)
    .addOption(new Option('--direct <when>', 'bypass the page cache').choices(['auto', 'on', 'off']).default('auto'))
    .addOption(new Option('--digest <kind>', 'print the digest of the whole image').choices(['sha256']))
    .option('--expect <digest>', 'fail unless the image, or the file that contains it, has this digest (sha256:HEX)')
    .addOption(
      new Option(
        '--expect-file <file>',
        'like --expect, with the digest for SOURCE in a file such as SHA256SUMS',
      ).conflicts('expect'),
    )
    .addOption(
      new Option('--gpt <what>', 'backup GPT on a larger device: move it to the end, or keep the image unchanged')
        .choices(['keep', 'move'])
        .default('move'),
    )
    .option('-y, --yes', 'do not ask before overwriting data or copying an unrecognised source')
    .addOption(
      new Option('--progress <kind>', 'progress on standard error: for people, as JSON lines, or none')
        .choices(['auto', 'json', 'none'])
        .default('auto'),
    )
    .addOption(new Option('-q, --quiet', 'same as --progress none').conflicts('progress'))
    .option('--json', 'print one JSON object on standard output at the end (docs/cli.md)')
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, targets: string[], flags: Flags) => {
      done(await runCopy(source, targets, flags));
    });
}

function bytes(text: string): number {
  try {
    return parseBytes(text);
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

function duration(text: string): number {
  try {
    return text === '0' ? 0 : parseDuration(text);
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

async function runCopy(source: string, targets: readonly string[], flags: Flags): Promise<number> {
  const progress = createProgress(flags.quiet === true ? 'none' : flags.progress, source, drawingBoard());
  try {
    refuseUnreadableFolder([source, ...targets]);
    const options = copyOptions(source, targets, flags);
    // Standard input is the image, or standard error is for a program: nobody is there to be asked.
    const asks = process.stdin.isTTY && drawingBoard() !== null && source !== '-' && flags.progress !== 'json';
    const result = await untilInterrupted((signal) =>
      copy({
        ...options,
        signal,
        onProgress: (seen) => progress.show(seen),
        ...(asks ? { confirm: oneByOne(signal) } : {}),
      }),
    );
    progress.end();
    return report({ ...result, error: null }, flags);
  } catch (cause) {
    progress.end();
    const error = withoutResources(cause);
    // What is no operating error, or comes of reporting, is told by whoever reports those of all commands.
    const code = codeOf(error);
    if (code === null || code === 'OUTPUT_FAILED') throw error;
    return report(failedCopy(source, targets, { code, message: messageOf(error) }), flags);
  }
}

/** What lines can be redrawn on. */
function drawingBoard(): NodeJS.WriteStream | null {
  return process.stderr.isTTY === true ? process.stderr : null;
}

function copyOptions(source: string, targets: readonly string[], flags: Flags): CopyOptions {
  const extent: ExtentRequest =
    flags.bytes === undefined ? { kind: flags.extent } : { kind: 'bytes', bytes: flags.bytes };
  return {
    source,
    targets,
    format: flags.format,
    keyFile: flags.keyFile,
    insecure: flags.insecure,
    cacert: flags.cacert,
    extent,
    join: flags.join,
    gatherMs: flags.gather,
    onSlow: flags.onSlow,
    onReadError: flags.onReadError,
    verify: flags.verify,
    resume: flags.resume,
    limitRate: flags.limit,
    blockBytes: flags.blockSize,
    bufferBytes: flags.buffer,
    direct: flags.direct,
    digest: flags.digest !== undefined,
    expect: expectedDigest(source, flags),
    gpt: flags.gpt,
    overwrite: flags.yes,
  };
}

/** What `--expect` says, or what the file of `--expect-file` says of this source. @throws DIGEST_FILE_INVALID */
function expectedDigest(source: string, flags: Flags): string | undefined {
  if (flags.expectFile === undefined) return flags.expect;
  const { hex, signed } = digestFromFile(flags.expectFile, source);
  if (signed && flags.progress !== 'json') {
    stderr.say(`understudy: ${shown(flags.expectFile)} is signed; its signature is not checked\n`);
  }
  return `sha256:${hex}`;
}

type Confirm = NonNullable<CopyOptions['confirm']>;

/** Asks for each target in turn: questions that stand at once on one terminal would take each other's answers. */
function oneByOne(signal: AbortSignal): Confirm {
  let before: Promise<unknown> = Promise.resolve();
  return (facts, doubt) => {
    const answer = before.then(() => (signal.aborted ? false : confirm(facts, doubt, signal)));
    before = answer;
    return answer;
  };
}

/** Anything but a typed yes is a no, also Ctrl-D and a terminal that has gone. */
async function confirm(facts: TargetFacts, doubt: string | null, signal: AbortSignal): Promise<boolean> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const size = facts.sizeBytes === null ? '' : `, ${formatBytes(facts.sizeBytes)}`;
    const holds = facts.needsConfirmation ? `, holds ${shown(facts.contents ?? 'data')}` : '';
    const why = doubt === null ? '' : ` ${shown(doubt)}.`;
    const closed = new Promise<string>((resolve) => prompt.once('close', () => resolve('')));
    // A terminal in raw mode gives Ctrl-C as a character.
    prompt.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    signal.addEventListener('abort', () => prompt.close(), { once: true });
    const asked = prompt.question(`${shown(facts.path)}${size}${holds}.${why} Type yes to overwrite it: `);
    return (await Promise.race([asked, closed])).trim() === 'yes';
  } finally {
    prompt.close();
  }
}
