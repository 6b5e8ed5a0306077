// Run levels: the links of System V init (Debian, Red Hat, SUSE) and of OpenRC (openrc-run(8)), and inittab(5).
import { type FileTree, join, nameOf } from '../tree/mod.ts';
import { runsOf, uncommented, wordsOf } from './commands.ts';
import type { Reader, Start } from './contract.ts';
import { textAt } from './text-at.ts';

const LEVELS = ['/etc', '/etc/rc.d', '/etc/init.d'];
const LEVEL = /^(rc[1-5S]|boot)\.d$/;
const UNITS = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];
const OPENRC = '/etc/runlevels';
const UPSTART = '/etc/init';
/** Lines of a job that run nothing. */
const STANZA = new RegExp(
  `^(${[
    'start|stop|respawn|description|author|version|usage|env|export|expect|console|limit|umask|nice|oom|chdir|chroot',
    'setuid|setgid|instance|emits|task|manual|normal exit|kill (timeout|signal)|reload signal|apparmor',
  ].join('|')})\\b.*$`,
  'gm',
);
const LINKS_MAX = 4000;

/** Links "S20name" in the folders of run levels in which a system runs. */
export const sysvStarts: Reader = async (tree, cut) => {
  const found = new Map<string, Start>();
  const hasSystemd = await isSystemd(tree);
  const folders = new Set<string>();
  for (const above of LEVELS) {
    for (const level of (await tree.list(above)).filter((name) => LEVEL.test(name))) {
      const folder = (await tree.stat(join(above, level)))?.path;
      if (folder !== undefined) folders.add(folder);
    }
  }
  let left = LINKS_MAX;
  for (const folder of [...folders].sort()) {
    for (const link of (await tree.list(folder)).filter((name) => /^S\d*./.test(name))) {
      const service = link.replace(/^S\d*/, '');
      left -= 1;
      if (left === 0) cut('there are more links of run levels than can be looked at');
      if (left <= 0) break;
      // A unit of the same name stands for the script: systemd-sysv-generator(8).
      if (hasSystemd && (await hasUnit(tree, service))) continue;
      const by = { kind: 'link', path: join(folder, link) } as const;
      const known = found.get(service);
      if (known !== undefined) found.set(service, { ...known, by: [...known.by, by] });
      else found.set(service, await serviceStart(tree, 'sysv', service, by.path));
    }
  }
  return [...found.values()];
};

async function isSystemd(tree: FileTree): Promise<boolean> {
  for (const path of ['/sbin/init', '/usr/sbin/init', '/bin/init']) {
    const entry = await tree.lstat(path);
    if (entry !== null) return entry.kind === 'link' && nameOf(entry.target ?? '') === 'systemd';
  }
  return (await tree.stat('/usr/lib/systemd/systemd')) !== null || (await tree.stat('/lib/systemd/systemd')) !== null;
}

async function hasUnit(tree: FileTree, service: string): Promise<boolean> {
  for (const folder of UNITS) if ((await tree.lstat(join(folder, `${service}.service`))) !== null) return true;
  return false;
}

/** The script that a link leads to, or that has its name. */
async function serviceStart(tree: FileTree, way: Start['way'], service: string, link: string): Promise<Start> {
  const linked = await tree.stat(link);
  const script = linked?.kind === 'file' ? linked : await tree.stat(join('/etc/init.d', service));
  const text = script?.kind === 'file' ? await textAt(tree, script.path) : '';
  const runs = await runsOf(tree, { kind: 'shell', text });
  const settings = `${text}\n${await textAt(tree, join('/etc/conf.d', service))}`;
  return {
    way,
    name: service,
    aliases: [],
    by: [{ kind: 'link', path: link }],
    file: script?.kind === 'file' ? script.path : null,
    line: null,
    ...runs,
    text: settings,
    // A script is the service: what it runs is what is started.
    programs: [...new Set([...runs.programs, ...pathsOf(settings)])],
  };
}

function pathsOf(text: string): string[] {
  return [...uncommented(text).matchAll(/(?<![\w.])\/(?:usr|opt|s?bin|srv|home)\/[\w.@+/-]+/g)].map(([path]) => path);
}

