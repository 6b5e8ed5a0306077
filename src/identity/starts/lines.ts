// Ways in which a line of a file is what starts something: rc.local, ifupdown (interfaces(5)), udev(7), hooks of
// networks.
import { type FileTree, join, nameOf } from '../tree/mod.ts';
import { runsOf } from './commands.ts';
import type { Reader, Start, Way } from './contract.ts';
import { isRunnable, textAt } from './text-at.ts';

const FILES_MAX = 2000;
/** Run once at the end of booting. The last two by SUSE, and by OpenRC's service "local". */
const LOCAL = ['/etc/rc.local', '/etc/rc.d/rc.local', '/etc/init.d/boot.local', '/etc/init.d/after.local'];
const LOCAL_FOLDER = '/etc/local.d';
const INTERFACES = '/etc/network/interfaces';
/** Options whose value is a command. */
const OPTION = /^\s*(pre-up|up|post-up|down|pre-down|post-down)\s+(.+)$/;
/** What hooks of packages make of other options: of openvpn, and of ifupdown-ng and ifupdown2. */
const TUNNEL = /^\s*(openvpn|wireguard-config-path|use\s+(?=wireguard))\s*(\S.*)$/;
const UDEV = ['/etc/udev/rules.d', '/usr/local/lib/udev/rules.d', '/usr/lib/udev/rules.d', '/lib/udev/rules.d'];
/** Scripts in these folders run when networks come and go. */
const HOOKS = [
  '/etc/network/if-pre-up.d',
  '/etc/network/if-up.d',
  '/etc/network/if-down.d',
  '/etc/network/if-post-down.d',
  '/etc/NetworkManager/dispatcher.d',
  '/etc/NetworkManager/dispatcher.d/pre-up.d',
  '/etc/NetworkManager/dispatcher.d/no-wait.d',
  '/usr/lib/NetworkManager/dispatcher.d',
  '/etc/networkd-dispatcher/routable.d',
  '/etc/networkd-dispatcher/configured.d',
  '/etc/networkd-dispatcher/carrier.d',
  '/etc/networkd-dispatcher/degraded.d',
  '/etc/networkd-dispatcher/no-carrier.d',
  '/etc/networkd-dispatcher/off.d',
  '/etc/dhcp/dhclient-enter-hooks.d',
  '/etc/dhcp/dhclient-exit-hooks.d',
  '/etc/dhcpcd.enter-hook',
  '/etc/dhcpcd.exit-hook',
  '/usr/lib/systemd/system-sleep',
  '/usr/lib/systemd/system-shutdown',
  '/etc/ppp/ip-up.d',
  '/etc/wicked/scripts',
  '/etc/sysconfig/network/scripts',
  '/etc/sysconfig/network-scripts/ifup-local',
  '/sbin/ifup-local',
];

/** What lines of a file make start, by that file alone, so that it can be asked again after a change. */
async function linesOf(
  tree: FileTree,
  path: string,
  way: Way,
  commandsIn: (line: string) => string | null,
): Promise<readonly Start[]> {
  const again = (now: FileTree) => linesOf(now, path, way, commandsIn);
  const starts: Start[] = [];
  for (const { line, text } of logicalLines(await textAt(tree, path))) {
    const commands = commandsIn(text);
    if (commands === null) continue;
    const runs = await runsOf(tree, { kind: 'shell', text: commands });
    if (runs.programs.length === 0) continue;
    starts.push({
      way,
      name: nameOf(path),
      aliases: [],
      by: [{ kind: 'file', path }],
      file: path,
      line,
      ...runs,
      again,
    });
  }
  return starts;
}

/** Lines that end with a backslash go on in the next one. */
function logicalLines(text: string): { line: number; text: string }[] {
  const lines: { line: number; text: string }[] = [];
  let open: { line: number; text: string } | null = null;
  for (const [index, line] of text.split('\n').entries()) {
    const current: { line: number; text: string } = open ?? { line: index + 1, text: '' };
    current.text += line.replace(/\\$/, ' ');
    open = line.endsWith('\\') ? current : null;
    if (open === null) lines.push(current);
  }
  return open === null ? lines : [...lines, open];
}

/** A script as a whole is one start: its lines are parts of one text that a shell reads. */
async function scriptStart(tree: FileTree, path: string, way: Way): Promise<readonly Start[]> {
  const entry = await tree.stat(path);
  if (entry?.kind !== 'file') return [];
  const runs = await runsOf(tree, { kind: 'shell', text: await textAt(tree, entry.path) });
  const again = (now: FileTree) => scriptStart(now, path, way);
  return [
    {
      way,
      name: nameOf(path),
      aliases: [],
      by: [{ kind: 'file', path }],
      file: entry.path,
      line: null,
      ...runs,
      again,
    },
  ];
}

