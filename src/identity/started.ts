// What an inspection says of all that starts: what knows it, a rule or a package, and what nothing knows.
import type { Finding, Inspection, StartEntry } from './contract.ts';
import { rulesOfStart } from './rules/mod.ts';
import { knownToSystem, type Start, startGraph } from './starts/mod.ts';
import { type FileTree, printable } from './tree/mod.ts';

/** Ways of which a finding in the same file is about what starts; in other files it may be about another line. */
const WHOLE: readonly string[] = ['systemd', 'systemd user', 'cron', 'container'];
/** Scripts that hold whatever somebody put there: that a rule means one line says nothing of the others. */
const MIXED: readonly string[] = ['rc.local', 'hook'];
/** It finds values, whatever the file is for. */
const SEARCHES: readonly string[] = ['mentions'];
const ENTRIES_MAX = 5000;
const PROGRAMS_SHOWN = 10;
const CHARS_MAX = 300;

export async function startsIn(tree: FileTree, findings: readonly Finding[]): Promise<Inspection['starts']> {
  const { starts, cut } = await startGraph(tree);
  const byPath = new Map(findings.filter(({ rule }) => !SEARCHES.includes(rule)).map(({ path, rule }) => [path, rule]));
  const rules = new Map<string, string>();
  for (const start of starts) {
    const rule = ruleOf(tree, start, byPath);
    if (rule !== null) for (const name of [start.name, ...start.aliases]) rules.set(name, rule);
  }
  const entries: StartEntry[] = [];
  for (const start of starts.slice(0, ENTRIES_MAX)) {
    const rule = ruleOf(tree, start, byPath) ?? ruleOfCauses(start, rules);
    entries.push(entryOf(start, rule === null ? await knownToSystem(tree, start) : `rule ${rule}`));
  }
  const more = starts.length > ENTRIES_MAX ? [`${starts.length - ENTRIES_MAX} more than can be listed`] : [];
  for (const why of [...cut, ...more])
    entries.push({ way: 'not read', name: shown(why), path: '/', line: null, programs: [], knownBy: null });
  return entries;
}

/** A rule that found the file, or that means what it runs. */
function ruleOf(tree: FileTree, start: Start, byPath: ReadonlyMap<string, string>): string | null {
  const paths = WHOLE.includes(start.way) ? [start.file ?? '', ...start.by.map(({ path }) => path)] : [];
  for (const path of paths) {
    const rule = byPath.get(printable(path));
    if (rule !== undefined) return rule;
  }
  return MIXED.includes(start.way) ? null : rulesOfStart(tree, start);
}

/** What only others start that a rule knows, such as the service of a timer. */
function ruleOfCauses({ by }: Start, rules: ReadonlyMap<string, string>): string | null {
  const causes = by.map((cause) => (cause.kind === 'unit' ? rules.get(cause.unit) : undefined));
  return causes.every((rule) => rule !== undefined) ? (causes[0] ?? null) : null;
}

/** Programs without their arguments, which may hold secrets. */
function entryOf({ way, name, file, line, by, programs }: Start, knownBy: string | null): StartEntry {
  const paths = programs.filter((program) => /^\/[^\s$*]+$/.test(program));
  const told = (paths.length > 0 ? paths : programs.slice(0, 1)).slice(0, PROGRAMS_SHOWN).map(shown);
  return { way, name: shown(name), path: shown(file ?? by[0]?.path ?? '/'), line, programs: told, knownBy };
}

function shown(text: string): string {
  return printable(text.slice(0, CHARS_MAX));
}
