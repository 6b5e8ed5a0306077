// `understudy recover`: the way back after the store was lost. The controller does not run meanwhile.
import { Command } from 'commander';
import { shown } from '../../base/mod.ts';
import { jsonText, printResult, stderr } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { confirm } from './question.ts';

export interface RecoverOptions {
  /** Volumes that hold the own data of their hosts, as somebody says who has looked. */
  readonly keep: readonly string[];
  /** Volumes whose own data are in their last backup. */
  readonly restore: readonly string[];
  readonly signal: AbortSignal;
  /** A line for people. */
  readonly say: (line: string) => void;
}

/** Shows a plan and asks; throws when the answer is no. */
export type Ask = (lines: readonly string[], unclear: readonly string[]) => Promise<void>;

export interface Recovered {
  readonly plan: readonly string[];
  /** Volumes of which it is not known what they hold; nothing is done with them. */
  readonly unclear: readonly string[];
  /** That take their hosts off stage when the controller starts. */
  readonly engagements: readonly string[];
  /** Where the store that was found lies now; null: it stays, or there was none. */
  readonly aside: string | null;
}

/** Composed in bin, which alone names drivers. */
export type Recover = (file: string, options: RecoverOptions, ask: Ask) => Promise<Recovered>;

interface Flags {
  readonly file: string;
  readonly keep: readonly string[];
  readonly restore: readonly string[];
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** What every way back through `recover` takes. */
export function withRecovery(command: Command): Command {
  return command
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--keep <volume>', 'it holds the own data of its host; may be repeated', collect, [])
    .option('--restore <volume>', 'its own data are in its last backup; may be repeated', collect, [])
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)');
}

export function recoverCommand(done: (exit: number) => void, recover: Recover): Command {
  const command = new Command('recover')
    .description('Makes a lost store again of what volumes, backups, daemons and machines say. Shows a plan, and asks.')
    .addHelpText('after', '\nExample:\n  understudy recover -f /etc/understudy/understudy.yaml');
  return withRecovery(command).action(async (flags: Flags) => {
    await untilInterrupted(async (signal) => {
      const result = await recover(flags.file, optionsOf(flags, signal), askOf(flags));
      printRecovered(flags, result);
    });
    done(0);
  });
}

export function optionsOf({ keep, restore }: Flags, signal: AbortSignal): RecoverOptions {
  return { keep, restore, signal, say: (line) => void stderr.show(`understudy: ${shown(line)}\n`) };
}

export function askOf({ yes }: Pick<Flags, 'yes'>): Ask {
  return (lines, unclear) => {
    const shownLines = [...lines, ...unclear.map((line) => `not known, and left as it is: ${line}`)];
    return confirm(shownLines, 'Make the store again like this?', yes === true);
  };
}

export function printRecovered({ json }: Pick<Flags, 'json'>, result: Recovered): void {
  if (json === true) return void printResult(`${jsonText(result)}\n`);
  const { engagements, unclear, aside } = result;
  const told = [
    unclear.length === 0
      ? 'the store is as the volumes say; start understudy up'
      : `${unclear.length} volumes are not known: understudy up does nothing before they are`,
    ...engagements.map((name) => `${name} goes its way down when understudy up runs`),
    ...(aside === null ? [] : [`the store that was found is kept as ${aside}`]),
  ];
  printResult(`${told.join('\n')}\n`);
}
