import { Command } from 'commander';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { describeChange } from '../../config/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';

interface Flags extends ConnectionFlags {
  dryRun?: boolean;
  json?: boolean;
}

export function reloadCommand(done: (exit: number) => void): Command {
  const command = new Command('reload')
    .description('Has the controller read understudy.yaml again: all of it is taken, or nothing.')
    .option('--dry-run', 'show what would change, and change nothing')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy reload --dry-run -f understudy.yaml');
  return withConnection(command).action(async (flags: Flags) => {
    const { dryRun = false, json = false } = flags;
    const view = await asked(flags, dryRun);
    const { file, changes } = view;
    const end = changes.length === 0 ? 'nothing has changed' : dryRun ? 'not taken (--dry-run)' : 'taken';
    const lines = [...changes.map(describeChange), `${file}: ${end}`];
    printResult(json ? `${jsonText(view)}\n` : `${lines.join('\n')}\n`);
    done(0);
  });
}

/** Where the controller is, -f reads in the file that may say otherwise by now. */
async function asked(flags: Flags, dryRun: boolean) {
  try {
    return await (await connect(flags)).reload(dryRun);
  } catch (cause) {
    const code = codeOf(cause);
    if (flags.file === undefined || (code !== 'API_UNAVAILABLE' && code !== 'API_UNTRUSTED')) throw cause;
    const hint = 'if "state" or "tls" of the file was changed, put it back: that takes a restart of understudy up';
    throw new UnderstudyError(code, `${messageOf(cause)}; ${hint}`, { cause });
  }
}
