// A file system of an image, mounted by the kernel: for those that no program of ours reads, and for commands that are to run in an
// image. Only by opt-in: the kernel's code trusts what it mounts more than it should (docs/decisions/0053-kernel-mounts.md).
//
// What is mounted is never the image but its private overlay, which may be written: a journal has to be replayed even for looking. The
// mount lives in a namespace of its
// own and ends with the process that holds it, however that dies. We reach into it by /proc/PID/root.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { requireTool, spawnBound, UnderstudyError } from '../../base/mod.ts';
import { HeldProcess } from '../held-process.ts';

const START_TIMEOUT_MS = 60_000;
/** What was written goes to the overlay, some megabytes on a busy disk. */
const END_TIMEOUT_MS = 120_000;

/** Nothing in the image is a device or has rights of its own. A copy has the UUID of its original, which XFS has to be told. */
const OPTIONS: Readonly<Record<MountType, string>> = {
  ext4: 'loop,nodev,nosuid,noatime',
  xfs: 'loop,nodev,nosuid,noatime,nouuid',
  btrfs: 'loop,nodev,nosuid,noatime',
};

/**
 * Four words for each mount, the place as the image has it. What lies in the image is mounted nowhere but in it: a link in a place that a
 * hostile image has made would lead into the machine's own files, of which these programs are. What is said when one fails is the last
 * line before the end.
 *
 * A file system is written to its end when nobody has it mounted any more, and a process that a command left in its own mount namespace
 * may be dying still: bwrap(1) ends before the first process inside does. The kernel takes the loop device away when it is through.
 */
const SCRIPT = `top=$(readlink -f -- "$1"); shift
fail() { umount -R -- "$top" 2> /dev/null; exit 1; }
while [ $# -gt 0 ]; do
  at=$top\${4%/}
  [ "$(readlink -f -- "$at")" = "$at" ] || { echo "$4 is not where it was" >&2; fail; }
  mount -t "$1" -o "$2" -- "$3" "$at" || fail
  shift 4
done
echo mounted; read -r _
for device in $(findmnt --noheadings --raw --nofsroot --output SOURCE --submounts --mountpoint "$top"); do
  set -- "$@" "/sys/block/\${device##*/}/loop/backing_file" "$(cat "/sys/block/\${device##*/}/loop/backing_file")"
done
umount -R -- "$top" || exit
while [ $# -gt 0 ]; do
  while [ "$(cat "$1" 2> /dev/null)" = "$2" ]; do sleep 0.01; done
  shift 2
done`;

export type MountType = 'ext4' | 'xfs' | 'btrfs';

export interface Mountable {
  readonly type: MountType;
  /** Of btrfs, which has several trees in one; null: its default. */
  readonly subvolume: string | null;
  /** The file system, from its first byte on, as the process sees it whose mount namespace it is; absolute. */
  readonly path: string;
}

export interface MountOptions extends Omit<Mountable, 'path'> {
  /** Of the process in whose mount namespace `file` is to be found. */
  readonly pid: number;
  /** The file system, from its first byte on, as that process sees it; absolute. */
  readonly file: string;
  /** Private, absolute; a folder of ours will be in it. */
  readonly folder: string;
  /** What messages call the image. */
  readonly name: string;
  readonly signal: AbortSignal;
  /** Others that are mounted in it, the outer ones first, `at` a canonical path of it. */
  readonly within?: readonly (Mountable & { readonly at: string })[];
}

export class KernelMount {
  /** Where the file system's root is while it is mounted. */
  readonly root: string;
  /** Of the process that holds the mount. */
  readonly pid: number;
  /** As the holder sees it. */
  readonly place: string;
  readonly #holder: HeldProcess;

  private constructor(holder: HeldProcess, place: string) {
    this.pid = holder.pid;
    this.place = place;
    this.root = `/proc/${this.pid}/root${place}`;
    this.#holder = holder;
  }

  /**
   * @throws TOOL_MISSING; IMAGE_UNSUPPORTED when this user may not mount; IMAGE_DAMAGED when the kernel refuses; INTERRUPTED
   */
  static async open(options: MountOptions): Promise<KernelMount> {
    const { type, name, pid, file, folder, subvolume, signal, within = [] } = options;
    if (process.geteuid?.() !== 0) {
      throw new UnderstudyError('IMAGE_UNSUPPORTED', `${name} needs a kernel mount, which only root may make`);
    }
    const place = join(folder, 'mounted');
    await mkdir(place, { recursive: true, mode: 0o700 });
    const root = [type, flagsOf({ type, subvolume }), file, '/'];
    const others = within.flatMap((one) => [one.type, flagsOf(one), one.path, one.at]);
    const inside = ['/bin/sh', '-c', SCRIPT, 'sh', place, ...root, ...others];
    const own = [requireTool('unshare', 'util-linux'), '--mount', '--propagation', 'private', '--', ...inside];
    const args = ['--mount', '--target', String(pid), '--', ...own];
    const holder = new HeldProcess(
      spawnBound(requireTool('nsenter', 'util-linux'), args, { stdio: ['pipe', 'pipe', 'pipe'] }),
    );
    const why = await holder.ready(name, START_TIMEOUT_MS, signal);
    if (why === null) return new KernelMount(holder, place);
    throw new UnderstudyError(
      'IMAGE_DAMAGED',
      `the kernel does not mount the ${type} in ${name}: ${why.split('\n')[0]}`,
    );
  }

  /** Everything is written. @throws IDENTITY_FAILED when that did not end well */
  async close(): Promise<void> {
    await this.#holder.close('\n', END_TIMEOUT_MS);
  }

  /** Ends it at once. May be called at any time. */
  async discard(): Promise<void> {
    await this.#holder.discard();
  }
}

function flagsOf({ type, subvolume }: Omit<Mountable, 'path'>): string {
  return [OPTIONS[type], ...(subvolume === null ? [] : [`subvol=${subvolume}`])].join(',');
}
