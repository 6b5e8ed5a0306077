import { Command } from 'commander';
import { codeOf, type Log, messageOf, withoutResources } from '../../base/mod.ts';
import { asTold, jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { openLog } from './log.ts';

export interface ServeEvents {
  /** It can be asked. */
  readonly onReady: (url: string) => void;
  /** Given what reads understudy.yaml again, as soon as that can be done. */
  readonly onReload: (reload: () => Promise<unknown>) => void;
  readonly log: Log;
}

/** Runs the installation until the signal. Composed in bin, which alone names drivers. */
export type Serve = (file: string, signal: AbortSignal, events: ServeEvents) => Promise<void>;

interface UpOptions {
  readonly file: string;
  readonly json?: boolean;
  readonly logFormat: string;
  readonly logLevel: string;
}

export function upCommand(done: (exit: number) => void, serve: Serve): Command {
  return new Command('up')
    .description('Runs the controller and the storage node of the installation that understudy.yaml describes.')
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--json', 'print one JSON line with the URL on standard output when the interface is ready')
    .option('--log-format <format>', 'auto (text on a terminal, otherwise JSON lines), text or json', 'auto')
    .option('--log-level <level>', 'error, warn, info or debug', 'info')
    .addHelpText('after', '\nExample:\n  understudy up -f /etc/understudy/understudy.yaml')
    .action(async ({ file, json, ...options }: UpOptions) => {
      const log = openLog(options);
      // Nothing is lost however it ends.
      const onReady = (url: string): void => {
        if (json === true) printResult(`${jsonText({ url })}\n`);
        log({ level: 'info', subject: 'controller', message: `controls this installation, and answers at ${url}` });
      };
      try {
        let reload: (() => Promise<unknown>) | null = null;
        const onReload = (now: () => Promise<unknown>): void => {
          reload = now;
        };
        // What it comes to, refusals too, is in the log.
        const onHangUp = (): void => void (reload?.() ?? Promise.resolve()).catch(logDefect(log));
        await untilInterrupted((signal) => serve(file, signal, { log, onReady, onReload }), onHangUp);
      } catch (error) {
        throw asTold(logged(log, withoutResources(error)));
      }
      log({ level: 'info', subject: 'controller', message: 'ends; hosts, volumes and engagements stay as they are' });
      done(0);
    });
}

function logged(log: Log, error: unknown): unknown {
  const code = codeOf(error) ?? 'INTERNAL';
  const stack = code === 'INTERNAL' && error instanceof Error ? { stack: error.stack ?? '' } : {};
  log({ level: 'error', subject: 'controller', message: `${messageOf(error)} (${code})`, code, ...stack });
  return error;
}

function logDefect(log: Log): (error: unknown) => void {
  return (error) => {
    if (codeOf(error) === null) logged(log, error);
  };
}
