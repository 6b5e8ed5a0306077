// A command of the image, run in the image: with its files as the root, root's rights over them and over nothing else, no network,
// no other processes, no devices but those that everybody has. bwrap(1) builds that; the user namespace is made here, since bwrap's own
// has one user in it, and what belongs to others could not be given to them.
//
// Root inside is root outside by number, so that owners are right on disk. Without rights of its own it would still be the owner of
// what the kernel shows in /proc/sys: that is read-only, and a mount namespace made inside cannot change it, for it comes from a more
// privileged one (user_namespaces(7)).
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { requireTool, runTool, spawnBound, UnderstudyError } from '../../base/mod.ts';
import type { KernelMount } from './kernel-mount.ts';

const TIMEOUT_MS = 10 * 60_000;
const MEMORY_BYTES_MAX = 2 * 1024 ** 3;
const OUTPUT_BYTES_MAX = 1024 * 1024;
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

/** @throws TOOL_MISSING, INTERRUPTED, IDENTITY_FAILED when it cannot be run, takes too long, or ends with a status other than 0 */
export async function runInside(mount: KernelMount, given: InsideCommand, signal: AbortSignal): Promise<void> {
  const { command, environment } = given;
  const namespace = await UserNamespace.make();
  try {
    const result = await runTool(
      requireTool('prlimit', 'util-linux'),
      [...limits(), ...sandbox(mount, namespace.pid), ...own(environment), '--', ...command],
      {
        timeoutMs: TIMEOUT_MS,
        outputBytesMax: OUTPUT_BYTES_MAX,
        signal,
      },
    );
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

function limits(): string[] {
  return [`--as=${MEMORY_BYTES_MAX}`, '--core=0', '--nproc=4096', '--'];
}

function sandbox(mount: KernelMount, user: number): string[] {
  const inMount = [requireTool('nsenter', 'util-linux'), '--mount', '--target', String(mount.pid), '--'];
  // The namespace comes as an open file; a shell is what gives one to a program by number.
  const withFile = ['/bin/sh', '-c', `exec "$@" 3< /proc/${user}/ns/user`, 'sh'];
  const apart = ['--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'];
  const rights = ['--cap-drop', 'ALL', ...RIGHTS.flatMap((name) => ['--cap-add', `CAP_${name}`])];
  const files = ['--bind', mount.place, '/', '--proc', '/proc', '--remount-ro', '/proc', '--dev', '/dev'];
  const empty = ['--tmpfs', '/run', '--tmpfs', '/tmp', '--chdir', '/'];
  const bound = ['--die-with-parent', '--new-session', '--userns', '3'];
  return [
    ...inMount,
    ...withFile,
    requireTool('bwrap', 'bubblewrap'),
    ...bound,
    ...apart,
    ...rights,
    ...files,
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
    const child = spawnBound(requireTool('unshare', 'util-linux'), args, { stdio: ['pipe', 'pipe', 'ignore'] });
    child.stdin?.on('error', () => {});
    const namespace = new UserNamespace(child);
    const made = await new Promise<boolean>((resolve) => {
      child.stdout?.once('data', () => resolve(true));
      child.once('close', () => resolve(false));
      child.once('error', () => resolve(false));
    });
    try {
      if (!made)
        throw new UnderstudyError('IDENTITY_FAILED', 'this system gives no user namespace to run a command in');
      for (const map of ['uid_map', 'gid_map']) await writeFile(`/proc/${namespace.pid}/${map}`, `0 0 ${USERS}\n`);
      return namespace;
    } catch (error) {
      await namespace.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.kill('SIGKILL');
    await ended;
  }
}
