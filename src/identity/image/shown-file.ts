// Something that QEMU can read, shown as a plain file (FUSE) by qemu-storage-daemon(1).
//
// The daemon lives in a mount namespace of its own, so nobody else sees the file, and the mount ends with the daemon, however
// that dies. We reach into the namespace by /proc/PID/root.
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requireTool, spawnBound } from '../../base/mod.ts';
import { HeldProcess } from '../held-process.ts';
import { identityFailed, withinMemory } from './tool.ts';

const START_TIMEOUT_MS = 30_000;
/** It flushes what it has, which may be some megabytes on a busy disk. */
const END_TIMEOUT_MS = 60_000;

interface ShownOptions {
  /** Private, absolute; a file of ours will be in it. */
  readonly folder: string;
  /** What messages call it. */
  readonly name: string;
  readonly writable: boolean;
  readonly signal: AbortSignal;
  /** It is to live in that one's mount namespace, where both are seen. */
  readonly beside?: ShownFile;
}

export class ShownFile {
  /** Where it is while it is open. */
  readonly path: string;
  /** Of the process that shows it, in a mount namespace of its own. */
  readonly pid: number;
  /** Where it is in there. */
  readonly place: string;
  readonly #daemon: HeldProcess;

  private constructor(place: string, daemon: HeldProcess) {
    this.pid = daemon.pid;
    this.place = place;
    this.path = `/proc/${this.pid}/root${place}`;
    this.#daemon = daemon;
  }

  /**
   * @param block as blockdev-add of QEMU's monitor takes it, without a name
   * @throws TOOL_MISSING, IDENTITY_FAILED when FUSE or namespaces are not to be had, or the image is in use; INTERRUPTED
   */
  static async open(block: Readonly<Record<string, unknown>>, options: ShownOptions): Promise<ShownFile> {
    const { folder, name, writable, signal, beside } = options;
    const shown = join(folder, 'shown');
    await writeFile(shown, '', { mode: 0o600 });
    const top = { ...block, 'node-name': 'top', 'read-only': !writable };
    const daemon = new HeldProcess(start(top, shown, writable, beside?.pid ?? null));
    // The monitor greets when everything that was asked for on the command line is there.
    const why = await daemon.ready(name, START_TIMEOUT_MS, signal);
    if (why !== null) throw identityFailed(`${name} could not be shown as a file: ${why}`);
    return new ShownFile(shown, daemon);
  }

  /** Everything is written, and the daemon has gone. @throws IDENTITY_FAILED when it did not end well */
  async close(): Promise<void> {
    await this.#daemon.close('{"execute":"qmp_capabilities"}{"execute":"quit"}', END_TIMEOUT_MS);
  }

  /** Ends it at once. May be called at any time. */
  async discard(): Promise<void> {
    await this.#daemon.discard();
  }
}

function start(
  block: Readonly<Record<string, unknown>>,
  shown: string,
  writable: boolean,
  beside: number | null,
): ChildProcess {
  const daemon = requireTool('qemu-storage-daemon', 'qemu-system-common');
  const setpriv = requireTool('setpriv', 'util-linux');
  const blockdev = JSON.stringify(block);
  const fuse = `type=fuse,id=shown,node-name=top,mountpoint=${comma(shown)},writable=${writable ? 'on' : 'off'},allow-other=off`;
  const monitor = ['--chardev', 'stdio,id=monitor', '--monitor', 'monitor'];
  // Root may make a mount namespace; others need a user namespace around it, entering which loses the bond to our life, so
  // that it has to be made again.
  const isRoot = process.geteuid?.() === 0;
  const bound = ['--pdeathsig', 'KILL', '--', daemon, '--blockdev', blockdev, '--export', fuse, ...monitor];
  const [limit, limited] = withinMemory(setpriv, bound);
  const stdio = ['pipe', 'pipe', 'pipe'] as const;
  if (beside !== null) {
    const user = isRoot ? [] : ['--user', '--preserve-credentials'];
    const args = ['--mount', '--target', String(beside), ...user, '--', limit, ...limited];
    return spawnBound(requireTool('nsenter', 'util-linux'), args, { stdio: [...stdio] });
  }
  const user = isRoot ? [] : ['--user', '--map-root-user'];
  const args = ['--mount', '--propagation', 'private', ...user, '--', limit, ...limited];
  return spawnBound(requireTool('unshare', 'util-linux'), args, { stdio: [...stdio] });
}

/** QEMU's option lists have commas doubled. */
function comma(text: string): string {
  return text.replaceAll(',', ',,');
}
