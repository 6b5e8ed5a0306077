// Orders that hold the controller back, let it go on, or take note of what failed.
import { Argument, Command } from 'commander';
import { shown } from '../../base/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { parseSeconds } from './span.ts';

interface Flags extends ConnectionFlags {
  for?: string;
  json?: boolean;
}

type Done = (exit: number) => void;

export function holdCommands(done: Done): readonly Command[] {
  return [pauseCommand(done), resumeCommand(done), maintenanceCommand(done), ackCommand(done)];
}

function tell({ json }: Flags, value: unknown, text: string): void {
  printResult(json === true ? `${jsonText(value)}\n` : `${shown(text)}\n`);
}

function pauseCommand(done: Done): Command {
  const command = new Command('pause')
    .description('Has the policy begin and end nothing for a service, until it is resumed.')
    .argument('<service>')
    .option('--for <time>', 'resume it by itself after this time: 30m, 2h, 1d')
    .option('--json', '{"hold"} on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy pause wiki --for 2h -f understudy.yaml');
  return withConnection(command).action(async (service: string, flags: Flags) => {
    const seconds = flags.for === undefined ? null : parseSeconds(flags.for, 1);
    const result = await (await connect(flags)).pause(service, seconds);
    const end = seconds === null ? `; "understudy resume ${service}" ends it` : '';
    tell(flags, result, `${result.hold.text}${end}`);
    done(0);
  });
}

function resumeCommand(done: Done): Command {
  const command = new Command('resume')
    .description('Ends the pause of a service, and what a dismissal by hand holds back.')
    .argument('<service>')
    .option('--json', '{"lifted"} on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy resume wiki -f understudy.yaml');
  return withConnection(command).action(async (service: string, flags: Flags) => {
    const result = await (await connect(flags)).resume(service);
    const lifted = result.lifted.map(({ text }) => text).join('; ');
    tell(flags, result, `${service} goes on${lifted === '' ? ': nothing held it' : ` (${lifted})`}`);
    done(0);
  });
}

function maintenanceCommand(done: Done): Command {
  const command = new Command('maintenance')
    .description('Takes a host out of all engagements, or gives it back. An engagement that has it ends in good order.')
    .argument('<host>')
    .addArgument(new Argument('<state>').choices(['on', 'off']))
    .option('--json', '{"hold", "engagement"} on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy maintenance spare1 on -f understudy.yaml');
  return withConnection(command).action(async (host: string, state: 'on' | 'off', flags: Flags) => {
    const result = await (await connect(flags)).maintenance(host, state);
    const leaves = result.engagement === null ? '' : `; it leaves the stage (${result.engagement})`;
    tell(flags, result, `${result.hold?.text ?? `${host} may be engaged`}${leaves}`);
    done(0);
  });
}

function ackCommand(done: Done): Command {
  const command = new Command('ack')
    .description('Takes note of engagements that failed: status shows them as done.')
    .argument('<engagement...>', 'names of engagements, as status shows them')
    .option('--json', '{"engagements"} on standard output')
    .addHelpText('after', '\nExample:\n  understudy ack wiki-3 -f understudy.yaml');
  return withConnection(command).action(async (names: readonly string[], flags: Flags) => {
    const client = await connect(flags);
    const engagements: string[] = [];
    for (const name of names) engagements.push((await client.acknowledge(name)).engagement);
    tell(flags, { engagements }, `${engagements.join(', ')}: acknowledged`);
    done(0);
  });
}
