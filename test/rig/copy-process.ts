// One run of the command line as a process of its own: its id, its output, its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CopyResult, TargetResult } from '../../src/replication/mod.ts';
import { eventually } from './wait.ts';

/** What ships, as package.json names it. */
const { bin } = JSON.parse(readFileSync('package.json', 'utf8')) as { bin: { understudy: string } };
export const CLI = resolve(bin.understudy);

export interface RunOptions {
  /** What standard input is: closed, a pipe to write into, or the content of a file descriptor. @default 'ignore' */
  readonly stdin?: 'ignore' | 'pipe' | number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Program and arguments in front of node: setpriv, unshare, prlimit. */
  readonly wrap?: readonly string[];
  /** Another build of the command line. @default CLI */
  readonly program?: string;
  /** Starts the command as an installed one is, by its own first line, and not with node. @default false */
  readonly installed?: boolean;
  /** Where standard output and standard error go. @default pipes whose content is kept */
  readonly stdout?: number;
  readonly stderr?: number;
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class CopyProcess {
  readonly child: ChildProcess;
  /** Rejects when the program could not be started at all. */
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, options: RunOptions) {
    const node = options.installed === true ? [] : [process.execPath];
    const [program, ...rest] = [...(options.wrap ?? []), ...node, options.program ?? CLI, ...args];
    this.child = spawn(program ?? process.execPath, rest, {
      stdio: [options.stdin ?? 'ignore', options.stdout ?? 'pipe', options.stderr ?? 'pipe'],
      env: { ...env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.child.stdout?.on('data', (text: Buffer) => {
      this.#stdout += text.toString();
    });
    this.child.stderr?.on('data', (text: Buffer) => {
      this.#stderr += text.toString();
    });
    this.ended = once(this.child, 'close').then(([status, signal]) => ({ status, signal }) as Ended);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the program was not started');
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** Ends with a signal and waits until it has. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Ended> {
    this.signal(signal);
    return this.ended;
  }

  /** Waits for the end and gives what was printed as JSON. */
  async result(): Promise<CopyResult> {
    const { status, signal } = await this.ended;
    if (this.#stdout === '') throw new Error(`nothing printed; status ${status}, ${signal}: ${this.#stderr}`);
    return JSON.parse(this.#stdout) as CopyResult;
  }

  /** The result of a copy to one target that has to succeed. */
  async good(): Promise<TargetResult> {
    const result = await this.result();
    const [target] = result.targets;
    if (!result.ok || target === undefined) throw new Error(`the copy failed: ${this.#stdout}${this.#stderr}`);
    return target;
  }

  /** Waits until a text has been printed on standard error. */
  async says(text: string | RegExp): Promise<void> {
    await eventually(`${this.pid} says ${text}`, () => {
      if (!this.running && this.#stderr.match(text) === null) throw new Error(`it ended: ${this.#stderr}`);
      return this.#stderr.match(text) !== null;
    });
  }
}
