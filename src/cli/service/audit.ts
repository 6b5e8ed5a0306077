import { Command } from 'commander';
import { shown } from '../../base/mod.ts';
import { printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { parseSince } from './span.ts';

interface Flags extends ConnectionFlags {
  since?: string;
  json?: boolean;
}

export function auditCommand(done: (exit: number) => void): Command {
  const command = new Command('audit')
    .description('Shows who ordered what, and who was refused.')
    .option('--since <time>', 'only what happened since then: 2h, 7d, or an ISO 8601 time')
    .option('--json', 'print a JSON array on standard output, oldest first (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy audit --since 24h -f understudy.yaml');
  return withConnection(command).action(async (flags: Flags) => {
    const sinceMs = flags.since === undefined ? null : parseSince(flags.since, Date.now());
    const entries = await (await connect(flags)).audit(sinceMs);
    if (flags.json === true) printResult(`${JSON.stringify(entries)}\n`);
    for (const { at, type, text } of flags.json === true ? [] : entries) {
      printResult(`${at}  ${type.padEnd(7)}  ${shown(text)}\n`);
    }
    done(0);
  });
}
