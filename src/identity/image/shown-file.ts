// Something that QEMU can read, shown as a plain file (FUSE) by qemu-storage-daemon(1).
//
// The daemon lives in a mount namespace of its own, so nobody else sees the file, and the mount ends with the daemon, however
// that dies. We reach into the namespace by /proc/PID/root.
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requireTool, spawnBound, UnderstudyError } from '../../base/mod.ts';
import { identityFailed } from './tool.ts';

const START_TIMEOUT_MS = 30_000;
/** It flushes what it has, which may be some megabytes on a busy disk. */
const END_TIMEOUT_MS = 60_000;
const STDERR_CHARS_MAX = 4096;

interface ShownOptions {
  /** Private, absolute; a file of ours will be in it. */
  readonly folder: string;
  /** What messages call it. */
  readonly name: string;
  readonly writable: boolean;
  readonly signal: AbortSignal;
}

export class ShownFile {
  /** Where it is while it is open. */
  readonly path: string;
  /** Of the process that shows it, in a mount namespace of its own. */
  readonly pid: number;
  /** Where it is in there. */
  readonly place: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(place: string, child: ChildProcess) {
    this.pid = child.pid ?? 0;
    this.place = place;
    this.path = `/proc/${this.pid}/root${place}`;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    // A daemon that has gone cannot be told anything; that it has gone is what counts, and `#ended` tells it.
    child.stdin?.on('error', () => {});
  }

  /**
   * @param block as blockdev-add of QEMU's monitor takes it, without a name
   * @throws TOOL_MISSING, IDENTITY_FAILED when FUSE or namespaces are not to be had, or the image is in use; INTERRUPTED
   */
  static async open(block: Readonly<Record<string, unknown>>, options: ShownOptions): Promise<ShownFile> {
    const { folder, name, writable, signal } = options;
    const shown = join(folder, 'shown');
    await writeFile(shown, '', { mode: 0o600 });
    const child = start({ ...block, 'node-name': 'top', 'read-only': !writable }, shown, writable);
    const file = new ShownFile(shown, child);
    await file.#ready(name, signal);
    return file;
  }

  /** Everything is written, and the daemon has gone. @throws IDENTITY_FAILED when it did not end well */
  async close(): Promise<void> {
    this.#child.stdin?.write('{"execute":"qmp_capabilities"}{"execute":"quit"}');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
    if (this.#child.exitCode !== 0) throw identityFailed('what was written to an image could not be completed');
  }

  /** Ends it at once. May be called at any time. */
  async discard(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** The monitor greets when everything that was asked for on the command line is there. */
  async #ready(name: string, signal: AbortSignal): Promise<void> {
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
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `reading ${name} was stopped`);
    throw identityFailed(`${name} could not be shown as a file: ${stderr.trim() || 'no answer'}`);
  }
}

function start(block: Readonly<Record<string, unknown>>, shown: string, writable: boolean): ChildProcess {
  const daemon = requireTool('qemu-storage-daemon', 'qemu-system-common');
  const unshare = requireTool('unshare', 'util-linux');
  const setpriv = requireTool('setpriv', 'util-linux');
  const blockdev = JSON.stringify(block);
  const fuse = `type=fuse,id=shown,node-name=top,mountpoint=${comma(shown)},writable=${writable ? 'on' : 'off'},allow-other=off`;
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
