// Running other programs: always with a time-out, an output limit and no shell.
import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { UnderstudyError } from './errors.ts';

export interface ToolResult {
  /** Exit status, or null when a signal or the time-out ended the program. */
  readonly status: number | null;
  /** The signal of a program that crashed, or that somebody else ended; absent or null otherwise. */
  readonly crash?: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ToolOptions {
  /** @default 30000 */
  readonly timeoutMs?: number;
  /** @default 16 MiB */
  readonly outputBytesMax?: number;
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** The program gets `env` alone, and nothing of our environment, in which secrets may be. @default false */
  readonly bare?: boolean;
  /** Ends the program; the call then rejects with INTERRUPTED. */
  readonly signal?: AbortSignal;
}

/** Folders that hold administrators' tools but are often missing from a user's PATH on Debian. */
const EXTRA_PATH = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The path of an installed program, or null. */
export function findTool(name: string): string | null {
  for (const folder of [...(process.env.PATH ?? '').split(':'), ...EXTRA_PATH]) {
    if (folder === '') continue;
    const path = `${folder}/${name}`;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder: the next one is tried, and absence from all of them is the answer null.
    }
  }
  return null;
}

/** @throws TOOL_MISSING with the Debian package that holds the program. */
export function requireTool(name: string, debianPackage: string): string {
  const path = findTool(name);
  if (path === null) {
    throw new UnderstudyError('TOOL_MISSING', `${name} is not installed; on Debian: apt-get install ${debianPackage}`);
  }
  return path;
}

/** Runs a program to its end. A non-zero exit status is an answer, not an exception. @throws INTERRUPTED */
export function runTool(path: string, args: readonly string[], options: ToolOptions = {}): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      path,
      args,
      {
        timeout: options.timeoutMs ?? 30_000,
        killSignal: 'SIGKILL',
        maxBuffer: options.outputBytesMax ?? 16 * 1024 * 1024,
        env: options.bare === true ? { ...options.env } : { ...process.env, ...options.env, LC_ALL: 'C' },
        signal: options.signal,
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ status: 0, stdout, stderr });
        if (typeof error.code === 'number') return resolve({ status: error.code, stdout, stderr });
        if (error.code === undefined || error.code === null) {
          const crash = error.killed === true ? null : (error.signal ?? null);
          return resolve({ status: null, crash, stdout, stderr });
        }
        if (options.signal?.aborted) return reject(new UnderstudyError('INTERRUPTED', `${path} was stopped`));
        reject(error);
      },
    );
    child.stdin?.on('error', () => child.stdin?.destroy());
    child.stdin?.end(options.input ?? '');
  });
}

/**
 * Starts a helper that the kernel ends with the thread that started it, however that thread dies (PR_SET_PDEATHSIG by
 * setpriv(1)); so call it from the thread whose life the helper shares.
 */
export function spawnBound(path: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const setpriv = requireTool('setpriv', 'util-linux');
  return spawn(setpriv, ['--pdeathsig', 'KILL', '--', path, ...args], options);
}
