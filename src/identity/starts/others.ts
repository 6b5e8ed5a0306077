// Programs that start others: supervisord, runit and its kin, pm2, monit, inetd; and containers and machines that
// start with the host.
import { type FileTree, join, nameOf } from '../tree/mod.ts';
import { runsOf } from './commands.ts';
import type { Reader, Start, Way } from './contract.ts';
import { textAt } from './text-at.ts';
import { usersOf } from './users.ts';

const SUPERVISOR = [
  '/etc/supervisor/supervisord.conf',
  '/etc/supervisord.conf',
  '/etc/supervisor/conf.d',
  '/etc/supervisord.d',
  '/etc/supervisor.d',
];
/** Each folder in them is a service: runsvdir(8), svscan of daemontools and s6. */
const SERVICE_FOLDERS = [
  '/etc/service',
  '/service',
  '/var/service',
  '/etc/runit/runsvdir/default',
  '/etc/s6-overlay/s6-rc.d',
];
const MONIT = ['/etc/monit/monitrc', '/etc/monitrc', '/etc/monit/conf.d', '/etc/monit/conf-enabled', '/etc/monit.d'];
/** A file each; those of libvirt are links. */
const MACHINES: readonly (readonly [folder: string, pattern: RegExp])[] = [
  ['/etc/libvirt/qemu/autostart', /\.xml$/],
  ['/etc/libvirt/lxc/autostart', /\.xml$/],
  ['/etc/kubernetes/manifests', /\.(ya?ml|json)$/],
  ['/etc/containers/systemd', /\.(container|pod|kube)$/],
  ['/etc/containers/systemd/users', /\.(container|pod|kube)$/],
  ['/usr/share/containers/systemd', /\.(container|pod|kube)$/],
];
const LISTED_MAX = 2000;

const start = (
  way: Way,
  name: string,
  path: string,
  line: number | null,
  runs: Awaited<ReturnType<typeof runsOf>>,
): Start => ({
  ...{ way, name, aliases: [], by: [{ kind: 'file', path }], file: path, line },
  ...runs,
});
const nothing = { text: '', programs: [], through: [], scripts: [] } as const;

export const supervisedStarts: Reader = async (tree, cut) => [
  ...(await supervisord(tree)),
  ...(await serviceFolders(tree)),
  ...(await pm2(tree, cut)),
  ...(await monit(tree)),
  ...(await inetd(tree)),
];

async function filesIn(tree: FileTree, place: string): Promise<readonly string[]> {
  const entry = await tree.stat(place);
  if (entry?.kind === 'file') return [entry.path];
  const names = entry?.kind === 'folder' ? await tree.list(place) : [];
  const files: string[] = [];
  for (const name of names.slice(0, LISTED_MAX)) {
    const one = await tree.stat(join(place, name));
    if (one?.kind === 'file') files.push(one.path);
  }
  return files;
}

/** `[program:NAME]` with `command=`, unless `autostart=false`. */
async function supervisord(tree: FileTree): Promise<Start[]> {
  const starts: Start[] = [];
  for (const place of SUPERVISOR) {
    for (const path of await filesIn(tree, place)) {
      const sections = (await textAt(tree, path)).split(/^(?=\[)/m);
      let line = 1;
      for (const section of sections) {
        const name = /^\[(?:program|eventlistener|fcgi-program):([^\]]+)\]/.exec(section)?.[1];
        const command = /^[ \t]*command\s*=\s*(.+)$/m.exec(section)?.[1];
        if (name !== undefined && command !== undefined && !/^[ \t]*autostart\s*=\s*(false|0|off|no)\b/im.test(section))
          starts.push(start('supervisor', name, path, line, await runsOf(tree, { kind: 'shell', text: command })));
        line += section.split('\n').length - 1;
      }
    }
  }
  return starts;
}

async function serviceFolders(tree: FileTree): Promise<Start[]> {
  const [starts, seen] = [[] as Start[], new Set<string>()];
  for (const folder of SERVICE_FOLDERS) {
    for (const name of (await tree.list(folder)).slice(0, LISTED_MAX)) {
      const path = join(folder, name);
      const run = await tree.stat(join(path, 'run'));
      // "down": it is not started by itself.
      if (run?.kind !== 'file' || seen.has(run.path) || (await tree.lstat(join(path, 'down'))) !== null) continue;
      seen.add(run.path);
      const runs = await runsOf(tree, { kind: 'shell', text: await textAt(tree, run.path) });
      starts.push({ ...start('supervisor', name, run.path, null, runs), by: [{ kind: 'link', path }] });
    }
  }
  return starts;
}

