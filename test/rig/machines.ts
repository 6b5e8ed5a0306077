// Virtual machines of a test, seen from outside: as processes of this computer.
import { readdirSync, readFileSync } from 'node:fs';
import { killProcess } from '../../src/linux/mod.ts';
import { stateOf } from './processes.ts';
import { eventually } from './wait.ts';

function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    // Ended since it was listed, which the caller sees as a process without arguments.
    return '';
  }
}

/** Processes among whose arguments is a text, by their number. */
export function commandsWith(text: string): ReadonlyMap<number, readonly string[]> {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  const commands = pids.map((pid) => [Number(pid), fileOf(Number(pid), 'cmdline').split('\0')] as const);
  return new Map(commands.filter(([, args]) => args.some((argument) => argument.includes(text))));
}

/** Processes of QEMU among whose arguments is a text, such as the name of the test's folder. */
export function machinesWith(text: string): readonly number[] {
  const commands = [...commandsWith(text)];
  return commands.filter(([, [program = '']]) => program.endsWith('/qemu-system-x86_64')).map(([pid]) => pid);
}

/** Number and start time (proc(5), stat field 22): no other process ever has both. */
export function identityOf(pid: number): string {
  return `${pid} ${/\) (?:\S+ ){19}(\S+)/.exec(fileOf(pid, 'stat'))?.[1]}`;
}

/** Stops every thread of a process, or lets it go on. */
export async function freeze(pid: number, frozen: boolean): Promise<void> {
  process.kill(pid, frozen ? 'SIGSTOP' : 'SIGCONT');
  const tasks = (): string[] => readdirSync(`/proc/${pid}/task`);
  const stopped = (): boolean => tasks().every((task) => stateOf(Number(task)) === 'T');
  if (frozen) await eventually(`${pid} stands still`, stopped);
}

/** Ends all that is left of a test's machines. */
export async function killMachinesWith(text: string): Promise<void> {
  for (const pid of machinesWith(text)) killProcess(pid, () => machinesWith(text).includes(pid));
  await eventually('all machines are gone', () => machinesWith(text).length === 0);
}
