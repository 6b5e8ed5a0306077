// Commands as text, followed to the programs that they run: command lines of units, shell scripts, lines of tables.
// It is no shell: what it cannot tell it takes for a program rather than for none.
import { type FileTree, nameOf, textOf } from '../tree/mod.ts';
import type { Runs } from './contract.ts';

const SCRIPT_BYTES_MAX = 256 * 1024;
const TEXT_CHARS_MAX = 64 * 1024;
const SCRIPTS_MAX = 8;
const DEPTH_MAX = 2;
const PROGRAMS_MAX = 400;

/** Programs that run what their arguments name. */
const WRAPPERS = new Set(
  (
    'env nice ionice chrt taskset flock timeout setsid nohup sudo su runuser chpst setuidgid exec time stdbuf ' +
    'systemd-run unshare ' +
    'nsenter chroot start-stop-daemon daemon systemd-cat dumb-init tini doas setpriv prlimit numactl command ' +
    'builtin xargs ' +
    'systemctl service rc-service invoke-rc.d ip'
  ).split(' '),
);
const INTERPRETER =
  /^(sh|bash|dash|ash|ksh|mksh|zsh|busybox|python[\d.]*|perl|ruby[\d.]*|node|nodejs|php[\d.]*|java|lua[\d.]*)$/;
const SHELL = /^(sh|bash|dash|ash|ksh|mksh|zsh|busybox|su|runuser)$/;
const KEYWORDS = new Set('if then elif else fi while until do done ! { } . source eval'.split(' '));
/** What begins with one of them runs nothing. */
const BUILTINS = new Set(
  (
    'for case esac in [ [[ test : set unset export local readonly declare typeset exit return read shift cd ' +
    'trap umask ulimit ' +
    'wait true false echo printf break continue alias hash type'
  ).split(' '),
);
/** Programs that are part of nearly everything: that two starts share one of them says nothing. */
const COMMON = new Set(
  (
    'true false echo printf cat cp mv rm ln mkdir chmod chown install touch sleep kill test expr grep sed awk id ' +
    'logger sync'
  ).split(' '),
);

/** Whether a program is what it is by its arguments, or nothing in particular. */
export function isCommon(program: string): boolean {
  const name = nameOf(program);
  return WRAPPERS.has(name) || INTERPRETER.test(name) || COMMON.has(name) || KEYWORDS.has(name);
}

/** Words of a command line; quotes are taken off. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const match of line.slice(0, TEXT_CHARS_MAX).matchAll(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\]|["'\\])+/gs)) {
    words.push(
      match[0].replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs, (_, double, single, one) => double ?? single ?? one),
    );
  }
  return words;
}

/** What one command, given as words, runs. */
function programsOfWords(words: readonly string[]): string[] {
  const [program, ...rest] = words;
  if (program === undefined || program === '') return [];
  const name = nameOf(program);
  if (!WRAPPERS.has(name) && !INTERPRETER.test(name)) return [program];
  const found = [program];
  const text = SHELL.test(name) ? rest[rest.findIndex((word) => /^-[a-z]*c$/.test(word)) + 1] : undefined;
  if (text !== undefined && rest.some((word) => /^-[a-z]*c$/.test(word))) found.push(...programsOfShell(text));
  found.push(...rest.filter((word) => /^\/[^\s=]+$/.test(word)));
  const next = rest.findIndex((word) => !/^-|^\w+=|^\d/.test(word));
  if (WRAPPERS.has(name) && next >= 0) found.push(...programsOfWords(rest.slice(next)), ...rest.filter(isBare));
  return [...new Set(found)];
}

const isBare = (word: string): boolean => /^[a-z][\w.@+-]*$/i.test(word);

