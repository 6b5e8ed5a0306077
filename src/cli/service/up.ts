import { Command } from 'commander';
import { printResult, stderr } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';

/**
 * Runs the installation until the signal; told when it can be asked, and every line of the log. Composed in bin, which alone names
 * drivers.
 */
export type Serve = (
  file: string,
  signal: AbortSignal,
  onReady: (url: string) => void,
  say: (line: string) => void,
) => Promise<void>;

export function upCommand(done: (exit: number) => void, serve: Serve): Command {
  return new Command('up')
    .description('Runs the controller and the storage node of the installation that understudy.yaml describes.')
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--json', 'print one JSON line with the URL on standard output when the interface is ready')
    .addHelpText('after', '\nExample:\n  understudy up -f /etc/understudy/understudy.yaml')
    .action(async ({ file, json }: { file: string; json?: boolean }) => {
      // Nothing is lost however it ends.
      await untilInterrupted((signal) =>
        serve(
          file,
          signal,
          (url) => {
            if (json === true) printResult(`${JSON.stringify({ url })}\n`);
            else stderr.say(`understudy: controls this installation, and answers at ${url}\n`);
          },
          // A log that nobody reads keeps nobody waiting.
          (line) => void stderr.show(`understudy: ${line}\n`),
        ),
      );
      done(0);
    });
}
