// One program, one file per command. Results go to standard output, progress and complaints to standard error; the exit
// status comes from the error registry.
import { Command } from 'commander';
import { codeOf, EXIT_INTERNAL, errnoOf, errorRegistry, messageOf } from '../base/mod.ts';
import { agentCommand, type LoadAgent } from './agent.ts';
import { copiesCommand } from './copies.ts';
import { copyCommand } from './copy.ts';
import { serviceCommandNames } from './service-names.ts';

/** Loads the commands of the service, which is done only when one of them is asked for. */
export type LoadService = () => Promise<(done: (exit: number) => void) => readonly Command[]>;

/** What is loaded on demand. */
export interface Loaders {
  readonly service: LoadService;
  readonly agent: LoadAgent;
}

/** Runs the command of `argv` (as process.argv) and returns the exit status. */
export async function main(argv: readonly string[], load: Loaders): Promise<number> {
  let status = 0;
  outliveReaders();
  const program = new Command('understudy')
    .description(
      'Puts a ready copy beside a server that struggles, and copies disk images to many disks with one reading.',
    )
    .version('0.1.0')
    .exitOverride()
    .showHelpAfterError('(--help shows what is possible)');
  const run = (exit: number): void => {
    status = exit;
  };
  program.addCommand(inherit(copyCommand(run)));
  program.addCommand(inherit(copiesCommand(run)));
  program.addCommand(inherit(agentCommand(run, load.agent)));
  try {
    for (const command of await serviceOf(argv[2], run, load.service)) program.addCommand(inherit(command));
    await program.parseAsync([...argv]);
    return status;
  } catch (error) {
    const ended = endOfCommander(error);
    if (ended !== null) return ended;
    return complain(error);
  }
}

async function serviceOf(
  asked: string | undefined,
  done: (exit: number) => void,
  load: LoadService,
): Promise<readonly Command[]> {
  if (asked !== undefined && Object.hasOwn(serviceCommandNames, asked)) return (await load())(done);
  return Object.entries(serviceCommandNames).map(([name, text]) => new Command(name).description(text));
}

/** Whoever reads our output may leave early (`| head`): what is to be done is done all the same, and nobody is there to be told. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (errnoOf(error) !== 'EPIPE') throw error;
    });
  }
}

function inherit(command: Command): Command {
  return command.exitOverride().showHelpAfterError('(--help shows what is possible)');
}

/** Commander ends by throwing, also after --help. Its class is another one in a bundle loaded on demand, so its code tells. */
function endOfCommander(error: unknown): number | null {
  if (!(error instanceof Error) || !('code' in error) || !('exitCode' in error)) return null;
  if (!String(error.code).startsWith('commander.')) return null;
  return error.exitCode === 0 ? 0 : errorRegistry.USAGE.exit;
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
