// A terminal for a program that looks whether it has one: a private tmux server with one window.
import { spawnSync } from 'node:child_process';
import { requireTool } from '../../src/base/mod.ts';
import { CLI, type Stage } from './stage.ts';
import { eventually } from './wait.ts';

interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** What a shell makes of the command, so that the window says how it ended. */
const SAYS_STATUS = (command: string): string => `${command}; echo "status $?"; exec cat`;

export class Terminal {
  readonly #stage: Stage;
  readonly #socket: string;

  private constructor(stage: Stage) {
    this.#stage = stage;
    this.#socket = stage.path('tmux');
  }

  /** Runs `understudy ARGS` in a window of 120 columns, if not said otherwise; when it has ended, the window says with which status. */
  static run(
    stage: Stage,
    args: readonly string[],
    size: Size = { columns: 120, rows: 20 },
    script: (command: string) => string = SAYS_STATUS,
  ): Terminal {
    const terminal = new Terminal(stage);
    const words = [process.execPath, CLI, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    const shape = ['-x', `${size.columns}`, '-y', `${size.rows}`];
    terminal.#tmux('-f', '/dev/null', 'new-session', '-d', ...shape, script(words));
    stage.defer(() => terminal.close());
    return terminal;
  }

  #tmux(...args: readonly string[]): string {
    const done = spawnSync(requireTool('tmux', 'tmux'), ['-S', this.#socket, ...args], {
      encoding: 'utf8',
      env: { ...this.#stage.env, TERM: 'screen', LC_ALL: 'C.UTF-8' },
    });
    if (done.status !== 0) throw new Error(`tmux ${args[0]}: ${done.stderr}`);
    return done.stdout;
  }

  get screen(): string {
    return this.#tmux('capture-pane', '-p', '-J');
  }

  /** What scrolled out of the window, and the window itself. */
  get history(): string {
    return this.#tmux('capture-pane', '-p', '-S', '-');
  }

  /** The lines of the window as they are broken. */
  get rows(): readonly string[] {
    return this.#tmux('capture-pane', '-p').replace(/\n$/, '').split('\n');
  }

  resize({ columns, rows }: Size): void {
    this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`);
  }

  async shows(text: RegExp): Promise<string> {
    let last = '';
    const look = (): string | null => {
      last = this.screen;
      return text.test(last) ? last : null;
    };
    return eventually(() => `${text} on the screen; it shows:\n${last}`, look);
  }

  type(text: string, key = 'Enter'): void {
    if (text !== '') this.#tmux('send-keys', '-l', text);
    this.#tmux('send-keys', key);
  }

  /** Ends the window and its server. Idempotent. */
  close(): void {
    spawnSync(requireTool('tmux', 'tmux'), ['-S', this.#socket, 'kill-server'], { env: this.#stage.env });
  }
}
