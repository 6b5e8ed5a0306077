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

const EXAMPLES = `
Examples:
  understudy copy golden.img /dev/sdb /dev/sdc     two disks, one reading of the image
  understudy copy golden.img /dev/sdd              later, elsewhere: joins the copy that runs
  understudy copy --verify --extent used nbd://store/golden web7.img
  understudy copy --resume golden.img /dev/sdd     goes on after a kill or a power cut`;

export function copyCommand(done: (exit: number) => void): Command {
  return new Command('copy')
    .description('Copies SOURCE to every TARGET; joins a running copy of the same source, so that it is read once.')
    .argument('<source>', 'file, block device, nbd:, nbds:, nbd+unix:, http(s): URI, or - for standard input')
    .argument('<target...>', 'files, block devices, NBD URIs')
    .option('--format <format>', 'the format of the source, instead of looking; raw copies it as it is (docs/cli.md)')
    .option('--key-file <file>', 'the key of an encrypted qcow2 (LUKS); every byte of the file counts')
    .option('--insecure', 'accept any certificate of an https source')
    .option('--cacert <file>', 'trust these authorities (PEM) for an https source too')
    .addOption(new Option('--extent <what>', 'what is copied').choices(['whole', 'image', 'used']).default('whole'))
    .option('--bytes <size>', 'copy the first SIZE bytes', bytes)
    .addOption(
      new Option('--join <where>', 'where a late joiner begins').choices(['oldest', 'newest']).default('oldest'),
    )
    .option('--gather <time>', 'a first copy waits so long for others before it reads, for example 30s', duration)
    .addOption(
      new Option('--on-slow <what>', 'when a target holds up others').choices(['detach', 'pace']).default('detach'),
    )
    .addOption(new Option('--on-read-error <what>', 'unreadable source').choices(['fail', 'zero']).default('fail'))
    .option('--verify', 'read every target back and compare')
    .option('--resume', 'go on with interrupted copies to these targets')
    .option('--limit <rate>', 'bytes a second to each target, for example 50M', bytes)
    .option('--block-size <size>', 'size of a block, 64K to 32M (default 4M)', bytes)
    .option('--buffer <size>', 'shared memory for the ring (default 128M, 32M through the page cache)', bytes)
    .addOption(new Option('--direct <when>', 'past the page cache').choices(['auto', 'on', 'off']).default('auto'))
    .addOption(new Option('--digest <kind>', 'report the digest of the whole image').choices(['sha256']))
    .option('--expect <digest>', 'fail unless the image, or the file it is in, has this digest (sha256:HEX)')
    .addOption(
      new Option('--expect-file <file>', 'the same, with the digest that a file like SHA256SUMS names').conflicts(
        'expect',
      ),
    )
    .addOption(
      new Option('--gpt <what>', 'the backup GPT on a larger disk: move it to the end, or keep the image as it is')
        .choices(['keep', 'move'])
        .default('move'),
    )
    .option('-y, --yes', 'overwrite targets that hold data without asking')
    .addOption(
      new Option('--progress <kind>', 'on standard error, for people, as JSON for programs, or not')
        .choices(['auto', 'json', 'none'])
        .default('auto'),
    )
    .addOption(new Option('-q, --quiet', 'no progress').conflicts('progress'))
    .option('--json', 'one object on standard output at the end; docs/cli.md has its shape')
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
    stderr.say(`understudy: ${shown(flags.expectFile)} is signed; the signature is not checked\n`);
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
