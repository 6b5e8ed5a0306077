// Living processes that inherited a mark in their environment, whatever their name, parent or session.
import { readdirSync, readFileSync } from 'node:fs';

export interface MarkedProcess {
  readonly pid: number;
  readonly command: string;
}

/** Content of a file of /proc, or '' when the process has gone meanwhile. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Ended between the listing and now, or (being a zombie) without this file: in both cases it is not alive.
    return '';
  }
}

export function markedProcesses(mark: string): readonly MarkedProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => contentOf(`/proc/${pid}/environ`).includes(`${mark}\0`))
    .map((pid) => ({ pid: Number(pid), command: commandOf(Number(pid)) }))
    .filter(({ command }) => command !== '');
}

export function isProducer({ command }: MarkedProcess): boolean {
  return command.startsWith('understudy-producer') || command.includes('/producer/main.js');
}

/** State letter of a process ('R', 'S', 'T' stopped, 'Z'), or '' when it is gone. */
export function stateOf(pid: number): string {
  return /^\d+ \(.*\) (\w)/s.exec(contentOf(`/proc/${pid}/stat`))?.[1] ?? '';
}

/** Command line of a process, or '' when it is gone. */
export function commandOf(pid: number): string {
  return contentOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}
