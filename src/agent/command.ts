// What both command lines do, the bundle's and `understudy agent`: settings, signals, output.
import { endingSignals, shownJson, shownLines } from '../base/mod.ts';
import type { Report } from './protocol.ts';
import type { Delivery } from './reporter.ts';
import { runAgent } from './run.ts';
import { readSettings, type SettingsRequest } from './settings.ts';

export interface AgentCommand extends SettingsRequest {
  /** @default "/proc" */
  readonly proc?: string | undefined;
  /** Folder of a control group (v2) that is the host. */
  readonly cgroup?: string | undefined;
  /** Folder in which is kept what was learned. */
  readonly state?: string | undefined;
  readonly once?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/**
 * Runs until SIGTERM, SIGINT, or a SIGHUP that is not to be ignored.
 * @throws USAGE, CONFIG_UNREADABLE, CONFIG_INVALID, and what runAgent throws
 */
export async function runAgentCommand(command: AgentCommand): Promise<void> {
  const settings = readSettings(command);
  // Told at the start rather than with each report.
  await settings.tls();
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const signals = endingSignals();
  for (const signal of signals) process.once(signal, end);
  // Whoever read the reports has gone, which ends this process as a signal does. It stays: the last report fails later.
  process.stdout.on('error', end);
  try {
    let last: Report | null = null;
    await runAgent({
      settings,
      signal: ending.signal,
      once: command.once === true,
      procFolder: command.proc ?? '/proc',
      cgroupFolder: command.cgroup ?? null,
      stateFolder: command.state ?? null,
      say: (line) => void process.stderr.write(`understudy agent: ${shownLines(line)}\n`),
      onReport: (report, delivery) => {
        last = report;
        if (command.json === true) process.stdout.write(`${shownJson(JSON.stringify(shown(report, delivery)))}\n`);
      },
    });
    if (command.once === true && command.json !== true && last !== null) process.stdout.write(describe(last));
  } finally {
    for (const signal of signals) process.removeListener(signal, end);
  }
}

/** The shape of --json; docs/agent.md has it. */
function shown(report: Report, delivery: Delivery): object {
  const { host, sentAt, verdict, score, since, evidence, signals } = report;
  const error = delivery.kind === 'delivered' ? null : delivery.reason;
  return { host, at: sentAt, verdict, score, since, evidence, signals, delivered: error === null, error };
}

function describe({ host, verdict, evidence, signals }: Report): string {
  const rows = Object.entries(signals).map(([name, { value, unit, error }]) => {
    const shownValue = value === null ? `- (${error ?? 'no value'})` : `${value}${unit === '1' ? '' : ` ${unit}`}`;
    return `  ${name.padEnd(24)} ${shownValue}\n`;
  });
  return [`${host}: ${verdict}\n`, ...evidence.map(({ text }) => `  ${text}\n`), ...rows].join('');
}
