// One program, one file per command. Results go to standard output, progress and complaints to standard error; the exit
// status comes from the error registry.
import { Command, CommanderError } from 'commander';
import { codeOf, EXIT_INTERNAL, errorRegistry, messageOf } from '../base/mod.ts';
import { agentCommand } from './agent.ts';
import { copiesCommand } from './copies.ts';
import { copyCommand } from './copy.ts';

/** Runs the command of `argv` (as process.argv) and returns the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  let status = 0;
  const program = new Command('understudy')
    .description('Copies one disk image to many disks, reading it once, whoever asks and whenever.')
    .version('0.1.0')
    .exitOverride()
    .showHelpAfterError('(--help shows what is possible)');
  const run = (exit: number): void => {
    status = exit;
  };
  program.addCommand(inherit(copyCommand(run)));
  program.addCommand(inherit(copiesCommand(run)));
  program.addCommand(inherit(agentCommand(run)));
  try {
    await program.parseAsync([...argv]);
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : errorRegistry.USAGE.exit;
    return complain(error);
  }
}

function inherit(command: Command): Command {
  return command.exitOverride().showHelpAfterError('(--help shows what is possible)');
}

/** Says what went wrong in one line, and returns the exit status of its kind. */
function complain(error: unknown): number {
  const code = codeOf(error);
  if (code === null) {
    process.stderr.write(
      `understudy: defect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    return EXIT_INTERNAL;
  }
  process.stderr.write(`understudy: ${messageOf(error)} (${code})\n`);
  return errorRegistry[code].exit;
}
