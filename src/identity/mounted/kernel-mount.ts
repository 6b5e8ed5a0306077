// A file system of an image, mounted by the kernel: for those that no program of ours reads, and for commands that are to run in an
// image. Only by opt-in: the kernel's code trusts what it mounts more than it should (docs/decisions/0053-kernel-mounts.md).
//
// What is mounted is never the image but its private overlay, which may be written: a journal has to be replayed even for looking. The
// mount lives in a namespace of its
// own and ends with the process that holds it, however that dies. We reach into it by /proc/PID/root.
import type { ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { requireTool, spawnBound, UnderstudyError } from '../../base/mod.ts';

const START_TIMEOUT_MS = 60_000;
/** What was written goes to the overlay, some megabytes on a busy disk. */
const END_TIMEOUT_MS = 120_000;
const STDERR_CHARS_MAX = 4096;

/** Nothing in the image is a device or has rights of its own. A copy has the UUID of its original, which XFS has to be told. */
const OPTIONS: Readonly<Record<MountType, string>> = {
  ext4: 'loop,nodev,nosuid,noatime',
  xfs: 'loop,nodev,nosuid,noatime,nouuid',
  btrfs: 'loop,nodev,nosuid,noatime',
};

export type MountType = 'ext4' | 'xfs' | 'btrfs';

export interface MountOptions {
  readonly type: MountType;
  /** Of btrfs, which has several trees in one; null: its default. */
  readonly subvolume: string | null;
  /** Of the process in whose mount namespace `file` is to be found. */
  readonly pid: number;
  /** The file system, from its first byte on, as that process sees it; absolute. */
  readonly file: string;
  /** Private, absolute; a folder of ours will be in it. */
  readonly folder: string;
  /** What messages call the image. */
  readonly name: string;
  readonly signal: AbortSignal;
}

export class KernelMount {
  /** Where the file system's root is while it is mounted; bytes may follow that are no UTF-8. */
  readonly root: string;
  /** Of the process that holds the mount. */
  readonly pid: number;
  /** As the holder sees it. */
  readonly place: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, place: string) {
    this.pid = child.pid ?? 0;
    this.place = place;
    this.root = `/proc/${this.pid}/root${place}`;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    child.stdin?.on('error', () => {});
  }

  /**
   * @throws TOOL_MISSING; IMAGE_UNSUPPORTED when this user may not mount; IMAGE_DAMAGED when the kernel refuses; INTERRUPTED
   */
  static async open(options: MountOptions): Promise<KernelMount> {
    const { type, name, pid, file, folder, subvolume, signal } = options;
    if (process.geteuid?.() !== 0) {
      throw new UnderstudyError('IMAGE_UNSUPPORTED', `${name} needs a kernel mount, which only root may make`);
    }
    const place = join(folder, 'mounted');
    await mkdir(place, { recursive: true, mode: 0o700 });
    const flags = [OPTIONS[type], ...(subvolume === null ? [] : [`subvol=${subvolume}`])];
    const script = 'mount -t "$1" -o "$2" -- "$3" "$4" && echo mounted && read -r _; umount -- "$4"';
    const inside = ['/bin/sh', '-c', script, 'sh', type, flags.join(','), file, place];
    const own = [requireTool('unshare', 'util-linux'), '--mount', '--propagation', 'private', '--', ...inside];
    const args = ['--mount', '--target', String(pid), '--', ...own];
    const child = spawnBound(requireTool('nsenter', 'util-linux'), args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const mount = new KernelMount(child, place);
    await mount.#ready(name, type, signal);
    return mount;
  }

  /** Everything is written. @throws IDENTITY_FAILED when that did not end well */
  async close(): Promise<void> {
    this.#child.stdin?.end('\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
    if (this.#child.exitCode !== 0)
      throw new UnderstudyError('IDENTITY_FAILED', 'what was written to an image could not be completed');
  }

  /** Ends it at once. May be called at any time. */
  async discard(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async #ready(name: string, type: MountType, signal: AbortSignal): Promise<void> {
    let stderr = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < STDERR_CHARS_MAX) stderr += text;
    });
    const stop = (): void => void this.#child.kill('SIGKILL');
    const timer = setTimeout(stop, START_TIMEOUT_MS);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const mounted = await new Promise<boolean>((resolve) => {
      this.#child.stdout?.once('data', () => resolve(true));
      this.#child.once('close', () => resolve(false));
    });
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    if (mounted && !signal.aborted) return;
    await this.discard();
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `reading ${name} was stopped`);
    const why = stderr.trim().split('\n')[0] ?? 'no answer';
    throw new UnderstudyError('IMAGE_DAMAGED', `the kernel does not mount the ${type} in ${name}: ${why}`);
  }
}