/** Of a text for a shell: what stands where a command stands, with variables that the text itself sets. */
export function programsOfShell(text: string): string[] {
  const bounded = text.slice(0, SCRIPT_BYTES_MAX).replace(/\\\n/g, ' ');
  const variables = new Map<string, string>();
  for (const match of bounded.matchAll(/(?:^|[\s;])([A-Za-z_]\w*)=(?:"([^"$`\n]*)"|'([^'\n]*)'|([^\s"'$`;&|]*))/g)) {
    variables.set(match[1] ?? '', match[2] ?? match[3] ?? match[4] ?? '');
  }
  const found = new Set<string>();
  for (const line of bounded.split('\n')) {
    const bare = line.replace(/(^|\s)#.*$/, '').slice(0, TEXT_CHARS_MAX);
    const known = bare.replace(/\$\{?([A-Za-z_]\w*)\}?/g, (whole, name: string) => variables.get(name) ?? whole);
    for (const segment of known.split(/&&|\|\||[;&|()`]|\$\(/)) {
      let words = wordsOf(segment);
      while (words[0] !== undefined && (KEYWORDS.has(words[0]) || /^[A-Za-z_]\w*=/.test(words[0])))
        words = words.slice(1);
      if (BUILTINS.has(words[0] ?? '')) continue;
      for (const program of programsOfWords(words)) found.add(program);
      if (found.size > PROGRAMS_MAX) return [...found];
    }
  }
  return [...found];
}

/** Without lines that are comments, the one that names the interpreter included. */
export function uncommented(text: string): string {
  return text.replace(/^[ \t]*#.*$/gm, '');
}

/** Absolute paths anywhere in a text: also what a script hands on, or sets variables to. */
function pathsIn(text: string): string[] {
  const paths = uncommented(text).matchAll(/(?<![\w.])\/(?:usr|opt|s?bin|srv|home|root|var|etc|lib\w*)\/[\w.@+/-]+/g);
  return [...paths].map(([path]) => path);
}

export type CommandLines =
  /** Each a program and its arguments. */
  | { readonly kind: 'words'; readonly lines: readonly (readonly string[])[] }
  | { readonly kind: 'shell'; readonly text: string };

/** Follows commands to programs, and programs that are scripts to theirs. */
export async function runsOf(tree: FileTree, commands: CommandLines): Promise<Runs> {
  const isWords = commands.kind === 'words';
  const text = isWords ? commands.lines.map((words) => words.join(' ')).join('\n') : commands.text;
  const programs = isWords ? commands.lines.flatMap(programsOfWords) : programsOfShell(commands.text);
  const { through, scripts } = await scriptsOf(tree, programs);
  return { text: text.slice(0, TEXT_CHARS_MAX), programs: [...new Set(programs)], through, scripts };
}

/** What scripts among these programs run, and their texts. */
export async function scriptsOf(
  tree: FileTree,
  programs: readonly string[],
): Promise<Pick<Runs, 'through' | 'scripts'>> {
  const [through, scripts, seen] = [new Set<string>(), [] as string[], new Set<string>()];
  let front = programs;
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const next: string[] = [];
    for (const path of front.filter((one) => one.startsWith('/') && !seen.has(one))) {
      seen.add(path);
      const text = scripts.length < SCRIPTS_MAX ? await scriptAt(tree, path) : null;
      if (text === null) continue;
      scripts.push(text);
      next.push(...programsOfShell(text), ...pathsIn(text));
    }
    for (const one of next.slice(0, PROGRAMS_MAX)) through.add(one);
    front = next;
  }
  return { through: [...through], scripts };
}

/** Many run the same ones: of trees that do not change. */
const texts = new WeakMap<FileTree, Map<string, string | null>>();

export function rememberScripts(tree: FileTree): void {
  texts.set(tree, new Map());
}

/** Null for what is no script. */
async function scriptAt(tree: FileTree, path: string): Promise<string | null> {
  const known = texts.get(tree);
  const text = known?.get(path);
  if (text !== undefined) return text;
  const head = await tree.read(path, 2);
  const isScript = head !== null && head.toString('latin1') === '#!';
  const bytes = isScript ? await tree.read(path, SCRIPT_BYTES_MAX) : null;
  const fresh = bytes === null ? null : (textOf(bytes) ?? bytes.toString('latin1'));
  known?.set(path, fresh);
  return fresh;
}