/** The list that "pm2 save" keeps for "pm2 resurrect". */
async function pm2(tree: FileTree, cut: (why: string) => void): Promise<Start[]> {
  const starts: Start[] = [];
  for (const { home, name } of await usersOf(tree, cut)) {
    const path = (await tree.stat(join(home, '.pm2/dump.pm2')))?.path;
    if (path === undefined) continue;
    const text = await textAt(tree, path);
    const programs = [...text.matchAll(/"pm_exec_path"\s*:\s*"([^"\n]+)"/g)].map(([, program = '']) => program);
    for (const program of programs.slice(0, LISTED_MAX))
      starts.push(
        start('supervisor', `${name}: ${nameOf(program)}`, path, null, {
          ...nothing,
          text: program,
          programs: [program],
        }),
      );
  }
  return starts;
}

/** `start program = "..."`: monit starts what does not run. */
async function monit(tree: FileTree): Promise<Start[]> {
  const starts: Start[] = [];
  for (const place of MONIT) {
    for (const path of await filesIn(tree, place)) {
      for (const [index, line] of (await textAt(tree, path)).split('\n').entries()) {
        const command = /^[^#]*\bstart(?: program)?\s*=?\s*["']([^"']+)["']/i.exec(line)?.[1];
        if (command === undefined) continue;
        const runs = await runsOf(tree, { kind: 'shell', text: command });
        starts.push(start('supervisor', `monit ${nameOf(path)}`, path, index + 1, runs));
      }
    }
  }
  return starts;
}

/** inetd.conf(5): the sixth field is the program; xinetd.conf(5): "server", unless "disable = yes". */
async function inetd(tree: FileTree): Promise<Start[]> {
  const starts: Start[] = [];
  for (const [index, line] of (await textAt(tree, '/etc/inetd.conf')).split('\n').entries()) {
    const fields = line.trim().split(/\s+/);
    if (line.startsWith('#') || fields.length < 6 || fields[5] === 'internal') continue;
    const runs = await runsOf(tree, { kind: 'words', lines: [fields.slice(5)] });
    starts.push(start('inetd', fields[0] ?? '', '/etc/inetd.conf', index + 1, runs));
  }
  for (const path of await filesIn(tree, '/etc/xinetd.d')) {
    const text = await textAt(tree, path);
    const server = /^[ \t]*server\s*=\s*(\S+)/m.exec(text)?.[1];
    if (server === undefined || /^[ \t]*disable\s*=\s*yes/m.test(text)) continue;
    const words = [server, ...(/^[ \t]*server_args\s*\+?=\s*(.*)$/m.exec(text)?.[1] ?? '').split(/\s+/)];
    starts.push(start('inetd', nameOf(path), path, null, await runsOf(tree, { kind: 'words', lines: [words] })));
  }
  return starts;
}

/** What starts with the host and has a system of its own. What runs inside is not followed. */
export const containerStarts: Reader = async (tree, cut) => {
  const starts: Start[] = [];
  const homes = (await usersOf(tree, cut)).map(({ home }) => join(home, '.config/containers/systemd'));
  const all = [...MACHINES, ...homes.map((home) => [home, /\.(container|pod|kube)$/] as const)];
  for (const [folder, pattern] of all) {
    for (const name of (await tree.list(folder)).filter((one) => pattern.test(one)).slice(0, LISTED_MAX))
      starts.push(start('container', name, join(folder, name), null, nothing));
  }
  for (const name of (await tree.list('/var/lib/lxc')).slice(0, LISTED_MAX)) {
    const path = join(join('/var/lib/lxc', name), 'config');
    if (/^[ \t]*lxc\.start\.auto\s*=\s*1/m.test(await textAt(tree, path)))
      starts.push(start('container', name, path, null, nothing));
  }
  for (const name of (await tree.list('/var/lib/docker/containers')).slice(0, LISTED_MAX)) {
    const path = join(join('/var/lib/docker/containers', name), 'hostconfig.json');
    const policy = /"RestartPolicy"\s*:\s*\{\s*"Name"\s*:\s*"(\w[\w-]*)"/.exec(await textAt(tree, path))?.[1];
    if (policy !== undefined && policy !== 'no')
      starts.push(start('container', name.slice(0, 12), path, null, nothing));
  }
  return starts;
};
