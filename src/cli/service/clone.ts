import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import type { Client } from '../../api/mod.ts';
import { EXIT_INTERNAL, errorRegistry, isErrorCode, shown, UnderstudyError } from '../../base/mod.ts';
import type { EngagementView } from '../../controller/mod.ts';
import { jsonText, printResult, stderr } from '../output.ts';
import { untilInterrupted } from '../until-interrupted.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { describeError } from './status.ts';

interface Flags extends ConnectionFlags {
  to: string;
  json?: boolean;
}

const LOOK_MS = 500;

export function cloneCommand(done: (exit: number) => void): Command {
  const command = new Command('clone')
    .description('Engages a spare for a lead by hand, and waits until it takes traffic.')
    .argument('<lead>', 'the host to clone')
    .requiredOption('--to <spare>', 'the spare that becomes the clone')
    .option('--json', 'print one JSON object on standard output (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy clone web1 --to spare1 -f understudy.yaml');
  return withConnection(command).action(async (lead: string, flags: Flags) => {
    const view = await untilInterrupted((signal) => cloned(lead, flags, signal));
    report(view, flags.json === true);
    done(exitOf(view));
  });
}

/** @throws INTERRUPTED when the command is stopped: the engagement is not */
async function cloned(lead: string, flags: Flags, signal: AbortSignal): Promise<EngagementView> {
  const client = await connect(flags, signal);
  let engagement: string | null = null;
  try {
    ({ engagement } = await client.clone({ lead, to: flags.to }));
    return await untilSettled(client, engagement, { quiet: flags.json === true, signal });
  } catch (cause) {
    if (!signal.aborted) throw cause;
    const what =
      engagement === null
        ? `stopped before the controller answered; whether ${flags.to} is engaged, "understudy status" shows`
        : `the engagement ${engagement} goes on without this command: "understudy status" shows it, ` +
          `and "understudy dismiss ${flags.to}" ends it`;
    throw new UnderstudyError('INTERRUPTED', what, { cause });
  }
}

/** Looks until it serves, has failed, or was dismissed meanwhile. */
async function untilSettled(
  client: Client,
  name: string,
  { quiet, signal }: { readonly quiet: boolean; readonly signal: AbortSignal },
): Promise<EngagementView> {
  let told = 0;
  let waited = '';
  for (;;) {
    const view = await client.engagement(name);
    const { phase: current, waitsFor, stages } = view;
    for (const { phase, seconds } of quiet ? [] : stages.slice(told)) {
      stderr.say(`  ${phase.padEnd(12)} ${seconds.toFixed(1)} s\n`);
    }
    const wait = waitsFor === null ? waited : `  ${current.padEnd(12)} waits for ${shown(waitsFor)}\n`;
    if (wait !== waited && !quiet) stderr.say(wait);
    [told, waited] = [stages.length, wait];
    if (view.state !== 'running' || isOnItsWayDown(view)) return view;
    await delay(LOOK_MS, undefined, { signal });
  }
}

function isOnItsWayDown({ phase }: EngagementView): boolean {
  return phase === 'drain' || phase === 'off' || phase === 'restore' || phase === 'release';
}

function report(view: EngagementView, json: boolean): void {
  const ok = view.state === 'waiting';
  if (json) {
    const { name: engagement, lead, understudy, stages, timeToCapacitySeconds, error } = view;
    const object = { ok, engagement, lead, understudy, stages, timeToCapacitySeconds, error: ok ? null : error };
    printResult(`${jsonText(object)}\n`);
  } else if (ok) {
    printResult(`${view.understudy} serves for ${view.lead}, ${view.timeToCapacitySeconds} s after it was asked for\n`);
  } else {
    const why = view.error === null ? 'it was dismissed' : describeError(view.error);
    stderr.say(`understudy: ${view.understudy} does not serve for ${view.lead}: ${why}\n`);
  }
}

function exitOf({ state, error }: EngagementView): number {
  if (state === 'waiting') return 0;
  if (error === null) return errorRegistry.INTERRUPTED.exit;
  return isErrorCode(error.code) ? errorRegistry[error.code].exit : EXIT_INTERNAL;
}
