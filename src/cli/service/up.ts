import { Command } from 'commander';
import { shown } from '../../base/mod.ts';
import { jsonText, printResult, stderr } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';

export interface ServeEvents {
  /** It can be asked. */
  readonly onReady: (url: string) => void;
  /** A line for the log. */
  readonly say: (line: string) => void;
}

/** Runs the installation until the signal. Composed in bin, which alone names drivers. */
export type Serve = (file: string, signal: AbortSignal, events: ServeEvents) => Promise<void>;

export function upCommand(done: (exit: number) => void, serve: Serve): Command {
  return new Command('up')
    .description('Runs the controller and the storage node of the installation that understudy.yaml describes.')
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--json', 'print one JSON line with the URL on standard output when the interface is ready')
    .addHelpText('after', '\nExample:\n  understudy up -f /etc/understudy/understudy.yaml')
    .action(async ({ file, json }: { file: string; json?: boolean }) => {
      // Nothing is lost however it ends.
      await untilInterrupted((signal) =>
        serve(file, signal, {
          // A log that nobody reads keeps nobody waiting.
          say: (line) => void stderr.show(`understudy: ${shown(line)}\n`),
          onReady: (url) => {
            if (json === true) printResult(`${jsonText({ url })}\n`);
            else stderr.say(`understudy: controls this installation, and answers at ${url}\n`);
          },
        }),
      );
      done(0);
    });
}
