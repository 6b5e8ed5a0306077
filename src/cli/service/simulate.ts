import { Command } from 'commander';
import { UnderstudyError } from '../../base/mod.ts';
import {
  horizontalPodAutoscaler,
  ownScaler,
  type SimulationResult,
  signalsOf,
  simulate,
  targetTracking,
  traceRates,
  traces,
} from '../../simulation/mod.ts';
import { jsonText, printResult } from '../output.ts';
import { bytesOf, modelIn } from './policy-options.ts';

interface Flags {
  policy: string;
  rate?: string;
  trace?: string;
  json?: boolean;
}

const NAME_WIDTH = 16;
const SECONDS_MAX = 10_000_000;

export function simulateCommand(done: (exit: number) => void): Command {
  return new Command('simulate')
    .description('Runs a policy on a model of hosts, and compares it with other autoscalers. Touches no host.')
    .requiredOption('--policy <file>', 'the policy, and the model of the hosts (docs/policy.md)')
    .option('--rate <csv>', 'requests per second, one line per second')
    .option('--trace <name>', `instead of --rate: ${Object.keys(traces).join(', ')}`)
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy simulate --policy policy.yaml --rate arrivals.csv')
    .action(async (flags: Flags) => {
      const { policy, model } = await modelIn(flags.policy);
      const unknown = policy.signals.find(({ name }) => !(name in signalsOf));
      if (unknown !== undefined) {
        throw new UnderstudyError(
          'USAGE',
          `${flags.policy}: the model has no "${unknown.name}"; it has ${Object.keys(signalsOf).join(', ')}`,
        );
      }
      const below = policy.signals.find(({ name }) => name === 'latency')?.objective?.below;
      if (below === undefined) {
        throw new UnderstudyError('USAGE', `${flags.policy}: an objective for "latency" says what is to be counted`);
      }
      const rates = await ratesOf(flags);
      const scalers = [
        ownScaler(policy, model),
        horizontalPodAutoscaler(model.hostsMax),
        targetTracking(model.hostsMax),
      ];
      const results = scalers.map((scaler) => simulate(rates, model, scaler, below));
      const answer = { seconds: rates.length, below, results };
      printResult(flags.json === true ? `${jsonText(answer)}\n` : describe(rates.length, below, results));
      done(0);
    });
}

async function ratesOf({ rate, trace }: Flags): Promise<Float64Array> {
  if ((rate === undefined) === (trace === undefined)) {
    throw new UnderstudyError('USAGE', 'either --rate FILE or --trace NAME says how many requests come');
  }
  if (trace !== undefined) {
    const rates = traceRates(trace);
    if (rates !== null) return rates;
    throw new UnderstudyError('USAGE', `there is no trace "${trace}"; there are ${Object.keys(traces).join(', ')}`);
  }
  const file = rate ?? '';
  const lines = (await bytesOf(file)).toString('utf8').split(/\r?\n/);
  const cells = lines.map((line) => line.split(',').at(-1)?.trim() ?? '');
  // A head is no number, and neither is what follows the last line.
  const isHead = cells[0] !== undefined && !Number.isFinite(Number(cells[0]));
  const values = (isHead ? cells.slice(1) : cells).map((cell, index) => ({ cell, line: index + (isHead ? 2 : 1) }));
  if (values.at(-1)?.cell === '') values.pop();
  if (values.length === 0 || values.length > SECONDS_MAX) {
    throw new UnderstudyError('USAGE', `${file} has ${values.length} seconds, where 1 to ${SECONDS_MAX} are expected`);
  }
  return Float64Array.from(values, ({ cell, line }) => {
    const number = cell === '' ? Number.NaN : Number(cell);
    if (Number.isFinite(number) && number >= 0) return number;
    throw new UnderstudyError('USAGE', `${file}, line ${line}: "${cell.slice(0, 40)}" is not a rate`);
  });
}

function describe(seconds: number, below: number, results: readonly SimulationResult[]): string {
  const head = ['scaler'.padEnd(NAME_WIDTH), `seconds above ${below} ms`, 'host-hours', 'reversals'].join('  ');
  const rows = results.map(({ scaler, violatedSeconds, hostHours, reversals }) =>
    [
      scaler.padEnd(NAME_WIDTH),
      String(violatedSeconds).padStart(`seconds above ${below} ms`.length),
      hostHours.toFixed(2).padStart('host-hours'.length),
      String(reversals).padStart('reversals'.length),
    ].join('  '),
  );
  return `${seconds} seconds\n\n${head}\n${rows.join('\n')}\n`;
}
