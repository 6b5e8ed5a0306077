// A process of ours that reads images which somebody hostile may have made: an own user where root starts it, an empty
// environment, no network, none of the machine's files but programs and libraries, no other processes, a filter of
// system calls, and limits of memory and tasks. What it may touch lies in one folder that only it has: the images, and
// the folder for its work.
//
// Root hands it an image through a daemon that knows no format (a raw block node, shown by FUSE), since it may not open
// the image itself; that daemon opens what we have opened, not a name again. docs/decisions/0076-reader-processes.md
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, lstatSync, statSync, writeSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { errnoOf, requireTool, UnderstudyError } from '../base/mod.ts';
import { createPipe, ownSessionKeyring } from '../linux/mod.ts';
import { ControlGroup, type GroupLimits } from './control-group.ts';
import { OWN_USER } from './own-user.ts';
import { filterOf } from './refused-calls.ts';
import { watchOver } from './watch.ts';

export interface ReaderImage {
  /** Opened by us, for what is to be done with it; null: it is reached by `block`. */
  readonly fd: number | null;
  /** Absolute, without links; '' where there is no file. What lies there has to be what `fd` is. */
  readonly path: string;
  /** As blockdev-add of QEMU's monitor takes it, for what is no file: an NBD server. */
  readonly block: Readonly<Record<string, unknown>> | null;
  readonly writable: boolean;
}

export interface ReaderOptions {
  /** The JavaScript file that it runs; absolute. */
  readonly program: string;
  /** Absolute, and its own: whoever asks has given it to the user of the reader. Null: it needs none. */
  readonly stateFolder: string | null;
  readonly images: readonly ReaderImage[];
  /**
   * It keeps root's rights, for mounts by the kernel: only its environment, its processes and its limits are its own.
   */
  readonly keepsRoot: boolean;
  readonly limits: GroupLimits;
}

/** Descriptors beside the three of every process. */
const FILTER_FD = 3;
const STEP_FD = 4;
const IMAGE_FD = 5;
/** Of one process: V8 ends itself with a message there, before the limit of all together does without. */
const HEAP_MIB = 2048;
const DAEMON_BYTES_MAX = 1024 ** 3;
const PLACES = ['/mnt', '/media', '/srv', '/opt'];
/** `setfcap` and the two before it make namespaces of users for programs of an image (user_namespaces(7)). */
const ROOT_RIGHTS = [
  ...['sys_admin', 'sys_chroot', 'chown', 'dac_override', 'dac_read_search', 'fowner', 'fsetid', 'kill'],
  ...['setuid', 'setgid', 'setpcap', 'setfcap'],
];
/** Directories of programs and libraries, which on most systems are links into /usr. */
const SYSTEM = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
/** Its numbers (Linux allocated devices, "misc"). */
const FUSE_DEVICE = '10 229';
const PATH_FOLDERS_MAX = 32;
const SETTINGS = ['/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d', '/etc/alternatives', '/etc/mke2fs.conf'];

let hasOwnKeyring = false;

export class Reader {
  readonly child: ChildProcess;
  /** Where it finds its folder, the images, and programs. */
  readonly places: { readonly state: string; readonly images: readonly string[]; readonly path: string };
  /** How it is bound to its memory and tasks. */
  readonly boundBy: 'control group' | 'watchdog';
  readonly #group: ControlGroup | null;
  readonly #closed: Promise<unknown>;
  #exceeded: string | null = null;
  #stopWatch = (): void => {};

