// What a second reading of understudy.yaml changes, in the words of the file.
import { shown } from '../base/mod.ts';
import type { Configuration } from './contract.ts';

export interface ConfigChange {
  /** "services.wiki.mode". */
  readonly path: string;
  /** As JSON, cut where it is long; null: it was not there. */
  readonly from: string | null;
  /** As JSON, cut where it is long; null: it is not there any more. */
  readonly to: string | null;
}

const VALUE_CHARACTERS_MAX = 120;

/** In the order of the file, what was removed at the end of each group. Lists are compared as a whole. */
export function changesBetween(before: unknown, after: unknown, path = ''): readonly ConfigChange[] {
  if (isGroup(before) && isGroup(after)) {
    const names = [...Object.keys(after), ...Object.keys(before).filter((name) => !Object.hasOwn(after, name))];
    return names.flatMap((name) => {
      const place = path === '' ? shown(name) : `${path}.${shown(name)}`;
      return changesBetween(own(before, name), own(after, name), place);
    });
  }
  const [from, to] = [textOf(before), textOf(after)];
  return from === to ? [] : [{ path, from: cut(from), to: cut(to) }];
}

/** "services.wiki.mode: "advise" -> "automatic"", "hosts.spare3: added". */
export function describeChange({ path, from, to }: ConfigChange): string {
  if (from === null) return `${path}: added${to?.startsWith('{') === true ? '' : ` (${to})`}`;
  if (to === null) return `${path}: removed`;
  return `${path}: ${from} -> ${to}`;
}

/** What a process has as long as it runs: folders, sockets and programs were made from it. */
const FIXED = ['state', 'tls', 'api', 'storage', 'identity'] as const satisfies readonly (keyof Configuration)[];

/** Which of these parts of the file another configuration changes. */
export function fixedSections(before: Configuration, after: Configuration): readonly string[] {
  return FIXED.filter((section) => textOf(before[section]) !== textOf(after[section]));
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(group: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(group, name) ? group[name] : undefined;
}

function textOf(value: unknown): string | null {
  return value === undefined ? null : shown(JSON.stringify(value));
}

function cut(text: string | null): string | null {
  return text === null || text.length <= VALUE_CHARACTERS_MAX ? text : `${text.slice(0, VALUE_CHARACTERS_MAX)}...`;
}
