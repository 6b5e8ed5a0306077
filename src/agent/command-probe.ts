// A command of the host's own as a probe: how long it takes, and the number that it prints. Which command it is, only the host's own
// settings say: a controller that has been taken over must not run programs on hosts.
import { spawn } from 'node:child_process';
import { type Clock, messageOf } from '../base/mod.ts';
import type { ProbeResult } from './service-probe.ts';

export const COMMAND_TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 64 * 1024;

export type CommandResult = ProbeResult & {
  /** The first line of its output as a number; null: it is none. */
  readonly value: number | null;
};

/**
 * Runs the command without a shell. Exit status 0 is an answer. Never rejects.
 * @param command program and arguments
 * @param signal ends it, with all that it started
 */
export function runCommand(command: readonly string[], clock: Clock, signal: AbortSignal): Promise<CommandResult> {
  const [program = '', ...args] = command;
  const startMs = clock.nowMs();
  return new Promise((resolve) => {
    // A group of its own, so that what it started ends with it.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    let [output, timedOut, settled] = ['', false, false];
    const kill = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It ended by itself at this moment.
      }
    };
    const settle = (result: CommandResult): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', kill);
      resolve(result);
    };
    const fails = (reason: string): void => {
      const atLeastMs = timedOut ? clock.nowMs() - startMs : null;
      settle({ kind: 'failure', reason, atLeastMs, value: null });
    };
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, COMMAND_TIMEOUT_MS);
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      if (output.length < OUTPUT_BYTES_MAX) output += text;
    });
    child.on('error', (error) => fails(messageOf(error)));
    // "exit", not "close": what it left behind with its output may live on.
    child.on('exit', (status, by) => {
      if (timedOut) return fails(`no end within ${COMMAND_TIMEOUT_MS} ms`);
      if (status !== 0) return fails(by === null ? `ended with status ${status}` : `ended by ${by}`);
      // What was written before the end is still to be read.
      setImmediate(() => settle({ kind: 'answer', milliseconds: clock.nowMs() - startMs, value: numberIn(output) }));
    });
    if (signal.aborted) kill();
    else signal.addEventListener('abort', kill, { once: true });
  });
}

function numberIn(output: string): number | null {
  const line = output.slice(0, output.indexOf('\n') === -1 ? undefined : output.indexOf('\n')).trim();
  const value = line === '' ? Number.NaN : Number(line);
  return Number.isFinite(value) ? value : null;
}
