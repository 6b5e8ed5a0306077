import { Command } from 'commander';
import type { StatusAnswer } from '../../api/mod.ts';
import { formatDuration, shown } from '../../base/mod.ts';
import type { DecisionView, EngagementView, EvidenceView } from '../../controller/mod.ts';
import { jsonText, printBytes, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';

interface Flags extends ConnectionFlags {
  watch?: boolean;
  json?: boolean;
}

const CLEAR = '\u001b[H\u001b[2J';

export function statusCommand(done: (exit: number) => void): Command {
  const command = new Command('status')
    .description('Shows services, hosts and engagements, and why they are as they are.')
    .option('--watch', 'show it again whenever something changes')
    .option('--json', 'print one JSON object on standard output, with --watch one per line (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy status --watch -f understudy.yaml');
  return withConnection(command).action(async (flags: Flags) => {
    const client = await connect(flags);
    let view = await client.status();
    show(view, flags);
    if (flags.watch === true) {
      for await (const _ of client.events(view.revision)) {
        view = await client.status();
        // Whoever watched may have left (`| head`): nobody is there to be shown more.
        if (!show(view, flags)) process.exit(0);
      }
    }
    done(0);
  });
}

/** False when whoever watched has left. */
function show(view: StatusAnswer, { json, watch }: Flags): boolean {
  if (json === true) return printResult(`${jsonText(view)}\n`);
  if (watch === true && process.stdout.isTTY) printBytes(CLEAR);
  return printResult(describeStatus(view));
}

export function describeStatus(view: StatusAnswer): string {
  const lines: string[] = view.warnings.map((warning) => `warning: ${shown(warning)}`);
  for (const service of view.services) {
    const { name, verdict, mode, lastDecision, pendingPlan, evidence } = service;
    lines.push(`${name}  ${verdict}, ${service.hosts.length} of at most ${service.hostsMax} hosts, ${mode}`);
    for (const fact of evidence) lines.push(`    ${describeEvidence(fact)}`);
    if (lastDecision !== null) lines.push(`    ${describeDecision(lastDecision)}`);
    if (pendingPlan !== null) {
      const { action, understudy, id } = pendingPlan;
      lines.push(`    waits for a yes: ${action} with ${understudy}: understudy approve ${id}`);
    }
  }
  for (const { name, power, role, service, volume, agent, keptOut } of view.hosts) {
    const part = role === 'lead' || role === 'understudy' ? `${role} of ${service}` : role;
    const disk = `${volume.content}${volume.attached ? '' : ', detached'}`;
    lines.push(
      `  ${name.padEnd(12)} ${power.padEnd(8)} ${part.padEnd(20)} disk ${disk}, agent ${agent?.verdict ?? 'none'}`,
    );
    if (keptOut !== null) lines.push(`    kept out of every pool: ${shown(keptOut)}`);
    if (volume.problem !== null) lines.push(`    disk: ${shown(volume.problem)}`);
  }
  for (const engagement of view.engagements) lines.push(`  ${describeEngagement(engagement)}`);
  return `${[...lines, ...describeUnusable(view)].join('\n')}\n`;
}

function describeUnusable({ unusableRecords, unusableRecordsTotal }: StatusAnswer): readonly string[] {
  const lines = unusableRecords.map(({ key, reason }) => {
    const name = key.startsWith('engagement/') ? key.slice('engagement/'.length) : null;
    const remedy = name === null ? `understudy records ${key} --remove` : `understudy dismiss ${name} --force`;
    return `  record ${shown(key)} cannot be used: ${shown(reason)}\n    shows more, and asks: ${shown(remedy)}`;
  });
  const more = unusableRecordsTotal - unusableRecords.length;
  return more === 0 ? lines : [...lines, `  ${more} more: understudy records`];
}

function describeEngagement({ name, lead, understudy, phase, state, error, progress, left }: EngagementView): string {
  const share =
    progress === null ? '' : ` ${Math.floor((100 * progress.bytesDone) / Math.max(1, progress.bytesTotal))} %`;
  const why = error === null ? '' : `\n    ${describeError(error)}`;
  const undone = left.length === 0 ? '' : `, left undone: ${left.join(', ')}`;
  return `${name}: ${understudy} for ${lead}, ${phase}${share}, ${state}${undone}${why}`;
}

/** "preserve: the backup of spare1 needs ... (STORAGE_SPACE); make room in ..." */
export function describeError({ phase, message, code, remedy }: NonNullable<EngagementView['error']>): string {
  return `${phase}: ${shown(message)} (${code}); ${remedy}`;
}

/** One line: what others have said in it begins no other, which would be taken for ours. */
export function describeEvidence({ host, text }: EvidenceView): string {
  return shown(host === null ? text : `${host}: ${text}`);
}

export function describeDecision(decision: DecisionView): string {
  const { at, lastAt, action, outcome, reason, repeated } = decision;
  const what = action === 'none' ? 'nothing changed' : `${action} ${outcome}`;
  const span = repeated === 0 ? '' : ` (for ${formatDuration((Date.parse(lastAt) - Date.parse(at)) / 1000)})`;
  return `${at}  ${what}${span}: ${shown(reason)}`;
}
