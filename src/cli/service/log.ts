// The log of `up` on standard error: text on a terminal, JSON lines for everything else. In the journal of systemd each
// line begins with its priority, which the journal takes off (sd-daemon(3)). Nothing waits for a reader: what one that
// has stopped does not take is dropped.
import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import { type Log, type LogLevel, type LogRecord, logLevels, shown, UnderstudyError } from '../../base/mod.ts';
import { jsonText, stderr } from '../output.ts';

const STDERR = 2;

export const logFormats = ['auto', 'text', 'json'] as const;
export type LogFormat = (typeof logFormats)[number];

/** Of syslog(3). */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

export interface LogForm {
  readonly format: 'text' | 'json';
  /** Begins each line with its priority: "<4>". */
  readonly priorities: boolean;
}

export interface LogOptions extends LogForm {
  /** Records that are less urgent are left out. */
  readonly level: LogLevel;
  readonly write: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
}

/** As `--log-format` and `--log-level` say. @throws USAGE */
export function openLog({ logFormat, logLevel }: { readonly logFormat: string; readonly logLevel: string }): Log {
  const format = oneOf(logFormats, logFormat, '--log-format');
  const level = oneOf(logLevels, logLevel, '--log-level');
  const priorities = isJournal(process.env.JOURNAL_STREAM);
  const chosen = format === 'auto' ? (isatty(STDERR) ? 'text' : 'json') : format;
  return createLog({
    ...{ format: chosen, priorities, level },
    write: (text) => void stderr.show(text),
    wall: () => Date.now(),
  });
}

export function createLog({ format, priorities, level, write, wall }: LogOptions): Log {
  const most = logLevels.indexOf(level);
  return (record) => {
    if (logLevels.indexOf(record.level) > most) return;
    const time = new Date(wall()).toISOString();
    const lines = format === 'json' ? [jsonLine(record, time)] : textLines(record, priorities ? null : time);
    const prefix = priorities ? `<${PRIORITIES[record.level]}>` : '';
    write(lines.map((line) => `${prefix}${line}\n`).join(''));
  };
}

function jsonLine({ level, message, subject, kind, code, data, stack }: LogRecord, time: string): string {
  return jsonText({ time, level, message, subject, kind, code: code ?? undefined, data, stack });
}

/** @param time null: the journal has one of its own */
function textLines({ level, message, stack }: LogRecord, time: string | null): readonly string[] {
  const head = time === null ? '' : `${time} ${level.padEnd(5)} `;
  const rest = stack === undefined ? [] : stack.split('\n').map((line) => `    ${line}`);
  const [first = '', ...more] = message.split('\n');
  return [`${head}${first}`, ...more.map((line) => `    ${line}`), ...rest].map((line) => shown(line));
}

/**
 * Standard error is a stream of the journal itself, not only of something that has inherited the variable
 * (systemd.exec(5), JOURNAL_STREAM).
 */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(STDERR);
    return stream === `${dev}:${ino}`;
  } catch {
    // It is closed.
    return false;
  }
}

function oneOf<T extends string>(words: readonly T[], word: string, option: string): T {
  const found = words.find((one) => one === word);
  if (found !== undefined) return found;
  throw new UnderstudyError(
    'USAGE',
    `${option} is ${words.slice(0, -1).join(', ')} or ${words.at(-1)}, not ${shown(word)}`,
  );
}
