// Rules as data. Most of what must not exist twice is a file that is there, or lines in a file, and one of a few things
// becomes of it: that is a clue. A rule made of clues finds, changes and proves by them alone; users' own rules are
// clues from YAML.
import { codeOf } from '../../base/mod.ts';
import type { Action, Finding } from '../contract.ts';
import { filesBelow } from '../emptied.ts';
import { type Entry, type FileTree, parentOf, readText } from '../tree/mod.ts';
import type { ChangeContext, Edit, Rule, RuleCommand } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { filesAt, foldersAt, isNameable } from './glob.ts';
import { meanStarts } from './meant.ts';
import { placeOf } from './stops.ts';
import { type Stops, stopsOf } from './units.ts';

export type Outcome =
  | { readonly action: 'keep' | 'unknown' }
  /** The files go: their program makes new ones, or is to have none. */
  | { readonly action: 'regenerate' | 'disable'; readonly by: 'removal' }
  /** Clues for folders: all files below them go, and each is one finding with the count of its files. */
  | { readonly action: 'disable'; readonly by: 'emptying' }
  /** The lines become comments. */
  | { readonly action: 'disable'; readonly by: 'comment' }
  /**
   * Units that are not to start by themselves, and whatever else would run their programs or the file that was found.
   * Where nothing does, what was found is kept; where it cannot be kept from it, it is unknown.
   */
  | {
      readonly action: 'disable';
      readonly units: (path: string) => readonly string[];
      /** Names of programs beside those that units have and are called by. */
      readonly programs?: readonly string[];
    }
  /** What was found is another file as a whole, or is made one by a program of the image. */
  | { readonly action: 'regenerate' | 'disable'; readonly content: (before: string, context: ChangeContext) => string }
  | { readonly action: 'regenerate'; readonly run: (path: string, context: ChangeContext) => Omit<RuleCommand, 'path'> }
  /** Group 1 of the lines becomes something else; null: the line goes. The same value and hosts give the same. */
  | { readonly action: 'rewrite'; readonly to: (value: string, context: ChangeContext) => string | null };

export interface Clue {
  /** Patterns of paths (glob.ts). */
  readonly at: readonly string[];
  /** Of one line; group 1 is the value. Absent: the file as such is what is found. */
  readonly lines?: RegExp;
  /** Of the lines that match, those that count. @default all */
  readonly only?: (line: string) => boolean;
  /** Only in files that have this, and not in those that have that, anywhere. */
  readonly when?: RegExp;
  readonly unless?: RegExp;
  /** Paths that do not count, although a pattern has them. */
  readonly except?: RegExp;
  /** What a file is called in the report. @default the values of the lines, "present", or "(secret)" */
  readonly value?: string;
  /** Neither lines nor content are ever shown. */
  readonly secret?: boolean;
  readonly why: string;
  readonly becomes: Outcome;
  /** @default 'certain' */
  readonly confidence?: Finding['confidence'];
}

const FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Longer lines are no settings, and a pattern may take long for them. */
const LINE_CHARS_MAX = 16 * 1024;
const LINES_SHOWN = 5;
const IN_FOLDER_MAX = 20;
const COMMENT = '# understudy: ';
const DONE: readonly Action[] = ['rewrite', 'regenerate', 'disable'];
const NOT_EMPTIED = 'It has more files than can be dealt with, or some whose names are too odd, so it is not emptied.';
const TOO_MANY = 'There is more of it than can be looked at, so it is not known what a clone would do twice.';
export const NOTHING_STARTS = 'Nothing starts it by itself.';
const CUT = 'Not everything that the system starts could be read, so it may start this as well.';
const OPEN_SHOWN = 3;

/** Which clue found what: clues may share their words, and what one found is not for another to change. */
const origins = new WeakMap<Finding, Clue>();

export function clueRule(name: string, clues: readonly Clue[]): Rule {
  return {
    name,
    find: (tree) => findAll(name, clues, tree),
    async change(found, tree, context) {
      const clue = origins.get(found);
      return clue === undefined ? [] : changeBy(clue, found, tree, context);
    },
    async commands(found, _tree, context) {
      const becomes = origins.get(found)?.becomes;
      if (becomes === undefined || !('run' in becomes)) return [];
      return [{ path: found.path, ...becomes.run(found.path, context) }];
    },
    async verify(tree, { findings }) {
      const done = findings.filter((one) => one.rule === name && DONE.includes(one.action));
      const key = ({ path, value, why }: Finding): string => JSON.stringify([path, value, why]);
      const before = new Set(done.map(key));
      const left = (await findAll(name, clues, tree)).filter(
        (one) => DONE.includes(one.action) && !isJudgedByContent(one) && before.has(key(one)),
      );
      return left.map(({ path, value }) => `${path} still has ${value}`);
    },
  };
}

