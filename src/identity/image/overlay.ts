// A private copy of an image that costs nothing: what is written goes to a file of ours, the image below stays as it is. It is a
// qcow2 file over the image, of which qemu-storage-daemon(1) shows one file system as a plain file (FUSE) that e2fsprogs can read
// and write. (Their own option for file systems inside an image, "?offset=", gets lost when e2fsck 1.47 replays a journal.)
//
// The daemon lives in a mount namespace of its own, so nobody else sees the file, and the mount ends with the daemon, however
// that dies. We reach into the namespace by /proc/PID/root.
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requireTool, runTool, spawnBound, UnderstudyError } from '../../base/mod.ts';
import { identityFailed } from './tool.ts';

const START_TIMEOUT_MS = 30_000;
/** It flushes what it has, which may be some megabytes on a busy disk. */
const END_TIMEOUT_MS = 60_000;
const STDERR_CHARS_MAX = 4096;

/** What lies below an overlay: the image, or changes over the image that have not been written to it yet. */
export interface Below {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

export class Overlay {
  /** The file system, from its first byte on, while the overlay is open. */
  readonly path: string;
  /** The qcow2 file with what was written; its offsets are those of the image. */
  readonly file: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(file: string, shown: string, child: ChildProcess) {
    this.file = file;
    this.path = `/proc/${child.pid}/root${shown}`;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    // A daemon that has gone cannot be told anything; that it has gone is what counts, and `#ended` tells it.
    child.stdin?.on('error', () => {});
  }

  /**
   * @param offsetBytes where the file system begins; a multiple of 512
   * @param folder an empty private folder, absolute
   * @throws TOOL_MISSING, IDENTITY_FAILED when FUSE or namespaces are not to be had, or the image is in use
   */
  static async open(below: Below, offsetBytes: number, folder: string, signal: AbortSignal): Promise<Overlay> {
    const file = join(folder, 'overlay.qcow2');
    const shown = join(folder, 'shown');
    const create = ['create', '-q', '-f', 'qcow2', '-F', below.format, '-b', below.path, file];
    const created = await runTool(requireTool('qemu-img', 'qemu-utils'), create, { signal });
    if (created.status !== 0) throw identityFailed(`no overlay for ${below.path}: ${created.stderr.trim()}`);
    await writeFile(shown, '', { mode: 0o600 });
    const child = start(file, offsetBytes, shown);
    const overlay = new Overlay(file, shown, child);
    await overlay.#ready(below, signal);
    return overlay;
  }

  /** The daemon has written everything and gone. @throws IDENTITY_FAILED when it did not end well: nothing in `file` counts */
  async close(): Promise<void> {
    this.#child.stdin?.write('{"execute":"qmp_capabilities"}{"execute":"quit"}');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
    if (this.#child.exitCode !== 0) throw identityFailed('the overlay could not be closed');
  }

  /** Ends it at once; what was written is of no use any more. May be called at any time. */
  async discard(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** The monitor greets when everything that was asked for on the command line is there. */
  async #ready(below: Below, signal: AbortSignal): Promise<void> {
    let stderr = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < STDERR_CHARS_MAX) stderr += text;
    });
    const stop = (): void => void this.#child.kill('SIGKILL');
    const timer = setTimeout(stop, START_TIMEOUT_MS);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const greeted = await new Promise<boolean>((resolve) => {
      this.#child.stdout?.once('data', () => resolve(true));
      this.#child.once('close', () => resolve(false));
    });
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    if (greeted && !signal.aborted) return;
    await this.discard();
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `reading ${below.path} was stopped`);
    throw identityFailed(`${below.path} could not be shown as a file: ${stderr.trim() || 'no answer'}`);
  }
}

function start(file: string, offsetBytes: number, shown: string): ChildProcess {
  const daemon = requireTool('qemu-storage-daemon', 'qemu-system-common');
  const unshare = requireTool('unshare', 'util-linux');
  const setpriv = requireTool('setpriv', 'util-linux');
  const overlay = { driver: 'qcow2', file: { driver: 'file', filename: file } };
  const blockdev = JSON.stringify({ driver: 'raw', 'node-name': 'top', offset: offsetBytes, file: overlay });
  const fuse = `type=fuse,id=shown,node-name=top,mountpoint=${comma(shown)},writable=on,allow-other=off`;
  const monitor = ['--chardev', 'stdio,id=monitor', '--monitor', 'monitor'];
  // Root may make a mount namespace; others need a user namespace around it, entering which loses the bond to our life, so
  // that it has to be made again.
  const user = process.geteuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const bound = [setpriv, '--pdeathsig', 'KILL', '--', daemon];
  const args = ['--mount', '--propagation', 'private', ...user, '--', ...bound];
  return spawnBound(unshare, [...args, '--blockdev', blockdev, '--export', fuse, ...monitor], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** QEMU's option lists have commas doubled. */
function comma(text: string): string {
  return text.replaceAll(',', ',,');
}
