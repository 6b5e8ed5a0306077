// A command of the image, run in the image: with its files as the root, root's rights over them and over nothing else,
// no network, no other processes, no devices but those that everybody has. bwrap(1) builds that; the user namespace is
// made here, since bwrap's own has one user in it, and what belongs to others could not be given to them.
//
// Root inside is root outside by number, so that owners are right on disk. Without rights of its own it would still be
// the owner of what the kernel shows in /proc/sys: that is read-only, and a mount namespace made inside cannot change
// it, for it comes from a more privileged one (user_namespaces(7)).
//
// What it finds of us is nothing: the first process that it sees, bwrap, has an empty environment; keys, other kinds of
// sockets and the rarer calls of the kernel are refused by a filter; no namespace of users can be made inside.
// docs/decisions/0077-programs-of-the-image.md
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { requireTool, runTool, spawnBound, type ToolResult, UnderstudyError } from '../../base/mod.ts';
import { filterOf } from '../../sandbox/mod.ts';
import type { KernelMount } from './kernel-mount.ts';

const TIMEOUT_MS = 10 * 60_000;
const MEMORY_BYTES_MAX = 2 * 1024 ** 3;
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** With threads; of all its processes together. */
const TASKS_MAX = 256;
/** All users that a system without containers has. */
const USERS = 65536;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** What programs that look after their own files need. */
const RIGHTS = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'SETUID', 'SETGID', 'KILL', 'SYS_CHROOT'];

export interface InsideCommand {
  /** The program as the image knows it, and its arguments. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * @throws TOOL_MISSING, INTERRUPTED, IDENTITY_FAILED when it cannot be run, takes too long, or ends with a status other
 *   than 0
 */
export async function runInside(mount: KernelMount, given: InsideCommand, signal: AbortSignal): Promise<void> {
  const { command, environment } = given;
  const namespace = await UserNamespace.make();
  try {
    const filter = join(dirname(mount.place), 'filter');
    await writeFile(filter, filterOf('program'), { mode: 0o600 });
    const words = [...limits(), ...sandbox(mount, namespace.pid, filter), ...own(environment), '--', ...command];
    const result = await runBare(words, command[0] ?? '', signal);
    if (result.status === 0) return;
    const said = `${result.stderr}\n${result.stdout}`.split('\n').filter((line) => line.trim() !== '');
    const how = result.status === null ? 'took too long or ended by a signal' : `ended with status ${result.status}`;
    throw new UnderstudyError(
      'IDENTITY_FAILED',
      `${command[0]} in the image ${how}: ${said.slice(0, 3).join('; ').slice(0, 300)}`,
    );
  } finally {
    await namespace.end();
  }
}

/** With nothing of our environment: whoever is inside reads that of bwrap in /proc/1/environ. */
async function runBare(words: readonly string[], name: string, signal: AbortSignal): Promise<ToolResult> {
  const prlimit = requireTool('prlimit', 'util-linux');
  const bounds = { timeoutMs: TIMEOUT_MS, outputBytesMax: OUTPUT_BYTES_MAX };
  try {
    return await runTool(prlimit, words, { ...bounds, bare: true, signal });
  } catch (cause) {
    const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
    if (code !== 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') throw cause;
    const why = `wrote more than ${OUTPUT_BYTES_MAX} bytes of output`;
    throw new UnderstudyError('IDENTITY_FAILED', `${name} in the image ${why}; the image is as it was`, { cause });
  }
}

function limits(): string[] {
  return [`--as=${MEMORY_BYTES_MAX}`, '--core=0', `--nproc=${TASKS_MAX}`, '--'];
}

function sandbox(mount: KernelMount, user: number, filter: string): string[] {
  const inMount = [requireTool('nsenter', 'util-linux'), '--mount', '--target', String(mount.pid), '--'];
  // Namespace and filter come as open files; a shell is what gives one to a program by number.
  const files = `3< /proc/${user}/ns/user 4< "$filter"`;
  const withFiles = ['/bin/sh', '-c', `filter=$1; shift; exec env -i "$@" ${files}`, 'sh', filter];
  const apart = ['--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'];
  const rights = ['--cap-drop', 'ALL', ...RIGHTS.flatMap((name) => ['--cap-add', `CAP_${name}`])];
  const view = ['--bind', mount.place, '/', '--proc', '/proc', '--remount-ro', '/proc', '--dev', '/dev'];
  const empty = ['--tmpfs', '/run', '--tmpfs', '/tmp', '--chdir', '/'];
  const bound = ['--die-with-parent', '--new-session', '--userns', '3', '--seccomp', '4'];
  return [
    ...inMount,
    ...withFiles,
    requireTool('bwrap', 'bubblewrap'),
    ...bound,
    ...apart,
    ...rights,
    ...view,
    ...empty,
  ];
}

function own(environment: Readonly<Record<string, string>>): string[] {
  const all = { PATH, HOME: '/root', LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive', ...environment };
  return ['--clearenv', ...Object.entries(all).flatMap(([name, value]) => ['--setenv', name, value])];
}

/** Held by a process that waits in it. */
class UserNamespace {
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
  }

  static async make(): Promise<UserNamespace> {
    const waits = ['/bin/sh', '-c', 'echo made; read -r _'];
    const args = ['--user', '--', ...waits];
    const child = spawnBound(requireTool('unshare', 'util-linux'), args, {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {},
    });
    child.stdin?.on('error', () => {});
    const namespace = new UserNamespace(child);
    try {
      await namespace.#word();
      for (const map of ['uid_map', 'gid_map']) await writeFile(`/proc/${namespace.pid}/${map}`, `0 0 ${USERS}\n`);
      await namespace.#close();
      return namespace;
    } catch (error) {
      await namespace.end();
      throw error;
    }
  }

  /**
   * Nobody makes a further namespace of users in it. Only root of it may say so, which a process is that enters it.
   * @throws IDENTITY_FAILED
   */
  async #close(): Promise<void> {
    const script = 'echo 0 > /proc/sys/user/max_user_namespaces';
    const args = ['--user', '--target', String(this.pid), '--', '/bin/sh', '-c', script];
    const done = await runTool(requireTool('nsenter', 'util-linux'), args, { bare: true });
    if (done.status === 0) return;
    const why = `namespaces of users inside of it cannot be forbidden: ${done.stderr.trim()}`;
    throw new UnderstudyError('IDENTITY_FAILED', `no user namespace to run a command in: ${why}`);
  }

  /** Waits until it is made. @throws IDENTITY_FAILED when it ends instead */
  async #word(): Promise<void> {
    const child = this.#child;
    const said = await new Promise<boolean>((resolve) => {
      child.stdout?.once('data', () => resolve(true));
      child.once('close', () => resolve(false));
      child.once('error', () => resolve(false));
    });
    if (said) return;
    throw new UnderstudyError('IDENTITY_FAILED', 'this system gives no user namespace to run a command in');
  }

  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.kill('SIGKILL');
    await ended;
  }
}
