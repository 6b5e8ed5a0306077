import { Command } from 'commander';
import { formatDuration } from '../../base/mod.ts';
import {
  boundsOf,
  chartOf,
  type LabelScore,
  parseLabels,
  type Recording,
  type Replay,
  replay,
} from '../../replay/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { bytesOf, policyIn, recordingIn } from './policy-options.ts';

interface Flags {
  policy: string;
  signal: string;
  labels?: string;
  json?: boolean;
}

const COLUMNS = 100;
const EVENTS_SHOWN = 50;

export function replayCommand(done: (exit: number) => void): Command {
  return new Command('replay')
    .description('Shows what a policy would have done with recorded signals, and when. Touches no host.')
    .requiredOption('--policy <file>', 'the policy (docs/policy.md)')
    .requiredOption('--signal <csv>', 'CSV of "timestamp,value", or the URL of a Prometheus range query')
    .option('--labels <file>', 'known incidents: times, or starts and ends, as CSV or JSON')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy replay --policy policy.yaml --signal last-month.csv')
    .action(async (flags: Flags) => {
      const policy = await policyIn(flags.policy);
      const recording = await recordingIn(flags.signal);
      const labels =
        flags.labels === undefined
          ? null
          : parseLabels((await bytesOf(flags.labels)).toString('utf8'), flags.labels, ...boundsOf(recording));
      const result = replay(policy, recording, labels);
      printResult(flags.json === true ? `${jsonText(result)}\n` : describe(recording, result));
      done(0);
    });
}

function describe(recording: Recording, result: Replay): string {
  const [from, to] = boundsOf(recording);
  const { events, scaling, labels } = result;
  const width = Math.min(COLUMNS, process.stdout.columns ?? COLUMNS);
  const span = `${new Date(from).toISOString()} to ${new Date(to).toISOString()}, ${recording.timesMs.length} samples`;
  const lines = [
    span,
    '',
    chartOf(recording, result, width),
    '',
    '▲ degraded  █ failing  · healthy  + host added  - host taken away',
    '',
  ];
  for (const { at, verdict, score, evidence } of events.slice(0, EVENTS_SHOWN)) {
    lines.push(`${at}  ${verdict}${score > 0 ? `  ${score}` : ''}`, ...evidence.map((line) => `    ${line}`));
  }
  if (events.length > EVENTS_SHOWN) lines.push(`... and ${events.length - EVENTS_SHOWN} more; --json has them all`);
  lines.push('');
  for (const { at, action, hosts, reason } of scaling.slice(0, EVENTS_SHOWN)) {
    lines.push(`${at}  ${action} to ${hosts} ${hosts === 1 ? 'host' : 'hosts'}`, `    ${reason}`);
  }
  if (scaling.length > EVENTS_SHOWN) lines.push(`... and ${scaling.length - EVENTS_SHOWN} more; --json has them all`);
  if (scaling.length === 0) lines.push('no host would have been added or taken away');
  if (labels !== null) lines.push('', labelLine(labels));
  return `${lines.join('\n')}\n`;
}

function labelLine({ found, missed, false: wrong, medianDelaySeconds }: LabelScore): string {
  const delay = medianDelaySeconds === null ? '' : `, half of them within ${formatDuration(medianDelaySeconds)}`;
  return `labels: ${found} found${delay}, ${missed} missed; ${wrong} times something else was reported`;
}
