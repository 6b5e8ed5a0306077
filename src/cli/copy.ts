import { createInterface } from 'node:readline/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { EXIT_INTERNAL, errorRegistry, formatBytes, formatDuration, messageOf, parseBytes } from '../base/mod.ts';
import {
  type CopyOptions,
  type CopyResult,
  copy,
  type ExtentRequest,
  type TargetFacts,
  type TargetResult,
} from '../replication/mod.ts';
import { createProgress } from './progress.ts';
import { untilInterrupted } from './until-interrupted.ts';

interface Flags {
  format?: string;
  keyFile?: string;
  insecure?: boolean;
  cacert?: string;
  extent: 'whole' | 'image' | 'used';
  bytes?: number;
  join: 'oldest' | 'newest';
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
  yes?: boolean;
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
    .option('--expect <digest>', 'fail unless the image has this digest (sha256:HEX)')
    .option('-y, --yes', 'overwrite targets that hold data without asking')
    .option('-q, --quiet', 'no progress')
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

async function runCopy(source: string, targets: readonly string[], flags: Flags): Promise<number> {
  const progress = createProgress(process.stderr, flags.quiet === true);
  try {
    const options = copyOptions(source, targets, flags);
    const result = await untilInterrupted((signal) => copy({ ...options, signal, onProgress: progress.show }));
    progress.end();
    report(result, flags);
    return exitOf(result);
  } finally {
    progress.end();
  }
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
    onSlow: flags.onSlow,
    onReadError: flags.onReadError,
    verify: flags.verify,
    resume: flags.resume,
    limitRate: flags.limit,
    blockBytes: flags.blockSize,
    bufferBytes: flags.buffer,
    direct: flags.direct,
    digest: flags.digest !== undefined,
    expect: flags.expect,
    overwrite: flags.yes,
    confirm: process.stdin.isTTY && process.stderr.isTTY && source !== '-' ? confirm : undefined,
  };
}

async function confirm(facts: TargetFacts, doubt: string | null): Promise<boolean> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const size = facts.sizeBytes === null ? '' : `, ${formatBytes(facts.sizeBytes)}`;
    const holds = facts.needsConfirmation ? `, holds ${facts.contents ?? 'data'}` : '';
    const answer = await prompt.question(
      `${facts.path}${size}${holds}.${doubt === null ? '' : ` ${doubt}.`} Type yes to overwrite it: `,
    );
    return answer.trim() === 'yes';
  } finally {
    prompt.close();
  }
}

function report(result: CopyResult, flags: Flags): void {
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  for (const warning of result.source.warnings) {
    const { uri } = result.source;
    process.stderr.write(`understudy: warning: ${uri === '-' ? 'standard input' : uri}: ${warning}\n`);
  }
  for (const target of result.targets) {
    process.stderr.write(`${describe(target)}\n`);
    for (const range of target.unreadable) {
      process.stderr.write(`  unreadable, zeros instead: ${range.lengthBytes} bytes at ${range.offsetBytes}\n`);
    }
    if (target.digest !== null) process.stdout.write(`${target.digest}  ${target.uri}\n`);
  }
}

function describe(target: TargetResult): string {
  if (target.error !== null) {
    const resume = target.resumable ? '; --resume goes on from here' : '';
    return `understudy: ${target.uri}: ${target.error.message} (${target.error.code})${resume}`;
  }
  const zeroed = target.bytesZeroed > 0 ? `, ${formatBytes(target.bytesZeroed)} zeros` : '';
  const reused = target.bytesReused > 0 ? `, ${formatBytes(target.bytesReused)} there already` : '';
  const verified = target.verified ? ', verified' : '';
  return `${target.uri}: ${formatBytes(target.bytesCopied)} copied${zeroed}${reused}${verified} in ${formatDuration(target.seconds)}`;
}

/** 0 only when every target is complete; else the status of the first failure. */
function exitOf(result: CopyResult): number {
  if (result.ok) return 0;
  const code = result.targets.find((target) => target.error !== null)?.error?.code ?? 'INTERNAL';
  return code === 'INTERNAL' ? EXIT_INTERNAL : errorRegistry[code].exit;
}
