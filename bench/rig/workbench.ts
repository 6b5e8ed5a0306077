// Everything that a benchmark makes (files, loop devices, control groups, limits, processes) is undone in reverse order,
// when its scope ends, when a run fails, and when somebody presses Ctrl-C.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

type Undo = () => void | Promise<void>;

/** Thrown at whatever would make something new while everything is being undone. */
export class InterruptedError extends Error {
  constructor() {
    super('the benchmark is being ended');
    this.name = 'InterruptedError';
  }
}

const CHILD_END_MS_MAX = 10_000;

export class Workbench {
  /** Folder on the disk that is measured. */
  readonly folder: string;
  /** Folder in memory (tmpfs); made when first asked for. */
  readonly #memoryFolder: string;
  #memoryFolderMade = false;
  readonly #undos: Undo[] = [];
  readonly #children = new Set<ChildProcess>();
  #unwinding: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;
  #nameCount = 0;

  constructor(parentFolder: string) {
    this.folder = join(parentFolder, `run-${process.pid}`);
    this.#memoryFolder = `/dev/shm/understudy-bench-${process.pid}`;
    mkdirSync(this.folder, { recursive: true });
    this.defer(() => rmSync(this.folder, { recursive: true, force: true }));
    this.#useOwnRuntimeFolder();
  }

  /** The program leaves its meeting place for the next copy (docs/cli.md); that of a benchmark goes with it. */
  #useOwnRuntimeFolder(): void {
    if (process.env.UNDERSTUDY_RUNTIME_DIR !== undefined) return;
    const folder = `/dev/shm/understudy-bench-${process.pid}-runtime`;
    mkdirSync(folder, { mode: 0o700 });
    this.defer(() => rmSync(folder, { recursive: true, force: true }));
    process.env.UNDERSTUDY_RUNTIME_DIR = folder;
  }

  get memoryFolder(): string {
    if (!this.#memoryFolderMade) {
      this.#memoryFolderMade = true;
      mkdirSync(this.#memoryFolder, { mode: 0o700 });
      this.defer(() => {
        rmSync(this.#memoryFolder, { recursive: true, force: true });
        // It went with the scope that had asked for it; the next one gets a new one.
        this.#memoryFolderMade = false;
      });
    }
    return this.#memoryFolder;
  }

  get interrupted(): boolean {
    return this.#closing !== null;
  }

  /** A name that nothing else in this run has. */
  uniqueName(stem: string): string {
    this.#nameCount += 1;
    return `${stem}-${this.#nameCount}`;
  }

  /** Registers how to undo what was just made. */
  defer(undo: Undo): void {
    this.#undos.push(undo);
    if (this.interrupted) throw new InterruptedError();
  }

  /** Processes that Ctrl-C must end before the rest is undone. */
  track(child: ChildProcess): void {
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    if (this.interrupted) child.kill('SIGTERM');
  }

  /** Undoes at its end what was made inside. Scopes nest; they do not run side by side. */
  async scope<T>(body: () => Promise<T>): Promise<T> {
    if (this.interrupted) throw new InterruptedError();
    const height = this.#undos.length;
    try {
      return await body();
    } finally {
      await this.#unwindTo(height);
    }
  }

  /** Ends the processes and undoes everything. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#endChildren().then(() => this.#unwindTo(0));
    return this.#closing;
  }

  async #endChildren(): Promise<void> {
    await Promise.all([...this.#children].map(endChild));
  }

  /** One after the other, whoever asks: an interrupt may arrive while a scope is ending. */
  #unwindTo(height: number): Promise<void> {
    const earlier = this.#unwinding.then(
      () => undefined,
      () => undefined,
    );
    this.#unwinding = earlier.then(() => this.#unwindNow(height));
    return this.#unwinding;
  }

  async #unwindNow(height: number): Promise<void> {
    const failures: unknown[] = [];
    while (this.#undos.length > height) {
      const undo = this.#undos.pop();
      try {
        await undo?.();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `not undone: ${failures.map(String).join('; ')}`);
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), CHILD_END_MS_MAX);
  await ended;
  clearTimeout(timer);
}
