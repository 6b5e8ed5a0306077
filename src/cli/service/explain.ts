import { Command, InvalidArgumentError } from 'commander';
import { jsonText, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { describeDecision, describeEvidence } from './status.ts';

interface Flags extends ConnectionFlags {
  limit: number;
  json?: boolean;
}

const LIMIT_MAX = 1000;

export function explainCommand(done: (exit: number) => void): Command {
  const command = new Command('explain')
    .description('Shows the last decisions about a service, each with its evidence.')
    .argument('<service>')
    .option('--limit <n>', 'number of decisions', limit, 10)
    .option('--json', 'print a JSON array on standard output, newest first (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy explain wiki -f understudy.yaml');
  return withConnection(command).action(async (service: string, flags: Flags) => {
    const decisions = await (await connect(flags)).decisions(service, flags.limit);
    if (flags.json === true) printResult(`${jsonText(decisions)}\n`);
    for (const decision of flags.json === true ? [] : decisions.toReversed()) {
      printResult(`${describeDecision(decision)}\n`);
      for (const fact of decision.evidence) printResult(`    ${describeEvidence(fact)}\n`);
    }
    done(0);
  });
}

function limit(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= LIMIT_MAX) return value;
  throw new InvalidArgumentError(`a number from 1 to ${LIMIT_MAX}`);
}
