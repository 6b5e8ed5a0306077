// The test's side of store-process.ts: one process that uses a store.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { eventually } from '../rig/wait.ts';

const PROGRAM = resolve('dist/test/conformance/store-process.js');

export class StoreUser {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly status: number | null; readonly signal: NodeJS.Signals | null }>;
  #stdout = '';
  #stderr = '';

  constructor(env: NodeJS.ProcessEnv, file: string, ...args: readonly (string | number)[]) {
    this.child = spawn(process.execPath, [PROGRAM, file, ...args.map(String)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    this.child.stdout?.on('data', (text: Buffer) => {
      this.#stdout += text.toString();
    });
    this.child.stderr?.on('data', (text: Buffer) => {
      this.#stderr += text.toString();
    });
    this.ended = once(this.child, 'close').then(([status, signal]) => ({ status, signal }));
  }

  /** Whole lines that it has said so far. */
  get said(): readonly string[] {
    return this.#stdout.split('\n').slice(0, -1);
  }

  async says(lines: number): Promise<void> {
    const what = () => `${lines} lines; so far ${this.said.length}, and ${this.#stderr}`;
    await eventually(what, () => this.said.length >= lines || this.child.exitCode !== null);
    if (this.said.length < lines) throw new Error(`it ended early: ${this.#stderr}`);
  }

  /** Waits for a good end. */
  async good(): Promise<readonly string[]> {
    const { status, signal } = await this.ended;
    if (status !== 0) throw new Error(`ended with ${status ?? signal}: ${this.#stderr}`);
    return this.said;
  }

  /** Ends it, whatever it is doing. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
