import { Command } from 'commander';
import type { StatusAnswer } from '../../api/mod.ts';
import { formatDuration, shown } from '../../base/mod.ts';
import type {
  ComponentView,
  DecisionView,
  EngagementView,
  EvidenceView,
  HoldView,
  HostView,
  ServiceView,
} from '../../controller/mod.ts';
import { jsonText, printBytes, printResult } from '../output.ts';
import { type ConnectionFlags, connect, withConnection } from './connection.ts';
import { remedyOfRecord } from './record-remedy.ts';

interface Flags extends ConnectionFlags {
  watch?: boolean;
  all?: boolean;
  json?: boolean;
}

/** As many as the controller lists. */
const ALL_MAX = 1000;
/** Failed engagements that are over, in the short view. */
const FAILED_SHOWN = 3;
const CLEAR = '\u001b[H\u001b[2J';

export function statusCommand(done: (exit: number) => void): Command {
  const command = new Command('status')
    .description('Shows services, hosts and engagements, and why they are as they are.')
    .option('--all', 'show every engagement that is kept, also those that are done')
    .option('--watch', 'show it again whenever something changes')
    .option('--json', 'print one JSON object on standard output, with --watch one per line (docs/cli.md)')
    .addHelpText('after', '\nExample:\n  understudy status --watch -f understudy.yaml');
  return withConnection(command).action(async (flags: Flags) => {
    const client = await connect(flags);
    const look = async (): Promise<StatusAnswer> => {
      const view = await client.status();
      if (flags.all !== true) return view;
      return { ...view, engagements: (await client.engagements(ALL_MAX)).toReversed() };
    };
    let view = await look();
    show(view, flags);
    if (flags.watch === true) {
      for await (const _ of client.events(view.revision)) {
        view = await look();
        // Whoever watched may have left (`| head`): nobody is there to be shown more.
        if (!show(view, flags)) process.exit(0);
      }
    }
    done(0);
  });
}

/** False when whoever watched has left. */
function show(view: StatusAnswer, { json, watch, all }: Flags): boolean {
  if (json === true) return printResult(`${jsonText(view)}\n`);
  if (watch === true && process.stdout.isTTY) printBytes(CLEAR);
  return printResult(describeStatus(view, all));
}

/** @param all also engagements that are done @default false */
export function describeStatus(view: StatusAnswer, all = false): string {
  const lines: string[] = view.warnings.map((warning) => `warning: ${shown(warning)}`);
  for (const service of view.services) lines.push(...describeService(service));
  for (const host of view.hosts) lines.push(...describeHost(host));
  for (const component of view.components) lines.push(...describeComponent(component, all));
  lines.push(...describeEngagements(view, all));
  return `${[...lines, ...describeUnusable(view)].join('\n')}\n`;
}

function describeService(service: ServiceView): readonly string[] {
  const { name, verdict, mode, lastDecision, pendingPlan, evidence, holds } = service;
  const paused = holds.some(({ kind }) => kind === 'pause') ? ', paused' : '';
  const lines = [`${name}  ${verdict}, ${service.hosts.length} of at most ${service.hostsMax} hosts, ${mode}${paused}`];
  for (const fact of evidence) lines.push(`    ${describeEvidence(fact)}`);
  for (const hold of holds) lines.push(`    ${shown(hold.text)}: ${endOf(hold)}`);
  if (lastDecision !== null) lines.push(`    ${describeDecision(lastDecision)}`);
  if (pendingPlan !== null) {
    const { action, understudy, id } = pendingPlan;
    lines.push(`    waits for a yes: ${action} with ${understudy}: understudy approve ${id}`);
  }
  return lines;
}

function describeComponent({ kind, name, driver, state, detail, since }: ComponentView, all: boolean): string[] {
  const what = kind === 'director' ? `${kind} of ${name}` : kind;
  const sinceWhen = since === null || (state === 'ok' && !all) ? '' : ` since ${since}`;
  return [`  ${what.padEnd(21)} ${state.padEnd(12)} ${driver}: ${shown(detail)}${sinceWhen}`];
}

/** The command that lifts it. */
function endOf({ kind, name }: HoldView): string {
  return kind === 'maintenance' ? `understudy maintenance ${name} off` : `understudy resume ${name}`;
}

function describeHost(host: HostView): readonly string[] {
  const { name, power, role, service, volume, agent, keptOut, holds } = host;
  const part = role === 'lead' || role === 'understudy' ? `${role} of ${service}` : role;
  const disk = `${volume.content}${volume.attached ? '' : ', detached'}`;
  const lines = [
    `  ${name.padEnd(12)} ${power.padEnd(8)} ${part.padEnd(20)} disk ${disk}, agent ${agent?.verdict ?? 'none'}`,
  ];
  if (keptOut !== null) lines.push(`    kept out of every pool: ${shown(keptOut)}`);
  for (const hold of holds) lines.push(`    ${shown(hold.text)}: ${endOf(hold)}`);
  if (volume.problem !== null) lines.push(`    disk: ${shown(volume.problem)}`);
  return lines;
}

/** Those that are under way, and the last that failed; what is over is a number, unless all are asked for. */
function describeEngagements({ engagements, engagementsTotal, services }: StatusAnswer, all: boolean): string[] {
  if (all) return engagements.map((engagement) => `  ${describeEngagement(engagement)}`);
  const underWay = new Set(services.flatMap((service) => service.engagements));
  const isOpen = ({ name, state, left }: EngagementView): boolean =>
    underWay.has(name) || state === 'running' || left.length > 0;
  const failed = engagements.filter((one) => one.state === 'failed' && !isOpen(one));
  const last = failed.slice(-FAILED_SHOWN);
  const listed = engagements.filter((one) => isOpen(one) || last.includes(one));
  const lines = listed.map((engagement) => {
    const over = last.includes(engagement) ? `\n    it is over: understudy ack ${engagement.name}` : '';
    return `  ${describeEngagement(engagement)}${over}`;
  });
  const others = engagementsTotal - listed.length;
  const more = failed.length - last.length;
  if (others <= 0) return lines;
  return [...lines, `  ${others} more are over${more > 0 ? `, ${more} of them failed` : ''}: understudy status --all`];
}

function describeUnusable({ unusableRecords, unusableRecordsTotal }: StatusAnswer): readonly string[] {
  const lines = unusableRecords.map(({ key, reason }) => {
    const { whileRunning, text } = remedyOfRecord(key);
    const how = whileRunning ? `shows more, and asks: ${text}` : text;
    return `  record ${shown(key)} cannot be used: ${shown(reason)}\n    ${how}`;
  });
  const more = unusableRecordsTotal - unusableRecords.length;
  return more === 0 ? lines : [...lines, `  ${more} more: understudy records`];
}

function describeEngagement(engagement: EngagementView): string {
  const { name, lead, understudy, phase, state, error, progress, waitsFor, left } = engagement;
  const share =
    progress === null ? '' : ` ${Math.floor((100 * progress.bytesDone) / Math.max(1, progress.bytesTotal))} %`;
  const why = error === null ? '' : `\n    ${describeError(error)}`;
  const undone = left.length === 0 ? '' : `, left undone: ${left.join(', ')}`;
  const wait = waitsFor === null ? '' : `\n    waits for ${shown(waitsFor)}`;
  return `${name}: ${understudy} for ${lead}, ${phase}${share}, ${state}${undone}${wait}${why}`;
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