export const localStarts: Reader = async (tree) => {
  const starts: Start[] = [];
  const seen = new Set<string>();
  const more = (await tree.list(LOCAL_FOLDER)).filter((name) => name.endsWith('.start'));
  for (const path of [...LOCAL, ...more.map((name) => join(LOCAL_FOLDER, name))]) {
    const entry = await tree.stat(path);
    // Nothing runs what may not be run.
    if (entry?.kind !== 'file' || !isRunnable(entry.mode) || seen.has(entry.path)) continue;
    seen.add(entry.path);
    starts.push(...(await scriptStart(tree, entry.path, 'rc.local')).filter(({ programs }) => programs.some(isWork)));
  }
  return starts;
};

/** A file that only says "exit 0" starts nothing. */
const isWork = (program: string): boolean => !/^(exit|return|:|true|set|sleep)$/.test(program);

export const ifupdownStarts: Reader = async (tree, cut) => {
  const starts: Start[] = [];
  for (const path of await interfacesFiles(tree, cut)) {
    starts.push(
      ...(await linesOf(tree, path, 'ifupdown', (line) => {
        const [, tunnel, name = ''] = TUNNEL.exec(line) ?? [];
        if (tunnel !== undefined) return tunnel === 'openvpn' ? `openvpn ${name}` : `wg setconf $IFACE ${name}`;
        return OPTION.exec(line)?.[2] ?? null;
      })),
    );
  }
  return starts;
};

/** The file itself and all that it names: "source" takes files and patterns, both lead to whole folders here. */
async function interfacesFiles(tree: FileTree, cut: (why: string) => void): Promise<readonly string[]> {
  const files = new Set<string>();
  const queue = [INTERFACES];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    const entry = await tree.stat(path);
    if (entry?.kind === 'folder') queue.push(...(await tree.list(path)).map((name) => join(entry.path, name)));
    if (entry?.kind !== 'file' || files.has(entry.path)) continue;
    files.add(entry.path);
    if (files.size > FILES_MAX) {
      cut(`${INTERFACES} names more files than can be looked at`);
      break;
    }
    for (const [, named = ''] of (await textAt(tree, path)).matchAll(/^[ \t]*(?:source|source-directory)\s+(\S+)/gm)) {
      const whole = named.startsWith('/') ? named : join('/etc/network', named);
      const at = whole.search(/[*?[]/);
      queue.push(at < 0 ? whole : whole.slice(0, whole.lastIndexOf('/', at)));
    }
  }
  return [...files];
}

/** `RUN+="program"`, also `RUN{program}+=`, and what is run while a rule is read. */
export const udevStarts: Reader = async (tree) => {
  const [starts, seen] = [[] as Start[], new Set<string>()];
  for (const folder of UDEV) {
    for (const name of (await tree.list(folder)).filter((one) => one.endsWith('.rules'))) {
      if (seen.has(name)) continue;
      seen.add(name);
      const path = (await tree.stat(join(folder, name)))?.path;
      if (path === undefined) continue;
      starts.push(
        ...(await linesOf(tree, path, 'udev', (line) => {
          if (/^\s*#/.test(line)) return null;
          const commands = [
            ...line.matchAll(/(?:RUN(?:\{program\})?\s*\+?:?=|PROGRAM\s*==?|IMPORT\{program\}\s*==?)\s*e?"([^"]*)"/g),
          ];
          return commands.length === 0 ? null : commands.map(([, command = '']) => inUdev(command)).join('\n');
        })),
      );
    }
  }
  return starts;
};

/** Programs without a path lie in udev's own folder. */
function inUdev(command: string): string {
  return command.startsWith('/') || /^\$/.test(command) ? command : `/usr/lib/udev/${command}`;
}

export const hookStarts: Reader = async (tree) => {
  const starts: Start[] = [];
  for (const place of HOOKS) {
    const isFolder = (await tree.stat(place))?.kind === 'folder';
    const paths = isFolder ? (await tree.list(place)).map((name) => join(place, name)) : [place];
    for (const path of paths) {
      const entry = await tree.stat(path);
      // Hooks of DHCP clients are read by their scripts; all others are run.
      if (entry?.kind === 'file' && (isRunnable(entry.mode) || path.startsWith('/etc/dhc')))
        starts.push(...(await scriptStart(tree, path, 'hook')));
    }
  }
  return starts;
};
