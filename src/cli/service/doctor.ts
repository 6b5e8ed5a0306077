import { Command } from 'commander';
import { type ErrorCode, errorRegistry } from '../../base/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';

/** One thing that was looked at. */
export interface Check {
  /** Its kind: "configuration", "program", "volume", "power" and so on. */
  readonly check: string;
  /** What was looked at: a file, a host, a service. */
  readonly subject: string;
  /** 'warning': it works, and there is something to know. 'failed': what needs it will not work. */
  readonly state: 'ok' | 'warning' | 'failed';
  /** One line: what was found. */
  readonly detail: string;
  /** What to do; null where nothing has to be done. */
  readonly remedy: string | null;
}

/**
 * Looks at everything that the configuration needs, and changes nothing. Composed in bin, which alone names drivers.
 */
export type Examine = (file: string, signal: AbortSignal) => AsyncIterable<Check>;

const SIGN = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' } as const;

export function doctorCommand(done: (exit: number) => void, examine: Examine): Command {
  return new Command('doctor')
    .description('Checks what the configuration needs and this machine lacks. Changes nothing.')
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy doctor -f /etc/understudy/understudy.yaml')
    .action(async ({ file, json }: { file: string; json?: boolean }) => {
      const checks: Check[] = [];
      await untilInterrupted(async (signal) => {
        for await (const check of examine(file, signal)) {
          checks.push(check);
          if (json !== true) printResult(`${describeCheck(check)}\n`);
        }
      });
      const ok = checks.every(({ state }) => state !== 'failed');
      const code: ErrorCode | null = ok ? null : 'NOT_READY';
      const text = `${summary(checks)}${code === null ? '' : ` (${code})`}`;
      printResult(json === true ? `${jsonText({ ok, code, checks })}\n` : `${text}\n`);
      done(code === null ? 0 : errorRegistry[code].exit);
    });
}

function describeCheck({ check, subject, state, detail, remedy }: Check): string {
  const line = `${SIGN[state]}  ${check.padEnd(13)} ${subject}: ${detail}`;
  return remedy === null ? line : `${line}\n                       ${remedy}`;
}

function summary(checks: readonly Check[]): string {
  const count = (state: Check['state']): number => checks.filter((check) => check.state === state).length;
  return `${checks.length} checks: ${count('failed')} failed, ${count('warning')} with a warning`;
}
