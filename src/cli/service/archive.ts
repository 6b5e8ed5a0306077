// `understudy backup` and `understudy restore`: the state of the controller in one file.
import { Command } from 'commander';
import { jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import {
  type Ask,
  askOf,
  optionsOf,
  printRecovered,
  type Recovered,
  type RecoverOptions,
  withRecovery,
} from './recover.ts';

export interface BackedUp {
  readonly file: string;
  /** ISO 8601. */
  readonly takenAt: string;
  /** Names in the archive. */
  readonly files: readonly string[];
}

/** Composed in bin. */
export type BackUpState = (file: string, target: string) => Promise<BackedUp>;
export type RestoreState = (file: string, source: string, options: RecoverOptions, ask: Ask) => Promise<Recovered>;

interface Flags {
  readonly file: string;
  readonly json?: boolean;
}

export function backupCommand(done: (exit: number) => void, backup: BackUpState): Command {
  return new Command('backup')
    .description(
      'Writes the store, tokens and certificates to a tar file. No disk is in it: keep it secret all the same.',
    )
    .argument('<archive>', 'the file to be made; it must not exist')
    .requiredOption('-f, --file <file>', 'understudy.yaml')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy backup /backup/understudy.tar -f /etc/understudy/understudy.yaml')
    .action(async (target: string, { file, json }: Flags) => {
      const made = await backup(file, target);
      const text = `${made.file}: the store, and ${made.files.length - 1} files of tokens and certificates`;
      printResult(json === true ? `${jsonText(made)}\n` : `${text}\n`);
      done(0);
    });
}

export function restoreCommand(done: (exit: number) => void, restore: RestoreState): Command {
  const command = new Command('restore')
    .description('Puts back what understudy backup has written, and then does what understudy recover does.')
    .argument('<archive>', 'made by understudy backup')
    .addHelpText('after', '\nExample:\n  understudy restore /backup/understudy.tar -f /etc/understudy/understudy.yaml');
  return withRecovery(command).action(async (source: string, flags: Parameters<typeof optionsOf>[0]) => {
    await untilInterrupted(async (signal) => {
      printRecovered(flags, await restore(flags.file, source, optionsOf(flags, signal), askOf(flags)));
    });
    done(0);
  });
}
