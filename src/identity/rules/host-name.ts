// The name that a system gives itself when it starts: hostname(5), and what systems before and beside systemd have in
// its place; what the kernel's command line and sysctl.d(5) set over it.
import type { Finding, HostIdentity } from '../contract.ts';
import { fullNameOf } from '../correspondence.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { filesAt } from './glob.ts';
import { COMMAND_LINES } from './machine-ids.ts';

const RULE = 'host-name';
const PATH = '/etc/hostname';
const NONE = '(none)';
const WHY = 'Two hosts of one name are mistaken for each other in logs, mail, monitoring and clusters.';

/** A file whose first line that says anything is the name; or lines of which group 1 is. */
interface Place {
  readonly at: readonly string[];
  readonly lines?: RegExp;
  /** What people are shown, which may be any text. */
  readonly isPretty?: boolean;
}

/** Those that say the name come before those that only set it once more. */
const NAMES: readonly Place[] = [
  // The second: SUSE Linux Enterprise 11 and older.
  { at: [PATH, '/etc/HOSTNAME'] },
  // Red Hat Enterprise Linux 6 and older; Arch Linux until 2012.
  { at: ['/etc/sysconfig/network', '/etc/rc.conf'], lines: /^\s*HOSTNAME=["']?([^"'\s#]+)/ },
  // OpenRC, as Gentoo has it.
  { at: ['/etc/conf.d/hostname'], lines: /^\s*hostname=["']?([^"'\s#]+)/i },
];
const PLACES: readonly Place[] = [
  ...NAMES,
  { at: COMMAND_LINES, lines: /^(?!\s*#).*\bsystemd\.hostname=["']?([^"'\s]+)/ },
  {
    at: ['/etc/sysctl.conf', '/{etc,run,usr/local/lib}/sysctl.d/*.conf'],
    lines: /^\s*-?kernel[./]hostname\s*=\s*(\S+)/,
  },
  {
    at: ['/etc/{rc.local,rc.d/rc.local,init.d/boot.local}'],
    lines: /^\s*(?:\/\S*\/)?hostname\s+([A-Za-z0-9][\w.-]*)\s*$/,
  },
  {
    at: ['/etc/{rc.local,rc.d/rc.local,init.d/boot.local}'],
    lines: /^\s*(?:\/\S*\/)?hostnamectl\s+(?:set-)?hostname\s+["']?([\w.-]+)/,
  },
  // machine-info(5)
  { at: ['/etc/machine-info'], lines: /^\s*PRETTY_HOSTNAME=(?:"([^"]*)"|'([^']*)'|(\S+))/, isPretty: true },
];

export const hostNameRule: Rule = {
  name: RULE,
  async find(tree) {
    const found = new Map<string, Finding>();
    for (const place of PLACES) {
      for (const path of await pathsOf(tree, place)) {
        const one = await findIn(tree, path, place);
        // A system that has its name elsewhere does not need this file.
        if (one?.value === NONE && (await hostNameIn(tree)) !== null && (await tree.lstat(path)) === null) continue;
        if (one !== null) found.set(`${one.path} ${one.value}`, one);
      }
    }
    return [...found.values()];
  },
  async change(found, tree, { understudy }) {
    const file = await readText(tree, found.path);
    let text = file.status === 'text' ? file.text : '';
    for (const place of PLACES) {
      const paths = await pathsOf(tree, place);
      if (await leadsTo(tree, paths, found.path)) text = changed(text, place, understudy);
    }
    return file.status === 'text' && text === file.text ? [] : [{ kind: 'write', path: found.path, text }];
  },
  async verify(tree, { understudy }) {
    const problems: string[] = [];
    for (const place of PLACES) {
      for (const path of await pathsOf(tree, place)) {
        const file = await readText(tree, path);
        const others = file.status === 'text' ? valuesIn(file.text, place).filter((one) => !isOf(understudy, one)) : [];
        for (const name of others) problems.push(`${path} says "${name}" and not "${understudy.hostName}"`);
      }
    }
    return [...new Set(problems)];
  },
};

/** Null when the image has no such file that can be read. */
export async function hostNameIn(tree: FileTree): Promise<string | null> {
  let name: string | null = null;
  for (const place of NAMES) {
    for (const path of place.at) {
      const file = await readText(tree, path);
      if (file.status !== 'text') continue;
      const [value = ''] = valuesIn(file.text, place);
      if (value !== '') return value;
      if (place.lines === undefined) name ??= '';
    }
  }
  return name;
}

/** /etc/hostname is looked for where it is missing, too. */
async function pathsOf(tree: FileTree, { at, lines }: Place): Promise<readonly string[]> {
  return lines === undefined ? at : (await filesAt(tree, at)).files.map(({ path }) => path);
}

async function leadsTo(tree: FileTree, paths: readonly string[], canonical: string): Promise<boolean> {
  for (const path of paths) if ((await tree.place(path))?.path === canonical) return true;
  return false;
}

async function findIn(tree: FileTree, path: string, place: Place): Promise<Finding | null> {
  const file = await readText(tree, path);
  const isOwnFile = place.lines === undefined;
  if (file.status === 'unusable') return isOwnFile ? unusable(RULE, file) : null;
  if (file.path === null || (file.status === 'absent' && path !== PATH)) return null;
  const values = file.status === 'text' ? valuesIn(file.text, place) : [];
  if (values.length === 0 && !(isOwnFile && path === PATH)) return null;
  const value = values.join(', ') || NONE;
  return finding({ rule: RULE, path: file.path, value, why: WHY, action: 'rewrite' });
}

function valuesIn(text: string, { lines }: Place): readonly string[] {
  if (lines === undefined) return [lineIn(text)?.trim() ?? ''].filter((name) => name !== '');
  return text.split('\n').flatMap((line) => valueIn(line, lines)?.value ?? []);
}

function valueIn(
  line: string,
  lines: RegExp,
): { readonly value: string; readonly from: number; readonly to: number } | null {
  const match = new RegExp(lines.source, `${lines.flags}d`).exec(line);
  const group = match === null ? -1 : match.findIndex((one, index) => index > 0 && one !== undefined);
  const [from, to] = match?.indices?.[group] ?? [0, 0];
  return group <= 0 ? null : { value: line.slice(from, to), from, to };
}

function changed(text: string, place: Place, understudy: HostIdentity): string {
  const { lines, isPretty = false } = place;
  if (lines === undefined) return withName(text, nameFor(lineIn(text)?.trim() ?? '', understudy));
  return text
    .split('\n')
    .map((line) => {
      const found = valueIn(line, lines);
      if (found === null || isOf(understudy, found.value)) return line;
      const name = isPretty ? understudy.hostName : nameFor(found.value, understudy);
      return line.slice(0, found.from) + name + line.slice(found.to);
    })
    .join('\n');
}

function nameFor(value: string, understudy: HostIdentity): string {
  return value.includes('.') ? fullNameOf(understudy) : understudy.hostName;
}

function isOf(host: HostIdentity, name: string): boolean {
  return name === host.hostName || name === fullNameOf(host);
}

/** The first line that is neither empty nor a comment. */
function lineIn(text: string): string | undefined {
  return text.split('\n').find((line) => line.trim() !== '' && !line.trim().startsWith('#'));
}

function withName(text: string, name: string): string {
  const line = lineIn(text);
  if (line === undefined) return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${name}\n`;
  if (line.trim() === name) return text;
  return text
    .split('\n')
    .map((one) => (one === line ? name : one))
    .join('\n');
}