  private constructor(child: ChildProcess, places: Reader['places'], group: ControlGroup | null, limits: GroupLimits) {
    this.child = child;
    this.places = places;
    this.#group = group;
    this.boundBy = group === null ? 'watchdog' : 'control group';
    this.#closed = once(child, 'close').catch(() => undefined);
    if (group !== null || child.pid === undefined) return;
    this.#stopWatch = watchOver(child.pid, limits, (what) => {
      this.#exceeded = what;
      this.kill();
    });
  }

  /**
   * Its first word on its standard output says that it runs; what it says on standard error, why it did not. @throws
   * TOOL_MISSING
   */
  static start(options: ReaderOptions): Reader {
    const { images, limits, keepsRoot } = options;
    for (const [tool, from] of toolsFor(options)) requireTool(tool, from);
    enterOwnKeyring();
    const group = ControlGroup.make(limits);
    const top = placeFor(options);
    const state = keepsRoot && options.stateFolder !== null ? options.stateFolder : join(top, 'state');
    const path = keepsRoot ? (process.env.PATH ?? '') : pathIn(top);
    const places = { path, state, images: images.map((_, index) => join(top, 'image', String(index))) };
    const filter = keepsRoot ? null : filterPipe();
    const fds = images.map(({ fd }) => fd ?? ('ignore' as const));
    try {
      const script = scriptFor(options, top, group);
      // A user who is not root gets the rights to mount by a namespace of users, in which there is nobody else.
      const rights = isRoot() ? [] : ['--user', '--map-root-user'];
      // A process namespace ends with its first process, and nothing of it is left then, however far it had come.
      const whole = [
        '--pid',
        '--ipc',
        '--fork',
        '--kill-child=KILL',
        '--mount',
        '--mount-proc',
        '--propagation',
        'private',
      ];
      const shell = [...rights, ...whole, '--', '/bin/sh', '-c', script];
      const child = spawn(requireTool('setpriv', 'util-linux'), ['--pdeathsig', 'KILL', '--', 'unshare', ...shell], {
        stdio: ['pipe', 'pipe', 'pipe', filter ?? 'ignore', 'pipe', ...fds],
        env: {},
        cwd: '/',
        detached: true,
      });
      return new Reader(child, places, group, limits);
    } catch (error) {
      void group?.remove();
      throw error;
    } finally {
      if (filter !== null) closeSync(filter);
    }
  }

  /** Answers a question that it waits with; a byte is all. */
  acknowledge(goesOn: boolean): void {
    const pipe = this.child.stdio[STEP_FD];
    if (pipe !== null && pipe !== undefined && 'write' in pipe) pipe.write(goesOn ? 'y' : 'n');
  }

  /** At once, with all that it started. */
  kill(): void {
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch (error) {
      // It has ended in between.
      if (errnoOf(error) !== 'ESRCH') throw error;
    }
  }

  /** Resolves when nothing of it is left, and says what it had too much of; null: nothing. */
  async ended(): Promise<string | null> {
    await this.#closed;
    this.#stopWatch();
    await this.#group?.remove();
    return this.#exceeded;
  }
}

function toolsFor({ images, keepsRoot }: ReaderOptions): (readonly [string, string])[] {
  const served = images.some((image) => isServed(image, keepsRoot));
  return [
    ['setpriv', 'util-linux'],
    ['unshare', 'util-linux'],
    ['prlimit', 'util-linux'],
    ['mount', 'mount'],
    ...(keepsRoot ? [] : [['bwrap', 'bubblewrap'] as const]),
    ...(served ? [['qemu-storage-daemon', 'qemu-system-common'] as const] : []),
  ];
}

