// What a copy says when it has ended: a line a target for people, one object for programs; and with which status.
import { isatty } from 'node:tty';
import {
  DEFECT_ADVICE,
  type ErrorCode,
  EXIT_INTERNAL,
  errorRegistry,
  formatBytes,
  formatDuration,
  resumeHelps,
  shown,
} from '../base/mod.ts';
import { type CopyResult, notCopied, type TargetResult } from '../replication/mod.ts';
import { jsonText, printBytes, stderr } from './output.ts';
import type { ProgressKind } from './progress.ts';

type ResultError = NonNullable<TargetResult['error']>;

/** The documented object of --json. */
export interface CopyReport extends Omit<CopyResult, 'source'> {
  readonly source: {
    readonly uri: string | null;
    readonly bytes: number;
    readonly blockSize: number;
    readonly id: string | null;
    readonly warnings: readonly string[];
  };
  /** What kept the whole copy from being made; what befell one target is with that target. */
  readonly error: ResultError | null;
}

interface Flags {
  readonly json?: boolean;
  readonly progress: ProgressKind;
}

/**
 * The object of a copy that failed before it began: every target has failed with it. `source` is null where it is not
 * known.
 */
export function failedCopy(source: string | null, targets: readonly string[], error: ResultError): CopyReport {
  return {
    ok: false,
    error,
    source: { uri: source, bytes: 0, blockSize: 0, id: null, warnings: [] },
    producer: { bytesRead: 0, sweeps: 0 },
    targets: targets.map((uri) => notCopied(uri, error)),
  };
}

/**
 * Tells how the copy ended, and returns the exit status: 0 only when every target is complete, else that of the first
 * failure.
 * @throws OUTPUT_FAILED when all is well but for the telling
 */
export function report(result: CopyReport, flags: Flags): number {
  const status = exitOf(result);
  if (flags.progress === 'json') {
    stderr.say(`${jsonText({ at: new Date().toISOString(), event: 'end', ...result })}\n`);
  } else if (result.error !== null) {
    stderr.say(`understudy: ${told(result.error)}${adviceOn(result.error.code, false)}\n`);
  } else if (flags.json !== true) {
    const name = result.source.uri === '-' ? 'standard input' : shown(result.source.uri ?? '');
    for (const warning of result.source.warnings) stderr.say(`understudy: warning: ${name}: ${shown(warning)}\n`);
    for (const target of result.targets) stderr.say(describe(target));
  }
  try {
    printBytes(flags.json === true ? `${jsonText(result)}\n` : digests(result.targets));
  } catch (error) {
    if (status === 0) throw error;
  }
  return status;
}

/**
 * As sha256sum(1) writes them, which escapes what would be a line of its own; on a terminal also what would act on it.
 */
function digests(targets: readonly TargetResult[]): string {
  const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
  const lineOf = ({ digest, uri }: TargetResult): string => {
    if (isatty(1)) return `${digest}  ${shown(uri)}\n`;
    const name = uri.replaceAll(/[\\\n\r]/g, (one) => escapes[one] ?? one);
    return `${name === uri ? '' : '\\'}${digest}  ${name}\n`;
  };
  return targets
    .filter(({ ok, digest }) => ok && digest !== null)
    .map(lineOf)
    .join('');
}

function told({ code, message }: ResultError): string {
  return `${shown(message)} (${code})`;
}

function describe(target: TargetResult): string {
  return [
    headOf(target),
    ...target.notes.map((text) => `  ${shown(text)}`),
    ...tableNotes(target).map((text) => `  ${text}`),
    ...target.unreadable.map(zeroed),
  ]
    .map((text) => `${text}\n`)
    .join('');
}

function zeroed({ offsetBytes, lengthBytes }: TargetResult['unreadable'][number]): string {
  return `  unreadable, zeros instead: ${lengthBytes} bytes at ${offsetBytes}`;
}

/** What has to be known of a disk's partition table, a line each. */
function tableNotes({ gpt, kernelPartitions }: TargetResult): string[] {
  const lines: string[] = [];
  if (gpt?.action === 'moved') {
    const bytes = gpt.ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    lines.push(`the backup GPT was moved to the end of the disk: ${bytes} bytes on the disk differ from the image`);
  }
  if (gpt?.note != null) lines.push(gpt.action === 'kept' ? `warning: ${gpt.note}` : gpt.note);
  if (kernelPartitions === 'in-use') {
    lines.push(
      'the kernel still uses the old partition table, because a partition is in use: run partprobe, or reboot',
    );
  }
  return lines;
}

function headOf(target: TargetResult): string {
  const uri = shown(target.uri);
  if (target.error !== null) {
    const text = told(target.error);
    // Many messages begin with the name already.
    const named = text.startsWith(`${uri} `) || text.startsWith(`${uri}: `) ? text : `${uri}: ${text}`;
    return `understudy: ${named}${adviceOn(target.error.code, target.resumable)}`;
  }
  const zeros = target.bytesZeroed > 0 ? `, ${formatBytes(target.bytesZeroed)} zeros` : '';
  const reused = target.bytesReused > 0 ? `, ${formatBytes(target.bytesReused)} there already` : '';
  const verified = target.verified ? ', verified' : '';
  return `${uri}: ${formatBytes(target.bytesCopied)} copied${zeros}${reused}${verified} in ${formatDuration(target.seconds)}`;
}

/** What to do about it, where the message alone does not say. */
const ADVICE: Readonly<Partial<Record<ErrorCode | 'INTERNAL', string>>> = {
  INTERNAL: DEFECT_ADVICE,
  DIGEST_MISMATCH: 'do not use the target; check the digest, or get the image again',
  SOURCE_CORRUPT: 'get the image again, and copy without --resume',
  SOURCE_CHANGED: 'copy again, without --resume, when nothing writes the source',
  SOURCE_NOT_REWINDABLE: 'save the source to a file, and copy that',
  TARGET_BUSY: 'wait until that copy has ended (understudy copies)',
  TARGET_IN_USE: 'unmount it, or end what uses it (understudy copies lists running copies)',
  TARGET_TOO_SMALL: 'choose a larger target',
};

/** What has to be done before going on makes sense. */
const FIRST: Readonly<Partial<Record<ErrorCode | 'INTERNAL', string>>> = {
  INTERNAL: `${DEFECT_ADVICE}; `,
  TARGET_FULL: 'make room; then ',
  SOURCE_READ_FAILED: '--on-read-error zero writes zeros where the source cannot be read; ',
};

function adviceOn(code: ResultError['code'], resumable: boolean): string {
  if (resumable && resumeHelps(code)) return `; ${FIRST[code] ?? ''}--resume goes on from here`;
  const advice = ADVICE[code];
  return advice === undefined ? '' : `; ${advice}`;
}

function exitOf(result: CopyReport): number {
  if (result.ok) return 0;
  const failure = result.error ?? result.targets.find((target) => target.error !== null)?.error;
  const code = failure?.code ?? 'INTERNAL';
  return code === 'INTERNAL' ? EXIT_INTERNAL : errorRegistry[code].exit;
}