/** A file that was made anew is there as it was before: whether it differs is not for its name to tell. */
function isJudgedByContent(found: Finding): boolean {
  const becomes = origins.get(found)?.becomes;
  return becomes !== undefined && ('run' in becomes || 'content' in becomes);
}

async function findAll(rule: string, clues: readonly Clue[], tree: FileTree): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const clue of clues) {
    if (isEmptying(clue)) {
      for (const one of await findFolders(rule, clue, tree)) {
        origins.set(one, clue);
        found.push(one);
      }
      continue;
    }
    const { files, cut } = await filesAt(tree, clue.at);
    for (const file of files) {
      if (clue.except?.test(file.path) === true) continue;
      const one = await findIn(rule, clue, file, tree);
      if (one === null) continue;
      // Two clues about one file that cannot be read say so once.
      const isTold = found.some(({ action, path, value, why }) => {
        return action === 'unknown' && path === one.path && value === one.value && why === one.why;
      });
      if (isTold) continue;
      origins.set(one, clue);
      found.push(one);
    }
    if (cut)
      found.push(finding({ rule, path: clue.at[0] ?? '/', value: 'too many files', why: TOO_MANY, action: 'unknown' }));
  }
  return gathered(found);
}

/** What is found many times in one folder, and is left as it is, is one finding of the folder with their number. */
function gathered(findings: readonly Finding[]): readonly Finding[] {
  const alike = new Map<string, Finding[]>();
  const keyOf = ({ path, value, why, action }: Finding): string => JSON.stringify([parentOf(path), value, why, action]);
  for (const one of findings) {
    const same = alike.get(keyOf(one));
    if (same === undefined) alike.set(keyOf(one), [one]);
    else same.push(one);
  }
  return findings.flatMap((one) => {
    const same = alike.get(keyOf(one)) ?? [];
    if (DONE.includes(one.action) || same.length <= IN_FOLDER_MAX) return [one];
    return same[0] === one ? [{ ...one, path: parentOf(one.path), value: `${one.value}: ${same.length} files` }] : [];
  });
}

function isEmptying({ becomes }: Clue): boolean {
  return 'by' in becomes && becomes.by === 'emptying';
}

async function findFolders(rule: string, clue: Clue, tree: FileTree): Promise<readonly Finding[]> {
  const { folders, cut } = await foldersAt(tree, clue.at);
  const found: Finding[] = [];
  const facts = { rule, why: clue.why, confidence: clue.confidence ?? 'certain' };
  for (const path of folders) {
    const { count, canBeEmptied } = await countBelow(tree, path);
    if (count === 0 && canBeEmptied) continue;
    const value = `${clue.value ?? 'files'}: ${count}`;
    const why = canBeEmptied ? facts.why : `${facts.why} ${NOT_EMPTIED}`;
    found.push(finding({ ...facts, why, path, value, action: canBeEmptied ? 'disable' : 'unknown' }));
  }
  if (cut) found.push(finding({ ...facts, path: clue.at[0] ?? '/', value: 'too many folders', action: 'unknown' }));
  return found;
}

/** Files with odd names cannot be named to the programs that remove them. */
async function countBelow(tree: FileTree, folder: string): Promise<{ count: number; canBeEmptied: boolean }> {
  let [count, odd] = [0, 0];
  try {
    for await (const file of filesBelow(nodesOf(tree), folder)) {
      count += 1;
      if (!isNameable(file.path)) odd += 1;
    }
  } catch (error) {
    if (codeOf(error) !== 'IMAGE_UNSUPPORTED') throw error;
    return { count, canBeEmptied: false };
  }
  return { count, canBeEmptied: odd === 0 };
}

/** Paths of folders are canonical here. */
function nodesOf(tree: FileTree) {
  return { entry: (path: string) => tree.lstat(path), names: (path: string) => tree.list(path) };
}

