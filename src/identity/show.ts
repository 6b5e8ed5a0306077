// A plan as people read it before they agree to it.
import { shown } from '../base/mod.ts';
import type { Coverage, Finding, Plan, StartEntry } from './contract.ts';
import { unifiedDiff } from './diff.ts';
import { masked, maskedLines } from './secrets.ts';
import { printable } from './tree/mod.ts';

const HIDDEN = '(secret)\n';
const ORDER = ['unknown', 'rewrite', 'regenerate', 'disable', 'keep'] as const;

/**
 * By what becomes of them, what is to be decided first. Nothing in it is secret, nor anything that a terminal would
 * obey.
 */
export function showFindings(findings: readonly Finding[]): string {
  return textOf(linesOf(findings));
}

/** What nothing knows among what starts; '' when there is none. */
export function showStarts(starts: readonly StartEntry[]): string {
  const open = starts.filter(({ knownBy }) => knownBy === null);
  const lines = open.map(({ way, name, path, line, programs }) => {
    const where = `${shown(path)}${line === null ? '' : `:${line}`}`;
    return `  ${way}  ${where}  ${shown(name)}${programs.length === 0 ? '' : `: ${programs.map(shown).join(', ')}`}`;
  });
  return lines.length === 0 ? '' : textOf(['starts, not understood:', ...lines, '']);
}

function linesOf(all: readonly Finding[]): string[] {
  return ORDER.flatMap((action) => {
    const findings = all.filter((one) => one.action === action);
    return findings.length === 0 ? [] : [`${action}:`, ...findings.flatMap(showFinding), ''];
  });
}

/** What was searched and what was not: a report that does not say it would claim more than anybody knows. */
export function showCoverage({ files, filesRead, filesExplained, notSearched }: Coverage): string {
  const places = notSearched.map(({ path, why, files: count, isIntended }) => {
    const many = count === undefined ? '' : `, ${count} ${count === 1 ? 'file' : 'files'}`;
    return `  ${shown(path)}  ${shown(why)}${many}${isIntended ? '' : '  (could not be searched)'}`;
  });
  const head = `searched: ${filesRead} texts of ${files} files; a rule explains ${filesExplained}`;
  return textOf([head, ...(places.length === 0 ? [] : ['not searched:', ...places])]);
}

export function showPlan(plan: Plan): string {
  const lines = [`plan ${plan.fingerprint.slice(0, 16)}`, '', ...linesOf(plan.findings)];
  for (const { rule, from, to } of plan.renames ?? []) {
    lines.push(`renamed (${rule})`, `--- ${shown(from)}`, `+++ ${shown(to)}`, '');
  }
  for (const change of plan.changes) {
    if (change.copyOf !== undefined) {
      lines.push(
        `${kindOf(change)} (${change.rule})`,
        `+++ ${shown(change.path)}`,
        `+(what ${shown(change.copyOf)} is)`,
        '',
      );
      continue;
    }
    if (change.kind === 'folder') {
      lines.push(`emptied folder (${change.rule})`, `--- ${shown(change.path)}`, `-(${change.before})`, '');
      continue;
    }
    const hide = (text: string | null): string | null => (text !== null && change.secret ? HIDDEN : text);
    const diff = unifiedDiff(shown(change.path), hide(change.before), hide(change.after), maskedLines);
    // A secret that becomes another secret shows no difference, but it is one.
    const told =
      diff.length > 0 ? diff : [`--- ${shown(change.path)}`, `+++ ${shown(change.path)}`, '-(secret)', '+(secret)'];
    lines.push(`${kindOf(change)} (${change.rule})`, ...told, '');
  }
  for (const { rule, path, command } of plan.commands ?? []) {
    lines.push(`run in the image (${rule}), for ${shown(path)}`, `  ${shown(masked(command.join(' ')))}`, '');
  }
  lines.push(`machine-id  ${plan.proof.machineId}`, ...plan.proof.sshHostKeys.map((one) => `SSH host key  ${one}`));
  return textOf(lines);
}

function textOf(lines: readonly string[]): string {
  const all = lines.flatMap((line) => line.split('\n')).map(visible);
  return all.length === 0 ? '' : `${all.join('\n')}\n`;
}

/** Tabs are what configuration files are full of, and do nobody harm. */
function visible(line: string): string {
  return line.split('\t').map(printable).join('\t');
}

function showFinding({ rule, path, value, why, confidence }: Finding): string[] {
  const where = `${shown(path)}  ${shown(value)}`;
  return [`  ${rule}  ${where}${confidence === 'certain' ? '' : `  (${confidence})`}`, `      ${shown(why)}`];
}

function kindOf({ kind, before, after, mode }: Plan['changes'][number]): string {
  const what = kind === 'link' ? 'link' : 'file';
  const verb = before === null ? 'new' : after === null ? 'removed' : 'changed';
  return mode === null ? `${verb} ${what}` : `${verb} ${what}, mode ${mode.toString(8).padStart(4, '0')}`;
}
