import { Command } from 'commander';
import { formatBytes, shown, UnderstudyError } from '../../base/mod.ts';
import type { UnusableRecordView } from '../../controller/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { confirm } from './question.ts';

interface Flags extends ConnectionFlags {
  remove?: boolean;
  yes?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  understudy records -f understudy.yaml
  understudy records plan/wiki -f understudy.yaml              shows the record
  understudy records plan/wiki --remove -f understudy.yaml     shows it, asks, and removes it`;

const ENGAGEMENT = 'engagement/';

/** What the absence of a record means, by the beginning of its key. */
const CONSEQUENCES: Readonly<Record<string, string>> = {
  'storage/volume/':
    'At the next start the volume is unknown, and nothing is done before understudy recover has read its stamp: run ' +
    'understudy recover instead.',
  'storage/daemon/': 'The storage node will begin to count the starts of its daemon again. Nothing else is lost.',
  'counter/': 'The next engagement gets a number above those of all engagements and backups that there are.',
  'epoch/': 'A controller that was replaced, and still runs, could change that thing once more: see that none does.',
  'hold/': 'What it holds back goes on by itself: a service that was paused is changed again, a host is engaged again.',
  'try/': 'The tries of that step are counted from the beginning.',
  'learned/': 'What the signals of that host usually are is learned again.',
};

export function recordsCommand(done: (exit: number) => void): Command {
  const command = new Command('records')
    .description('Lists the records of the controller that cannot be used, and removes one of them.')
    .argument('[key]', 'show this record')
    .option('--remove', 'remove the record; shows it and what follows first, and asks')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', EXAMPLES);
  return withConnection(command).action(async (key: string | undefined, flags: Flags) => {
    const client = await connect(flags);
    const all = await client.records();
    if (key === undefined && flags.remove === true) throw new UnderstudyError('USAGE', '--remove needs a key');
    const found = key === undefined ? all : all.filter((record) => record.key === key);
    if (key !== undefined && found.length === 0) {
      throw new UnderstudyError('ENGAGEMENT_REFUSED', `there is no record "${key}" that cannot be used`);
    }
    const [record] = found;
    if (flags.remove === true && record !== undefined) {
      await confirm([...describe(record), ...consequenceOf(record)], `Remove ${record.key}?`, flags.yes === true);
      await client.removeRecord(record);
      print(flags, { removed: record.key }, `${record.key} was removed`);
    } else {
      const lines = found.flatMap((one) => (key === undefined ? [summary(one)] : describe(one)));
      print(flags, { records: found }, found.length === 0 ? 'all records can be used' : lines.join('\n'));
    }
    done(0);
  });
}

function print(flags: Flags, value: unknown, text: string): void {
  printResult(flags.json === true ? `${jsonText(value)}\n` : `${text}\n`);
}

function summary({ key, reason }: UnusableRecordView): string {
  return shown(`${key}: ${reason}`);
}

function describe(record: UnusableRecordView): readonly string[] {
  const { text, sizeBytes, revision } = record;
  const what = text === null ? 'not shown: it is not a record of the controller' : text;
  return [summary(record), `  revision ${revision}, ${formatBytes(sizeBytes)}: ${shown(what)}`];
}

/** @throws USAGE for an engagement, which is not only a record */
function consequenceOf({ key }: UnusableRecordView): readonly string[] {
  if (key.startsWith(ENGAGEMENT)) {
    const name = key.slice(ENGAGEMENT.length);
    throw new UnderstudyError('USAGE', `an engagement is more than a record: understudy dismiss ${name} --force`);
  }
  const found = Object.entries(CONSEQUENCES).find(([prefix]) => key.startsWith(prefix));
  return [...(found === undefined ? [] : [found[1]]), 'A controller that runs may have to be started again.'];
}