async function findIn(rule: string, clue: Clue, file: Entry, tree: FileTree): Promise<Finding | null> {
  const { path } = file;
  const facts = { rule, path, why: clue.why, confidence: clue.confidence ?? 'certain' };
  let value = clue.value ?? (clue.secret === true ? '(secret)' : 'present');
  if (clue.lines !== undefined) {
    const text = await readText(tree, path);
    if (text.status === 'unusable') return unusable(rule, text);
    if (text.status === 'text' && text.text.split('\n').some((line) => line.length > LINE_CHARS_MAX))
      return unusable(rule, {
        status: 'unusable',
        path: text.path,
        why: `it has a line of more than ${LINE_CHARS_MAX} characters`,
      });
    const isMeant =
      text.status === 'text' && clue.when?.test(text.text) !== false && clue.unless?.test(text.text) !== true;
    const values = isMeant ? valuesIn(text.text, clue.lines, clue.only) : [];
    if (values.length === 0) return null;
    value = clue.value ?? (clue.secret === true ? '(secret)' : shown(values));
  }
  const changes = DONE.includes(clue.becomes.action);
  if (changes && (!isNameable(path) || file.sizeBytes > FILE_BYTES_MAX))
    return finding({
      ...facts,
      value,
      why: 'It would have to be changed, and its name or size does not let it.',
      action: 'unknown',
    });
  if (!('units' in clue.becomes)) return finding({ ...facts, value, action: clue.becomes.action });
  const stops = await stopsFor(clue.becomes, path, tree);
  meanStarts(
    tree,
    stops.starts.filter(({ concern }) => concern === 'direct').map(({ start }) => start),
    rule,
  );
  if (stops.open.length > 0)
    return finding({ ...facts, value, why: `${clue.why} ${openText(stops)}`, action: 'unknown' });
  if (stops.cut) return finding({ ...facts, value, why: `${clue.why} ${CUT}`, action: 'unknown' });
  if (stops.starts.length > 0) return finding({ ...facts, value, action: 'disable' });
  return finding({ ...facts, value, why: `${clue.why} ${NOTHING_STARTS}`, action: 'keep' });
}

function stopsFor(
  { units, programs = [] }: Extract<Outcome, { readonly units: unknown }>,
  path: string,
  tree: FileTree,
): Promise<Stops> {
  return stopsOf(tree, { units: units(path), programs, path });
}

function openText({ open }: Stops): string {
  const places = open.slice(0, OPEN_SHOWN).map(({ start }) => placeOf(start));
  const more = open.length > OPEN_SHOWN ? ` and ${open.length - OPEN_SHOWN} more` : '';
  return `It is started by ${places.join(', ')}${more}, which cannot be switched off without harm to what else it does.`;
}

function shown(values: readonly string[]): string {
  const more = values.length > LINES_SHOWN ? `, and ${values.length - LINES_SHOWN} more` : '';
  return values.slice(0, LINES_SHOWN).join(', ') + more;
}

function valuesIn(text: string, pattern: RegExp, only: Clue['only']): string[] {
  return text.split('\n').flatMap((line) => valueIn(line, pattern, only)?.value ?? []);
}

function valueIn(
  line: string,
  pattern: RegExp,
  only: Clue['only'],
): { value: string; from: number; to: number } | null {
  if (only?.(line) === false) return null;
  const match = new RegExp(pattern.source, `${pattern.flags.replace('d', '')}d`).exec(line);
  if (match === null) return null;
  const [from, to] = match.indices?.[1] ?? match.indices?.[0] ?? [0, 0];
  return { value: match[1] ?? match[0], from, to };
}

async function changeBy(clue: Clue, found: Finding, tree: FileTree, context: ChangeContext): Promise<readonly Edit[]> {
  const { becomes, lines } = clue;
  const { path } = found;
  const secret = clue.secret === true ? { secret: true } : {};
  if ('units' in becomes) return (await stopsFor(becomes, path, tree)).edits;
  if (becomes.action === 'keep' || becomes.action === 'unknown' || 'run' in becomes) return [];
  if ('by' in becomes && becomes.by === 'emptying') return [{ kind: 'empty', path }];
  if ('by' in becomes && becomes.by === 'removal') return [{ kind: 'remove', path, ...secret }];
  const file = await readText(tree, path);
  if (file.status !== 'text') return [];
  if ('content' in becomes) return [{ kind: 'write', path, text: becomes.content(file.text, context), ...secret }];
  if (lines === undefined) return [];
  const text = file.text
    .split('\n')
    .map((line) => {
      const value = valueIn(line, lines, clue.only);
      if (value === null) return line;
      if (!('to' in becomes)) return `${COMMENT}${line}`;
      const next = becomes.to(value.value, context);
      return next === null ? null : line.slice(0, value.from) + next + line.slice(value.to);
    })
    .filter((line) => line !== null)
    .join('\n');
  return text === file.text ? [] : [{ kind: 'write', path, text, ...secret }];
}
