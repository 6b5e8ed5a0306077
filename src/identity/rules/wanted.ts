// Which of the things that a system starts a rule means: by the names of units, by the programs that they run, by the
// file that was found. What is started under another name, or by another way, runs the same program.
import { isCommon, isPackaged, programsOfUnit, type Start, scriptsOf, startGraph, uncommented } from '../starts/mod.ts';
import { type FileTree, nameOf, parentOf } from '../tree/mod.ts';

export interface Wanted {
  /** Names of units of systemd; services of other systems have the same without ".service". */
  readonly units: readonly string[];
  /** Names of programs. Those that the names of units and the units themselves tell are added. */
  readonly programs?: readonly string[];
  /** The file that was found: what names it uses it. */
  readonly path?: string;
}

/** `direct`: it is there for this. `through`: a script runs it, beside whatever else that does. */
export type Concern = 'direct' | 'through';

export interface Concerned {
  readonly start: Start;
  readonly concern: Concern;
  /** All names of programs that are meant. */
  readonly programs: readonly string[];
}

type Known = Required<Pick<Wanted, 'units' | 'programs'>> & Pick<Wanted, 'path'>;
/** Where applications lie in folders of their own. */
const APPLICATIONS = /^\/(opt|srv|usr\/local|root|home\/[^/]+)\/[^/]+/;
const OVERRIDE_BYTES_MAX = 65_536;
const SEVERAL = /[$*`]/;

/** @returns null when the graph is not complete, and nothing was found in what there is of it */
export async function startsFor(tree: FileTree, wanted: Wanted): Promise<readonly Concerned[] | null> {
  const { starts, cut } = await startGraph(tree);
  const known = await knownOf(tree, wanted);
  const found = new Map<string, Concerned>();
  for (const start of starts) {
    if ((await concernOf(tree, start, known)) === null) continue;
    for (const now of await nowOf(tree, start)) {
      const concern = await concernOf(tree, now, known);
      if (concern !== null)
        found.set(JSON.stringify([now.way, now.name, now.file, now.line]), {
          start: now,
          concern,
          programs: known.programs,
        });
    }
  }
  const all = [...found.values()];
  // A unit that runs rc.local as a whole is ended where that is.
  const ends = new Set(all.filter(({ start }) => start.way === 'rc.local').map(({ start }) => start.file));
  const left = all.filter(({ start, concern }) => concern === 'direct' || !start.programs.some((one) => ends.has(one)));
  return left.length === 0 && cut.length > 0 ? null : left;
}

async function knownOf(tree: FileTree, { units, programs = [], path }: Wanted): Promise<Known> {
  // A timer or a target is called like what it starts, and is not that.
  const services = units.filter((unit) => unit.endsWith('.service'));
  const own = [];
  for (const unit of services) own.push(...(await programsOfUnit(tree, unit)));
  const called = services.map((unit) => unit.replace(/(@.*)?\.service$/, ''));
  const all = [...programs, ...called, ...own.map(nameOf)];
  const named = all.filter((name) => name !== '' && !isCommon(name));
  return { units, programs: [...new Set(named)], ...(path === undefined ? {} : { path }) };
}

async function concernOf(tree: FileTree, start: Start, known: Known): Promise<Concern | null> {
  const concern = concerns(start, known);
  // Hooks and scripts of packages ask first whether they are to run the program of another one.
  const asksFirst = concern === 'through' || (concern === 'direct' && start.way === 'hook');
  return asksFirst && start.file !== null && (await isPackaged(tree, start.file)) ? null : concern;
}

/** Without asking whose it is. */
export function concerns(start: Start, { units, programs, path }: Known): Concern | null {
  const names = [start.name, ...start.aliases];
  if (names.some((name) => units.some((unit) => unit === name || servicesOf(unit).includes(name)))) return 'direct';
  if (units.some((unit) => names.some((name) => isOtherInstance(name, unit)))) return null;
  const { text, scripts, names: run, through } = lookOf(start);
  if (path !== undefined && mentions(text, path)) return 'direct';
  if (
    path !== undefined &&
    APPLICATIONS.test(parentOf(path)) &&
    start.programs.some((one) => one.startsWith(`${parentOf(path)}/`))
  )
    return 'direct';
  const isInstance = path !== undefined && units.some((unit) => unit.includes('@'));
  const isMeant = (one: string): boolean =>
    !isInstance || SEVERAL.test(one) || mentions(one, nameOf(path).replace(/\.\w+$/, ''));
  if (programs.some((one) => run.has(one)) && isMeant(text)) return 'direct';
  const inScripts = programs.some((one) => through.has(one)) && isMeant(scripts);
  return inScripts || (path !== undefined && mentions(scripts, path)) ? 'through' : null;
}

interface Look {
  readonly text: string;
  readonly scripts: string;
  readonly names: ReadonlySet<string>;
  readonly through: ReadonlySet<string>;
}

/** Many are asked for, of each start. */
const looks = new WeakMap<Start, Look>();

function lookOf(start: Start): Look {
  const known = looks.get(start);
  if (known !== undefined) return known;
  const look = {
    text: uncommented(start.text),
    scripts: uncommented(start.scripts.join('\n')),
    names: new Set(start.programs.map(nameOf)),
    through: new Set(start.through.map(nameOf)),
  };
  looks.set(start, look);
  return look;
}

/** "keepalived.service" is "keepalived" elsewhere; "wg-quick@wg0.service" is "wg-quick.wg0" with OpenRC. */
function servicesOf(unit: string): string[] {
  const service = /^(.+)\.service$/.exec(unit)?.[1];
  return service === undefined ? [] : [service, service.replace('@', '.')];
}

/** "wg-quick@wg1.service", where "wg-quick@wg0.service" is meant. */
function isOtherInstance(name: string, unit: string): boolean {
  const [template, other] = [unit, name].map((one) => /^(.+)@/.exec(one)?.[1]);
  return template !== undefined && template === other && name !== unit;
}

function mentions(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const [before = '', after = ''] = [text[at - 1], text[at + word.length]];
    if (!/[\w-]/.test(before) && !/[\w-]/.test(after)) return true;
  }
  return false;
}

/** What of a start there is in a tree that may have changed since the graph was read. */
async function nowOf(tree: FileTree, start: Start): Promise<readonly Start[]> {
  // That the rule about jobs has disabled it before is how it is disabled.
  if (start.way === 'cron') return [start];
  if (start.again !== undefined) return start.again(tree);
  if (!(await isLive(tree, start))) return [];
  // Scripts may have other lines by now.
  return start.scripts.length === 0 ? [start] : [{ ...start, ...(await scriptsOf(tree, start.programs)) }];
}

async function isLive(tree: FileTree, { way, file, by, folder, name, aliases }: Start): Promise<boolean> {
  if (folder !== undefined) {
    for (const unit of [name, ...aliases].filter((one) => !one.includes(' '))) {
      if ((await tree.lstat(`${folder}/${unit}`))?.target === '/dev/null') return false;
      if ((await tree.lstat(dropInOf(folder, unit))) !== null) return false;
    }
  }
  if (way === 'upstart') {
    const override = await tree.read(`${(file ?? '').replace(/\.conf$/, '')}.override`, OVERRIDE_BYTES_MAX);
    if (/^manual\b/m.test(override?.toString('latin1') ?? '')) return false;
  }
  for (const cause of by) if (cause.kind !== 'link' || (await tree.lstat(cause.path)) !== null) return true;
  return false;
}

/** It comes last, so that no other takes the condition back. */
export function dropInOf(folder: string, unit: string): string {
  return `${folder}/${unit}.d/zz-understudy.conf`;
}

/** The name of a unit without whose manager it is of. */
export function unitOf({ name, aliases }: Start): string {
  return name.includes(' ') ? (aliases[0] ?? name) : name;
}