/** Keys of whoever started us are not for it, and it inherits what we have. */
function enterOwnKeyring(): void {
  if (hasOwnKeyring) return;
  hasOwnKeyring = true;
  try {
    ownSessionKeyring();
  } catch {
    // A kernel without keys, or a sandbox around us that refuses them: then there are none to be had.
  }
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Whether the image comes through a daemon: what is no file, and what the reader's user may not open. */
function isServed({ block }: ReaderImage, keepsRoot: boolean): boolean {
  return (isRoot() && !keepsRoot) || block !== null;
}

/** A folder of this machine over which the reader's is put, in its own mounts: what is needed must not lie there. */
function placeFor({ images, stateFolder, program }: ReaderOptions): string {
  const needed = [stateFolder ?? '', program, process.execPath, ...images.map(({ path }) => path)];
  const free = PLACES.find((place) => existsSync(place) && !needed.some((path) => path.startsWith(place + sep)));
  if (free !== undefined) return free;
  const places = PLACES.join(', ');
  throw new UnderstudyError(
    'IDENTITY_FAILED',
    `no place for the process that reads the image: none of ${places} is a folder without the image in it; make one of them`,
  );
}

/** The reading end of a pipe with the filter in it, which it holds as a whole. */
function filterPipe(): number {
  const { readFd, writeFd } = createPipe();
  try {
    writeSync(writeFd, filterOf('reader'));
    return readFd;
  } catch (error) {
    closeSync(readFd);
    throw error;
  } finally {
    closeSync(writeFd);
  }
}

/** Where its program and the packages that this loads lie. */
function packageRoot(program: string): string {
  const inModules = program.indexOf(`${sep}node_modules${sep}`);
  if (inModules >= 0) return program.slice(0, inModules);
  // ROOT/dist/run/isolated/main.js
  return dirname(dirname(dirname(dirname(program))));
}

function joinGroup(group: ControlGroup | null): string[] {
  return (group?.folders ?? []).map((folder) => `echo $$ > ${quote(join(folder, 'cgroup.procs'))}`);
}

function nodeCommand(node: string, program: string, { tasksMax }: GroupLimits): string {
  // The shell and bwrap have made an environment of their own.
  const limits = `env -i prlimit --core=0 --nproc=${tasksMax} --`;
  return `${limits} ${quote(node)} --max-old-space-size=${HEAP_MIB} ${quote(program)}`;
}

function scriptFor(options: ReaderOptions, top: string, group: ControlGroup | null): string {
  const { images, keepsRoot } = options;
  const closed = images.map((_, index) => `${IMAGE_FD + index}<&-`).join(' ');
  return [
    'set -e; umask 022',
    ...joinGroup(group),
    `mount -t tmpfs -o mode=755,nosuid,size=1m none ${top}`,
    `cd ${top}; mkdir image`,
    ...images.flatMap((image, index) => (isServed(image, keepsRoot) ? served(image, index, top) : bound(image, index))),
    ...(keepsRoot ? rootReader(options) : confinedReader(options, top)).map((line) =>
      line.replace(/ %$/, ` ${closed}`),
    ),
    'status=$?; [ -z "$daemons" ] || kill $daemons; wait; exit $status',
  ].join('\n');
}

/** Of root's rights those that mounting takes, and changing files of all owners in what is mounted; and no network. */
function rootReader({ program, limits }: ReaderOptions): string[] {
  const rights = ROOT_RIGHTS.map((name) => `+${name}`).join(',');
  const less = `setpriv --bounding-set=-all,${rights} --inh-caps=-all --no-new-privs -- unshare --net --`;
  return ['cd /; set +e', `${less} ${nodeCommand(process.execPath, program, limits)} %`];
}

/** Where every user may have FUSE, /dev/fuse says so already. Where devices cannot be made, it has to. */
function ownDevice(): string[] {
  return [`mknod fuse c ${FUSE_DEVICE} 2> /dev/null && chown ${OWN_USER}:${OWN_USER} fuse || : `];
}

/** PATH, in there. */
function pathIn(top: string): string {
  const own = new Map(ownFolders().map((folder, index) => [folder, join(top, 'path', String(index))]));
  const folders = (process.env.PATH ?? '').split(':');
  return folders.map((folder) => own.get(folder) ?? folder).join(':');
}

/** Folders of programs that are not among the machine's own, which are there by their names. */
function ownFolders(): string[] {
  const folders = (process.env.PATH ?? '').split(':').filter((folder) => /^\/(?!(usr|bin|sbin)(\/|$))/.test(folder));
  return [...new Set(folders)].filter((folder) => existsSync(folder)).slice(0, PATH_FOLDERS_MAX);
}

function confinedReader({ program, stateFolder, limits }: ReaderOptions, top: string): string[] {
  const path = ownFolders();
  const app = packageRoot(program);
  const inApp = join(top, 'app', program.slice(app.length));
  const user = isRoot() ? `setpriv --reuid ${OWN_USER} --regid ${OWN_USER} --clear-groups --inh-caps=-all --` : '';
  // Nobody makes a namespace of users in this one: what the kernel lets root of such a namespace do has had holes.
  const alone = `sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"' sh`;
  const inside = isRoot() ? `unshare --user --map-root-user -- ${alone}` : alone;
  return [
    'mkdir state app; : > node',
    `echo 'root:x:0:0:root:/:/usr/sbin/nologin' > passwd`,
    ...(stateFolder === null ? [] : [`mount --bind ${quote(stateFolder)} state`]),
    `mount --bind ${quote(app)} app`,
    `mount --bind ${quote(process.execPath)} node`,
    ...(isRoot() ? ownDevice() : []),
    ...path.map((folder, index) => `mkdir -p path/${index}; mount --bind ${quote(folder)} path/${index}`),
    'cd /; set +e',
    // Its parent is the shell, with which it ends.
    `${user} ${inside} env -i bwrap ${sandbox(top).join(' ')} -- ${nodeCommand(join(top, 'node'), inApp, limits)} %`,
  ];
}

/** What a user may open as well as we do. The name may have become another's since we opened it. */
function bound({ path, fd }: ReaderImage, index: number): string[] {
  const place = `image/${index}`;
  const { dev, ino } = statSync(`/proc/self/fd/${fd}`);
  return [
    `: > ${place}; mount --bind ${quote(path)} ${place}`,
    `[ "$(stat -L -c %d:%i ${place})" = ${dev}:${ino} ] || { echo 'the image has been replaced' >&2; exit 1; }`,
  ];
}

function served({ fd, block, writable }: ReaderImage, index: number, top: string): string[] {
  const place = `${top}/image/${index}`;
  const pidFile = `${top}/image/daemon-${index}`;
  const facts = fd === null ? null : statSync(`/proc/self/fd/${fd}`);
  const isDevice = facts?.isBlockDevice() === true;
  const file = { driver: isDevice ? 'host_device' : 'file', filename: `/proc/self/fd/${IMAGE_FD + index}` };
  const shown = { ...(block ?? file), 'node-name': 'image', 'read-only': !writable };
  const rights = `writable=${writable ? 'on' : 'off'},growable=${writable ? 'on' : 'off'}`;
  const others = isRoot() ? 'on' : 'off';
  const fuse = `type=fuse,id=image,node-name=image,mountpoint=${place},${rights},allow-other=${others}`;
  const bounds = `setpriv --pdeathsig KILL -- prlimit --as=${DAEMON_BYTES_MAX} --core=0 --`;
  const daemon = `qemu-storage-daemon --blockdev ${quote(JSON.stringify(shown))} --export ${fuse} --pidfile ${pidFile}`;
  const own = isRoot() ? `chown ${OWN_USER}:${OWN_USER} ${place}` : ':';
  const serve = [
    `: > ${place}; ${bounds} ${daemon} < /dev/null > /dev/null ${FILTER_FD}<&- ${STEP_FD}<&- &`,
    `daemon=$!; daemons="$daemons $daemon"`,
    `while [ ! -s ${pidFile} ]; do kill -0 $daemon 2> /dev/null || exit 1; sleep 0.005; done`,
    own,
  ];
  if (facts === null || !isDevice) return serve;
  // A device may have a name of the reader's own, by its number, and keeps its size of sectors; where nodes cannot be
  // made it is served.
  const node = `mknod -m ${writable ? '600' : '400'} ${place} b ${numbersOf(facts.rdev)} 2> /dev/null`;
  return [`if ${node}; then ${own}; else`, ...serve, 'fi'];
}

/** Major and minor number of a device, as makedev(3) of glibc puts them together. */
function numbersOf(device: number): string {
  const number = BigInt(device);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n);
  return `${major} ${(number & 0xffn) | ((number >> 12n) & 0xffffff00n)}`;
}

function sandbox(top: string): string[] {
  const system = SYSTEM.flatMap((name) => {
    if (!existsSync(`/${name}`)) return [];
    // Where it is a link it leads into /usr, by a name that holds in there as well.
    return lstatSync(`/${name}`).isSymbolicLink()
      ? ['--symlink', `usr/${name}`, `/${name}`]
      : ['--ro-bind', `/${name}`, `/${name}`];
  });
  return [
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-net', '--unshare-cgroup-try'],
    ...['--die-with-parent', '--new-session', '--seccomp', String(FILTER_FD)],
    ...['--ro-bind', '/usr', '/usr', ...system],
    ...SETTINGS.flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--ro-bind', `${top}/passwd`, '/etc/passwd'],
    ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'],
    ...['--dev-bind-try', '/dev/fuse', '/dev/fuse', '--dev-bind-try', `${top}/fuse`, '/dev/fuse'],
    ...['--dev-bind', top, top, '--remount-ro', `${top}/app`, '--chdir', '/'],
    // What it starts shows files by FUSE, in mounts of its own, which others enter (setns(2) asks for both).
    ...['--cap-drop', 'ALL', '--cap-add', 'CAP_SYS_ADMIN', '--cap-add', 'CAP_SYS_CHROOT'],
  ];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
