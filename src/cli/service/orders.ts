// Short orders to the controller: each is one call, and its answer one line.
import { Argument, Command } from 'commander';
import { UnderstudyError } from '../../base/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';

interface Flags extends ConnectionFlags {
  json?: boolean;
}

function answer(flags: Flags, value: unknown, text: string): void {
  printResult(flags.json === true ? `${jsonText(value)}\n` : `${text}\n`);
}

export function approveCommand(done: (exit: number) => void): Command {
  const command = new Command('approve')
    .description('Carries out a plan that waits for approval.')
    .argument('<plan>', 'name of the plan, as status shows it')
    .option('--json', '{"engagement"} on standard output')
    .addHelpText('after', '\nExample:\n  understudy approve wiki-m1k2j3 -f understudy.yaml');
  return withConnection(command).action(async (plan: string, flags: Flags) => {
    const result = await (await connect(flags)).approve(plan);
    answer(flags, result, `${plan} is being carried out (${result.engagement})`);
    done(0);
  });
}

export function powerCommand(done: (exit: number) => void): Command {
  const command = new Command('power')
    .description('Switches a host on or off, unless it is in an engagement.')
    .argument('<host>')
    .addArgument(new Argument('<state>').choices(['on', 'off']))
    .option('--json', '{"power"} on standard output')
    .addHelpText('after', '\nExample:\n  understudy power web1 on -f understudy.yaml');
  return withConnection(command).action(async (host: string, state: 'on' | 'off', flags: Flags) => {
    const result = await untilInterrupted((signal) => switched(host, state, flags, signal));
    answer(flags, result, `${host} is ${result.power}`);
    done(0);
  });
}

/** @throws INTERRUPTED when the command is stopped: a relay that was asked does it all the same */
async function switched(host: string, state: 'on' | 'off', flags: Flags, signal: AbortSignal) {
  try {
    return await (await connect(flags, signal)).power(host, state);
  } catch (cause) {
    if (!signal.aborted) throw cause;
    const what = `stopped while ${host} was switched ${state}; "understudy status" shows its power`;
    throw new UnderstudyError('INTERRUPTED', what, { cause });
  }
}
