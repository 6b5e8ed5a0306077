import { Command } from 'commander';
import { codeOf } from '../../base/mod.ts';
import type { DismissalView } from '../../controller/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { confirm } from './question.ts';
import { parseSeconds } from './span.ts';

interface Flags extends ConnectionFlags {
  force?: boolean;
  hold?: string;
  yes?: boolean;
  json?: boolean;
}

type Subject = { readonly host: string } | { readonly engagement: string };

const EXAMPLES = `
Examples:
  understudy dismiss spare1 -f understudy.yaml
  understudy dismiss spare1 --hold 4h -f understudy.yaml   nothing is engaged for its service by itself until then
  understudy dismiss wiki-3 --force -f understudy.yaml     an engagement that cannot be ended in good order`;

export function dismissCommand(done: (exit: number) => void): Command {
  const command = new Command('dismiss')
    .description('Ends an engagement, and gives the spare its own disk back.')
    .argument('<spare|engagement>', 'the spare of the engagement, or the name of the engagement')
    .option('--hold <time>', 'so long the policy engages nothing for the service: 30m, 4h; 0s: not held (default: 1h)')
    .option('--force', 'try each step once, and leave undone what fails; shows both first, and asks')
    .option('-y, --yes', 'do not ask')
    .option('--json', '{"engagement"} on standard output')
    .addHelpText('after', EXAMPLES);
  return withConnection(command).action(async (name: string, flags: Flags) => {
    const how = flags.hold === undefined ? {} : { holdSeconds: parseSeconds(flags.hold, 0) };
    const client = await connect(flags);
    const result = await asHostOrEngagement(name, async (subject) => {
      if (flags.force !== true) return client.dismiss({ ...subject, ...how });
      const view = await client.dismissal(subject);
      await confirm(describe(view), `Dismiss ${view.engagement} by force?`, flags.yes === true);
      return client.dismiss({ ...subject, ...how, force: true });
    });
    const text = `${name} leaves the stage (${result.engagement})`;
    printResult(flags.json === true ? `${jsonText(result)}\n` : `${text}\n`);
    done(0);
  });
}

/** A host of the installation, or else an engagement. */
async function asHostOrEngagement<T>(name: string, work: (subject: Subject) => Promise<T>): Promise<T> {
  try {
    return await work({ host: name });
  } catch (error) {
    if (codeOf(error) !== 'HOST_UNKNOWN') throw error;
    return work({ engagement: name });
  }
}

function describe({ engagement, understudy, reason, does, leaves }: DismissalView): readonly string[] {
  const of = understudy === null ? '' : ` of ${understudy}`;
  const why = reason === null ? [] : [`Its record cannot be used: ${reason}`];
  return [
    `${engagement}${of} is dismissed by force.`,
    ...why,
    'It tries once:',
    ...does.map((line) => `  ${line}`),
    'It may leave undone:',
    ...leaves.map((line) => `  ${line}`),
  ];
}
