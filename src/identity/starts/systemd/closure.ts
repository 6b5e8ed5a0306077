// What a manager of systemd starts: all that is linked to be started with something, and all that this pulls in.
import { type FileTree, join } from '../../tree/mod.ts';
import { runsOf, wordsOf } from '../commands.ts';
import type { Cause, Start, Way } from '../contract.ts';
import type { Manager, Unit } from './manager.ts';
import { namesIn, partsOf, type Settings, withSpecifiers } from './unit-file.ts';

const UNITS_MAX = 5000;
const PULLED_MAX = 100_000;
/** That others want it is known by a few of them. */
const CAUSES_MAX = 20;
const PULLS = ['Wants', 'Requires', 'BindsTo', 'Upholds', 'OnSuccess'];
const NEEDS = new Set(['Requires', 'BindsTo']);
const COMMANDS = ['ExecCondition', 'ExecStartPre', 'ExecStart', 'ExecStartPost'];
/** Of `ExecStart=`: what comes before the program (systemd.service(5)). */
const PREFIX = /^[-:+!|]*(@?)[-:+!|]*/;

export interface Root {
  readonly unit: string;
  readonly cause: Cause;
}

export interface Scope {
  readonly way: Way & ('systemd' | 'systemd user');
  /** What comes in front of names in the report: '' for the system's manager. */
  readonly owner: string;
  readonly home: string | null;
}

interface Reached {
  readonly unit: Unit;
  readonly by: Cause[];
  readonly aliases: Set<string>;
}

/** @returns units that run something: services, timers, and what is linked without being there */
export async function startedUnits(
  tree: FileTree,
  manager: Manager,
  roots: readonly Root[],
  scope: Scope,
  cut: (why: string) => void,
): Promise<readonly Start[]> {
  const reached = new Map<string, Reached>();
  const queue: Root[] = [
    ...roots,
    ...manager.targets.map((unit): Root => ({ unit, cause: { kind: 'file', path: join(manager.admin, unit) } })),
    ...manager.links.map(({ path, unit }): Root => ({ unit, cause: { kind: 'link', path } })),
  ];
  let left = PULLED_MAX;
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    if (reached.size >= UNITS_MAX) {
      cut(`more than ${UNITS_MAX} units of systemd are started`);
      break;
    }
    const { unit: name, cause } = next;
    if (cause.kind === 'link' && !(await isStart(tree, cause.path))) continue;
    const unit = await manager.unit(name);
    if (unit.masked) continue;
    const known = reached.get(unit.name);
    if (known !== undefined) {
      if (cause.kind === 'link' || known.by.length < CAUSES_MAX) known.by.push(cause);
      if (name !== unit.name) known.aliases.add(name);
      continue;
    }
    reached.set(unit.name, { unit, by: [cause], aliases: new Set(name === unit.name ? [] : [name]) });
    const pulled = pulledBy(unit, manager.admin);
    left -= pulled.length;
    if (left >= 0) queue.push(...pulled);
    else cut(`units of systemd pull in more than ${PULLED_MAX} others`);
  }
  const starts: Start[] = [];
  for (const one of reached.values()) {
    const start = await startOf(tree, manager, one, scope);
    if (start !== null) starts.push(start);
  }
  return starts.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
}

/** What is neither a link nor a file starts nothing. */
async function isStart(tree: FileTree, path: string): Promise<boolean> {
  const kind = (await tree.lstat(path))?.kind;
  return kind === 'link' || kind === 'file';
}

function pulledBy({ name, file, settings }: Unit, admin: string): Root[] {
  // What has drop-ins only says it there.
  const path = file ?? join(admin, `${name}.d`);
  const roots = PULLS.flatMap((key) =>
    namesIn(settings, `Unit.${key}`, name).map((unit): Root => {
      return { unit, cause: { kind: 'unit', path, unit: name, needs: NEEDS.has(key) } };
    }),
  );
  const triggered = file === null ? null : triggeredBy(name, settings);
  if (triggered !== null) roots.push({ unit: triggered, cause: { kind: 'unit', path, unit: name, needs: false } });
  return roots;
}

/** What a timer, a socket or a path starts in time. */
function triggeredBy(name: string, settings: Settings): string | null {
  const { name: stem, type } = partsOf(name);
  const last = (key: string): string | undefined => namesIn(settings, key, name).at(-1);
  if (type === 'timer') return last('Timer.Unit') ?? `${stem}.service`;
  if (type === 'path') return last('Path.Unit') ?? `${stem}.service`;
  if (type !== 'socket') return null;
  const accepts = /^(1|yes|true|on)$/i.test(last('Socket.Accept') ?? '');
  return last('Socket.Service') ?? (accepts ? `${stem}@connection.service` : `${stem}.service`);
}

async function startOf(
  tree: FileTree,
  manager: Manager,
  { unit, by, aliases }: Reached,
  { way, owner, home }: Scope,
): Promise<Start | null> {
  const { type, name: stem } = partsOf(unit.name);
  const isLinked = by.some(({ kind }) => kind === 'link');
  if (type !== 'service' && type !== 'timer') return null;
  const script = unit.file === null && way === 'systemd' ? await tree.stat(join('/etc/init.d', stem)) : null;
  if (unit.file === null && script?.kind !== 'file' && !isLinked) return null;
  const lines = COMMANDS.flatMap((key) => unit.settings.get(`Service.${key}`) ?? []).map((line) => {
    return commandOf(line, unit, home);
  });
  // systemd makes a unit of each script of System V that has none: systemd-sysv-generator(8).
  if (script?.kind === 'file') lines.push([script.path, 'start']);
  return {
    way,
    name: owner === '' ? unit.name : `${owner}: ${unit.name}`,
    aliases: [...(owner === '' ? [] : [unit.name]), ...aliases],
    by,
    file: unit.file ?? script?.path ?? null,
    line: null,
    folder: manager.admin,
    ...(await runsOf(tree, { kind: 'words', lines })),
  };
}

function commandOf(line: string, { name, settings }: Unit, home: string | null): readonly string[] {
  const prefix = PREFIX.exec(line);
  const known = withSpecifiers(home === null ? line : line.replaceAll('%h', home), name);
  const environment = new Map(
    (settings.get('Service.Environment') ?? []).flatMap((value) =>
      wordsOf(value).map((word): [string, string] => [
        word.slice(0, word.indexOf('=')),
        word.slice(word.indexOf('=') + 1),
      ]),
    ),
  );
  const filled = known.replace(
    /\$\{?([A-Za-z_]\w*)\}?/g,
    (whole, variable: string) => environment.get(variable) ?? whole,
  );
  const words = wordsOf(filled.slice(prefix?.[0].length ?? 0));
  // "@": the second word is what the program is told that it is called.
  return prefix?.[1] === '@' ? words.filter((_, index) => index !== 1) : words;
}
