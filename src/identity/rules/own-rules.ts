// Users' own rules: clues, from plain data.
import { allAddresses, fullNameOf } from '../correspondence.ts';
import { type Clue, clueRule, type Outcome } from './clue.ts';
import type { ChangeContext, Rule } from './contract.ts';
import { derive, deriveId, deriveUuid } from './derive.ts';

/** As a file of rules has it. */
export interface OwnRule {
  readonly name: string;
  readonly why: string;
  /** Patterns of paths. */
  readonly path: readonly string[];
  /** Of one line; group 1 is the value. */
  readonly lines?: string | undefined;
  readonly secret: boolean;
  readonly action: 'keep' | 'unknown' | 'delete' | 'disable' | 'comment' | 'replace' | 'generate' | 'run';
  /** With 'replace': a template of the value; with 'generate': of the whole file. */
  readonly with?: string | undefined;
  /** With 'disable'. */
  readonly units: readonly string[];
  /** With 'run': a program of the image and its arguments, each a template. */
  readonly run: readonly string[];
}

/** What of a rule contradicts itself, for whoever wrote it; null: nothing. */
export function problemOfRule({ action, lines, with: template, units, run }: OwnRule): string | null {
  if ((action === 'comment' || action === 'replace') && lines === undefined) return `"${action}" needs "lines"`;
  if (['replace', 'generate'].includes(action) !== (template !== undefined)) {
    return action === 'generate' ? '"generate" needs "with"' : '"replace" and "with" belong together';
  }
  if ((action === 'disable') !== units.length > 0) return '"disable" and "units" belong together';
  if ((action === 'run') !== run.length > 0) return 'the action "run" and what is to "run" belong together';
  const unknown = [template ?? '', ...run]
    .flatMap((text) => [...text.matchAll(/\{\{(.*?)\}\}/g)])
    .map((one) => one[1] ?? '')
    .find((one) => !(one in VARIABLES));
  return unknown === undefined ? null : `there is no "{{${unknown}}}"; there are ${Object.keys(VARIABLES).join(', ')}`;
}

/** One rule for each name, its clues in the order of the list. Rules for which `problemOfRule` has an answer must not come here. */
export function ownRules(list: readonly OwnRule[]): readonly Rule[] {
  const names = [...new Set(list.map(({ name }) => name))];
  return names.map((name) => clueRule(name, list.filter((one) => one.name === name).map(clueOf)));
}

function clueOf(rule: OwnRule): Clue {
  const { path, lines, secret, why } = rule;
  return {
    at: path,
    secret,
    why,
    becomes: outcomeOf(rule),
    ...(lines === undefined ? {} : { lines: new RegExp(lines) }),
  };
}

function outcomeOf({ action, with: template = '', units, run }: OwnRule): Outcome {
  if (action === 'keep' || action === 'unknown') return { action };
  if (action === 'delete') return { action: 'disable', by: 'removal' };
  if (action === 'comment') return { action: 'disable', by: 'comment' };
  if (action === 'disable') return { action, units: () => units };
  if (action === 'generate')
    return { action: 'regenerate', content: (before, context) => filled(template, before, context) };
  if (action === 'run') {
    const command = (path: string, context: ChangeContext) => run.map((word) => filled(word, path, context));
    return {
      action: 'regenerate',
      run: (path, context) => ({ command: command(path, context), environment: environmentOf(path, context) }),
    };
  }
  return { action: 'rewrite', to: (value, context) => filled(template, value, context) };
}

const VARIABLES: Readonly<Record<string, (value: string, context: ChangeContext) => string>> = {
  hostName: (_, { understudy }) => understudy.hostName,
  fullName: (_, { understudy }) => fullNameOf(understudy),
  address: (_, { understudy }) => allAddresses(understudy)[0]?.ip ?? '',
  mac: (_, { understudy }) => understudy.interfaces[0]?.mac ?? '',
  id: (value, { understudy }) => deriveId(value, understudy),
  uuid: (value, { understudy }) => deriveUuid(value, understudy),
  number: (value, { understudy }) => String((derive(value, understudy, 4).readUInt32BE() % 0x7fff_fffe) + 1),
};

function environmentOf(path: string, { lead, understudy }: ChangeContext): Readonly<Record<string, string>> {
  return {
    UNDERSTUDY_PATH: path,
    UNDERSTUDY_HOST_NAME: understudy.hostName,
    UNDERSTUDY_FULL_NAME: fullNameOf(understudy),
    UNDERSTUDY_ADDRESS: allAddresses(understudy)[0]?.ip ?? '',
    UNDERSTUDY_MAC: understudy.interfaces[0]?.mac ?? '',
    UNDERSTUDY_LEAD_HOST_NAME: lead.hostName,
  };
}

function filled(template: string, value: string, context: ChangeContext): string {
  return template.replace(/\{\{(.*?)\}\}/g, (_, name: string) => VARIABLES[name]?.(value, context) ?? '');
}
