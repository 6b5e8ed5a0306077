// The log of a long-running command as the parts of it write it: records, not lines. What a line looks like, and which
// records are written at all, is decided by the command that has the log (src/cli/service/log.ts).

/** The most urgent first. `debug` is for whoever looks for a defect. */
export const logLevels = ['error', 'warn', 'info', 'debug'] as const;

export type LogLevel = (typeof logLevels)[number];

export interface LogRecord {
  readonly level: LogLevel;
  /** One line for people. */
  readonly message: string;
  /** "engagement/wiki-1", "service/wiki", "host/web1", "controller". */
  readonly subject?: string;
  /** As in events (docs/cli.md): "stage", "decision", "audit", "error". */
  readonly kind?: string;
  /** Of docs/errors.md, or INTERNAL. */
  readonly code?: string | null;
  /** The same in facts, for programs: who ordered what, from which phase to which. */
  readonly data?: unknown;
  /** Of a defect: where it was thrown, with its causes. Several lines. */
  readonly stack?: string;
}

/** Takes a record; never throws, and waits for no reader. */
export type Log = (record: LogRecord) => void;