/** Links in the folders of OpenRC's run levels, and what those services need or want in turn. */
export const openrcStarts: Reader = async (tree, cut) => {
  const found = new Map<string, Start>();
  const queue: { service: string; by: Start['by'][number] }[] = [];
  for (const level of await tree.list(OPENRC)) {
    for (const service of await tree.list(join(OPENRC, level))) {
      const path = join(join(OPENRC, level), service);
      const kind = (await tree.lstat(path))?.kind;
      if (kind === 'link' || kind === 'file') queue.push({ service, by: { kind: 'link', path } });
    }
  }
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { service, by } = next;
    const known = found.get(service);
    if (known !== undefined) {
      found.set(service, { ...known, by: [...known.by, by] });
      continue;
    }
    if (found.size >= LINKS_MAX) {
      cut('OpenRC starts more services than can be looked at');
      break;
    }
    const start = await serviceStart(tree, 'openrc', service, by.path);
    // Names that no script has are those of virtual services such as "net".
    if (by.kind === 'unit' && start.file === null) continue;
    found.set(service, { ...start, by: [by] });
    const script = start.file;
    if (script !== null)
      queue.push(...pulledBy(start.text).map((one) => ({ ...one, by: unitCause(script, service, one.needs) })));
  }
  return [...found.values()];
};

const unitCause = (path: string, unit: string, needs: boolean) => ({ kind: 'unit', path, unit, needs }) as const;

function pulledBy(text: string): { service: string; needs: boolean }[] {
  return [...text.matchAll(/^[ \t]*(?:rc_)?(need|want)(?:\s+|=)["']?([^"'\n#;]+)/gm)].flatMap(([, kind, names = '']) =>
    names
      .trim()
      .split(/\s+/)
      .filter((name) => /^[\w.@-]+$/.test(name))
      .map((service) => ({ service, needs: kind === 'need' })),
  );
}

/** Lines of inittab(5): "id:levels:action:process", also as busybox has it. Of no use to systemd. */
export const inittabStarts: Reader = async (tree) => ((await isSystemd(tree)) ? [] : inittabIn(tree));

async function inittabIn(tree: FileTree): Promise<readonly Start[]> {
  const path = (await tree.stat('/etc/inittab'))?.path;
  if (path === undefined) return [];
  const starts: Start[] = [];
  for (const [index, line] of (await textAt(tree, path)).split('\n').entries()) {
    const [, id, action, process] = /^([^#:]*):[^:]*:(\w+):(.+)$/.exec(line.trim()) ?? [];
    if (action === undefined || process === undefined || /^(initdefault|off|ctrlaltdel|power\w*)$/.test(action))
      continue;
    const runs = await runsOf(tree, { kind: 'shell', text: wordsOf(process).join(' ').replace(/^[-+]/, '') });
    const name = id === undefined || id === '' ? 'inittab' : `inittab ${id}`;
    starts.push({
      ...{ way: 'inittab', name, aliases: [], by: [{ kind: 'file', path }], file: path, line: index + 1 },
      ...runs,
      again: inittabIn,
    });
  }
  return starts;
}

/** Jobs of Upstart (Ubuntu to 14.10, RHEL 6): init(5). An override "manual" takes "start on" away. */
export const upstartStarts: Reader = async (tree) => {
  const starts: Start[] = [];
  for (const name of (await tree.list(UPSTART)).filter((one) => one.endsWith('.conf'))) {
    const path = join(UPSTART, name);
    const override = await textAt(tree, path.replace(/\.conf$/, '.override'));
    const text = `${await textAt(tree, path)}\n${override}`;
    if (!/^start on\b/m.test(text) || /^manual\b/m.test(override)) continue;
    const runs = await runsOf(tree, { kind: 'shell', text: commandsOfJob(text) });
    const by = [{ kind: 'link', path }] as const;
    starts.push({
      way: 'upstart',
      name: name.replace(/\.conf$/, ''),
      aliases: [],
      by,
      file: path,
      line: null,
      ...runs,
    });
  }
  return starts;
};

/** Without the words of Upstart: what is left is for a shell. */
function commandsOfJob(text: string): string {
  const commands = text.replace(/^[ \t]*(((pre|post)-(start|stop) )?(exec|script)|end script)\b/gm, '');
  return commands.replace(STANZA, '');
}
