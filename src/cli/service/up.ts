import { Command } from 'commander';
import { errorRegistry } from '../../base/mod.ts';

/** Runs the installation until the signal; told when it can be asked. Composed in bin, which alone names drivers. */
export type Serve = (file: string, signal: AbortSignal, onReady: (url: string) => void) => Promise<void>;

export function upCommand(done: (exit: number) => void, serve: Serve): Command {
  return new Command('up')
    .description('Runs controller and storage node for the installation that understudy.yaml describes.')
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--json', 'one line of JSON on standard output when it can be asked')
    .addHelpText('after', '\nExample:\n  understudy up -f /etc/understudy/understudy.yaml')
    .action(async ({ file, json }: { file: string; json?: boolean }) => {
      const abort = new AbortController();
      let signals = 0;
      const stop = (): void => {
        signals += 1;
        // The first asks for an orderly end; a second means now. Nothing is lost either way.
        if (signals > 1) process.exit(errorRegistry.INTERRUPTED.exit);
        abort.abort();
      };
      process.on('SIGINT', stop).on('SIGTERM', stop);
      try {
        await serve(file, abort.signal, (url) => {
          if (json === true) process.stdout.write(`${JSON.stringify({ url })}\n`);
          else process.stderr.write(`understudy: controls this installation, and answers at ${url}\n`);
        });
        done(0);
      } finally {
        process.off('SIGINT', stop).off('SIGTERM', stop);
      }
    });
}
