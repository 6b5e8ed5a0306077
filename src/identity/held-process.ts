// A helper that holds something for as long as it lives: a file shown by FUSE, a mount. It says so by its first output, and ends when
// it is asked to, or with us.
import type { ChildProcess } from 'node:child_process';
import { UnderstudyError } from '../base/mod.ts';

const STDERR_CHARS_MAX = 4096;

export class HeldProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  /** @param child with pipes for all three */
  constructor(child: ChildProcess) {
    this.pid = child.pid ?? 0;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    // One that has gone cannot be told anything; that it has gone is what counts, and `#ended` tells it.
    child.stdin?.on('error', () => {});
  }

  /**
   * Waits for its first output.
   * @returns null, or what it said on standard error when it ended or took too long instead
   * @throws INTERRUPTED; it has ended then, as after every other answer than null
   */
  async ready(name: string, timeoutMs: number, signal: AbortSignal): Promise<string | null> {
    let stderr = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < STDERR_CHARS_MAX) stderr += text;
    });
    const stop = (): void => void this.#child.kill('SIGKILL');
    const timer = setTimeout(stop, timeoutMs);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const isReady = await new Promise<boolean>((resolve) => {
      this.#child.stdout?.once('data', () => resolve(true));
      this.#child.once('close', () => resolve(false));
    });
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    if (isReady && !signal.aborted) return null;
    await this.discard();
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `reading ${name} was stopped`);
    return stderr.trim() || 'no answer';
  }

  /** @param word that makes it end, on its standard input @throws IDENTITY_FAILED when it did not end well */
  async close(word: string, timeoutMs: number): Promise<void> {
    this.#child.stdin?.end(word);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs);
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
}
