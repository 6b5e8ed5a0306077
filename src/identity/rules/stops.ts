// How something is kept from starting, for each way of starting: by the means that the system itself has for it,
// without touching what else starts there. Where that cannot be done for sure, nothing is.
import { NEVER, programsOfShell, type Start } from '../starts/mod.ts';
import { type FileTree, printable, readText } from '../tree/mod.ts';
import type { Edit } from './contract.ts';
import { isNameable } from './glob.ts';
import { type Concerned, dropInOf, unitOf } from './wanted.ts';

const PLACE_CHARS_MAX = 300;
const COMMENT = '# understudy: ';
const DROP_IN = `# Written by understudy: this host is a clone.\n[Unit]\nConditionPathExists=${NEVER}\n`;
/** A shell would miss the rest of such a line: words that open or close something, and operators that go on. */
const OPENS =
  /^\s*((if|then|elif|else|fi|for|while|until|do|done|case|esac|function)\b|[{}()]|\S+\s*\(\))|;;|\b(then|do|else)\s*$/;
const GOES_ON = /(\\|&&|\|\|?|[{(])\s*$/;

/**
 * @param isMeant whether the commands of a line are what is to be stopped
 * @returns null when it cannot be kept from starting for sure
 */
export async function stopEdits(
  tree: FileTree,
  concerned: Concerned,
  isMeant: (programs: readonly string[], text: string) => boolean,
): Promise<readonly Edit[] | null> {
  const edits = await editsFor(tree, concerned, isMeant);
  for (const { path } of edits ?? []) {
    const there = await tree.lstat(path);
    // Only a damaged system has a folder where a link or a file of settings is expected.
    if (there !== null && there.kind !== 'file' && there.kind !== 'link') return null;
  }
  return edits;
}

async function editsFor(
  tree: FileTree,
  { start, concern }: Concerned,
  isMeant: (programs: readonly string[], text: string) => boolean,
): Promise<readonly Edit[] | null> {
  if (concern === 'through') return null;
  if (start.way === 'systemd' || start.way === 'systemd user')
    return start.folder === undefined ? null : stopUnit(tree, start);
  if (start.way === 'sysv' || start.way === 'openrc') return stopLinks(start);
  if (start.way === 'upstart') return stopJob(tree, start);
  // The rule about jobs disables them all.
  if (start.way === 'cron') return [];
  if (start.file === null || !isNameable(start.file)) return null;
  if (start.way === 'rc.local' || start.way === 'hook') return stopLines(tree, start.file, isMeant);
  if (['inittab', 'udev', 'ifupdown', 'inetd'].includes(start.way) && start.line !== null)
    return stopLine(tree, start.file, start.line);
  return null;
}

/** systemctl(1): "disable", and where that is not enough "mask", or a condition for what others require. */
async function stopUnit(
  tree: FileTree,
  { by, name, aliases, folder = '', ...rest }: Start,
): Promise<readonly Edit[] | null> {
  const unit = unitOf({ ...rest, by, name, aliases });
  const isAdmins = (path: string): boolean =>
    path.startsWith('/etc/') || path.startsWith(`${folder}/`) || /^\/(home|root)\//.test(path);
  const edits: Edit[] = [];
  let isLeft = false;
  let isNeeded = false;
  for (const cause of by) {
    if (cause.kind === 'link' && isAdmins(cause.path)) edits.push({ kind: 'remove', path: cause.path });
    else isLeft = true;
    isNeeded ||= (cause.kind === 'unit' && cause.needs) || (cause.kind === 'link' && cause.path.includes('.requires/'));
  }
  for (const alias of aliases.filter((one) => one !== unit && !one.includes(' '))) {
    const link = await tree.lstat(`${folder}/${alias}`);
    if (link?.kind === 'link') edits.push({ kind: 'remove', path: link.path });
  }
  if (!isLeft) return edits;
  if ((await tree.stat(folder))?.kind !== 'folder' || !isNameable(`${folder}/${unit}`)) return null;
  const own = await tree.lstat(`${folder}/${unit}`);
  if (own === null && !isNeeded) return [...edits, { kind: 'link', path: `${folder}/${unit}`, target: '/dev/null' }];
  return [...edits, { kind: 'write', path: dropInOf(folder, unit), text: DROP_IN, makesFolder: true }];
}

/** A service that another one needs would be started by that. */
function stopLinks({ by }: Start): readonly Edit[] | null {
  const links = by.flatMap((cause) => (cause.kind === 'link' ? [cause.path] : []));
  return links.length < by.length || !links.every(isNameable)
    ? null
    : links.map((path): Edit => ({ kind: 'remove', path }));
}

/** init(5) of Upstart: an override of a job that is there no more than once. */
async function stopJob(tree: FileTree, { file }: Start): Promise<readonly Edit[] | null> {
  const path = file?.replace(/\.conf$/, '.override') ?? '';
  if (path === '' || !isNameable(path)) return null;
  const known = await readText(tree, path);
  if (known.status === 'unusable') return null;
  const text = known.status === 'text' ? known.text.replace(/\n?$/, '\n') : '';
  return [{ kind: 'write', path, text: `${text}manual\n` }];
}

/** A line of a table: it becomes a comment. */
async function stopLine(tree: FileTree, path: string, line: number): Promise<readonly Edit[] | null> {
  const file = await readText(tree, path);
  if (file.status !== 'text') return null;
  const lines = file.text.split('\n');
  const [before = '', own = ''] = [lines[line - 2], lines[line - 1]];
  if (own === '' || before.endsWith('\\') || own.endsWith('\\')) return null;
  return [{ kind: 'write', path, text: lines.with(line - 1, COMMENT + own).join('\n') }];
}

/** Lines of a script: each becomes ":", which does nothing wherever a command may stand. */
async function stopLines(
  tree: FileTree,
  path: string,
  isMeant: (programs: readonly string[], text: string) => boolean,
): Promise<readonly Edit[] | null> {
  const file = await readText(tree, path);
  if (file.status !== 'text' || /<<-?\s*["'\\]?\w/.test(file.text)) return null;
  const lines = file.text.split('\n');
  for (const [index, line] of lines.entries()) {
    if (/^\s*(#|$)/.test(line) || !isMeant(programsOfShell(line), line)) continue;
    const isWhole = !OPENS.test(line) && !GOES_ON.test(line) && !GOES_ON.test(lines[index - 1] ?? '') && isEven(line);
    if (
      !isWhole ||
      !isEven(
        lines
          .slice(0, index)
          .filter((one) => !/^\s*#/.test(one))
          .join('\n'),
      )
    )
      return null;
    lines[index] = line.replace(/^(\s*)/, `$1: ${COMMENT}`);
  }
  const text = lines.join('\n');
  // What is left by variables, loops or other scripts still starts it.
  const left = text.replace(/^[ \t]*(: )?#.*$/gm, '');
  if (text === file.text || isMeant(programsOfShell(left), left)) return null;
  return [{ kind: 'write', path: file.path, text }];
}

/** Quotes come in pairs. */
function isEven(text: string): boolean {
  const bare = text.replace(/\\./g, '');
  return ["'", '"'].every((quote) => (bare.split(quote).length - 1) % 2 === 0);
}

/** What a report calls it: names are the image's own bytes. */
export function placeOf({ way, name, file, line, by }: Start): string {
  const where = file ?? by[0]?.path ?? name;
  return printable(`${where}${line === null ? '' : `, line ${line}`} (${way}: ${name})`.slice(0, PLACE_CHARS_MAX));
}
