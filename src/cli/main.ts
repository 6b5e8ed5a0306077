// One program, one file per command. Results go to standard output, progress and complaints to standard error; the exit
// status comes from the error registry.
import { Command } from 'commander';
import {
  codeOf,
  DEFECT_ADVICE,
  EXIT_INTERNAL,
  endingSignals,
  errorRegistry,
  messageOf,
  type ToldError,
  UnderstudyError,
  withoutResources,
  withoutSecrets,
} from '../base/mod.ts';
import { agentCommand, type LoadAgent } from './agent.ts';
import { copiesCommand } from './copies.ts';
import { copyCommand, failedCopy } from './copy.ts';
import { outliveTerminal } from './gone-terminal.ts';
import { refuseUnreadableNames } from './names.ts';
import { isTold, jsonText, printResult, stderr } from './output.ts';
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
  hideSecrets(argv);
  outliveReaders();
  outliveTerminal();
  // Seen to at once, so that a SIGHUP that is to be ignored is.
  endingSignals();
  process.once('uncaughtException', (error) => process.exit(complain(error, argv)));
  const program = inherit(new Command('understudy'))
    .description(
      'Starts a ready copy of a server that struggles, and copies disk images to many disks while reading them once.',
    )
    .version('0.1.0');
  const run = (exit: number): void => {
    status = exit;
  };
  try {
    program.addCommand(inherit(copyCommand(run)));
    program.addCommand(inherit(copiesCommand(run)));
    program.addCommand(inherit(agentCommand(run, load.agent)));
    const asked = argv[2] === 'help' ? argv[3] : argv[2];
    for (const command of await serviceOf(asked, run, load.service)) program.addCommand(inherit(command));
    refuseUnknownHelp(program, argv.slice(2));
    refuseUnreadableNames(argv);
    await program.parseAsync([...argv]);
    return status;
  } catch (error) {
    return usageOf(error, argv) ?? complain(error, argv);
  }
}

/** "help NAME" of what is not there says so. @throws USAGE */
function refuseUnknownHelp(program: Command, words: readonly string[]): void {
  let command = program;
  for (const [index, word] of words.entries()) {
    const below = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (below !== undefined) {
      command = below;
      continue;
    }
    const wanted = words[index + 1];
    if (word !== 'help' || wanted === undefined || wanted.startsWith('-')) return;
    if (command.commands.some((one) => one.name() === wanted || one.aliases().includes(wanted))) return;
    const path = [program.name(), ...words.slice(0, index)].join(' ');
    throw new UnderstudyError('USAGE', `${path} has no command "${wanted}"; "${path} --help" lists them`);
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

/**
 * Everybody on the machine can read the arguments of every process (proc(5), cmdline): passwords in URLs are taken out
 * of ours.
 */
function hideSecrets(argv: readonly string[]): void {
  const told = argv.map(withoutSecrets);
  if (told.some((argument, index) => argument !== argv[index])) process.title = told.join(' ');
}

/**
 * What Node.js itself writes may meet a reader that has left (`| head`) or a terminal that has gone: nothing is lost
 * with it.
 */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

function inherit(command: Command): Command {
  for (const below of command.commands) inherit(below);
  return command
    .exitOverride()
    .showHelpAfterError('(see --help)')
    .configureOutput({ writeOut: (text) => void printResult(text), writeErr: (text) => stderr.say(text) });
}

/**
 * Commander ends by throwing, also after --help, and has said why by then. Its class is another one in a bundle loaded
 * on demand, so its code tells. Returns the exit status; null for any other error.
 */
function usageOf(error: unknown, argv: readonly string[]): number | null {
  if (!(error instanceof Error) || !('code' in error) || !('exitCode' in error)) return null;
  if (!String(error.code).startsWith('commander.')) return null;
  if (error.exitCode === 0) return 0;
  tellJson({ code: 'USAGE', message: error.message.replace(/^error: /, '') }, argv);
  return errorRegistry.USAGE.exit;
}

/** Says what went wrong in one line, with --json also as an object, and returns the exit status of its kind. */
function complain(cause: unknown, argv: readonly string[]): number {
  const error = withoutResources(cause);
  const code = codeOf(error);
  if (isTold(cause)) {
    // A log has it in its own form.
  } else if (code === null) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    stderr.say(`understudy: ${stack}\nunderstudy: ${DEFECT_ADVICE}\n`);
  } else {
    stderr.say(`understudy: ${messageOf(error)} (${code})\n`);
  }
  // The result that could not be written is not tried once more, in another form.
  if (code !== 'OUTPUT_FAILED') tellJson({ code: code ?? 'INTERNAL', message: messageOf(error) }, argv);
  return code === null ? EXIT_INTERNAL : errorRegistry[code].exit;
}

/** The documented object of a command that failed before it had anything else to print. */
function tellJson(error: ToldError, argv: readonly string[]): void {
  const words = argv.slice(2);
  const end = words.indexOf('--');
  if (!(end === -1 ? words : words.slice(0, end)).includes('--json')) return;
  try {
    printResult(`${jsonText(words[0] === 'copy' ? failedCopy(null, [], error) : { ok: false, error })}\n`);
  } catch (cause) {
    // The exit status is that of the first failure.
    stderr.say(`understudy: ${messageOf(cause)}\n`);
  }
}
