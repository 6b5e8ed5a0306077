// Who has the volumes open: the daemon of the storage node and no other process. A second daemon is left when the state
// folder was removed under a running controller; the first one still holds the volumes then.
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { storagePaths } from '../../src/storage/mod.ts';
import { checked, type Finding, failure } from './check.ts';

interface Process {
  readonly pid: number;
  /** First word of its command line, without its folder. */
  readonly program: string;
  readonly args: readonly string[];
  /** Volumes that it has open, by name. */
  readonly volumes: readonly string[];
  /** It holds files of a state folder that was removed. */
  readonly isLeft: boolean;
}

const DAEMON = 'qemu-storage-daemon';

export async function* examineUsers(configuration: Configuration): AsyncIterable<Check> {
  const { lock, qmp } = storagePaths(configuration.state);
  const all = processes(configuration, lock);
  const daemons = all.filter(({ program, args, volumes }) => {
    return program === DAEMON && (volumes.length > 0 || args.some((word) => word.includes(`path=${qmp}`)));
  });
  yield checked('daemon', 'storage', null, () => daemon(daemons));
  const strangers = all.filter(({ program, volumes }) => program !== DAEMON && volumes.length > 0);
  for (const { pid, program, volumes } of strangers) {
    const detail = `process ${pid} (${program}) has ${volumes.join(', ')} open`;
    const remedy = 'end it: hosts reach their volumes through the storage node only';
    yield checked('daemon', volumes.join(', '), null, () => failure(detail, remedy));
  }
}

function daemon(found: readonly Process[]): Finding | string {
  const [one, ...others] = found;
  if (one === undefined) return 'no storage daemon runs here';
  if (others.length === 0 && !one.isLeft) return `process ${one.pid} holds the volumes, and no other does`;
  const said = found.map(({ pid, isLeft }) => `${pid}${isLeft ? ' (of a state folder that was removed)' : ''}`);
  const detail =
    others.length === 0
      ? `process ${said.join()} is a storage daemon that no controller can reach`
      : `${found.length} storage daemons have the volumes of this installation: processes ${said.join(' and ')}`;
  return failure(
    detail,
    'stop the controller, switch the hosts off that use them, end these daemons (kill PID), and start the controller',
  );
}

/** Those that this user may look at. */
function processes(configuration: Configuration, lock: string): readonly Process[] {
  const volumes = new Map<string, string>();
  for (const { name, path } of configuration.volumes.values()) {
    const id = identityOf(path);
    if (id !== null) volumes.set(id, name);
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => processOf(Number(name), volumes, lock));
}

function processOf(pid: number, volumes: ReadonlyMap<string, string>, lock: string): readonly Process[] {
  const folder = `/proc/${pid}`;
  try {
    // proc_pid_cmdline(5): words, each with a zero byte behind it.
    const [first = '', ...args] = readFileSync(join(folder, 'cmdline'), 'utf8').split('\0');
    const open = new Set<string>();
    let isLeft = false;
    for (const fd of readdirSync(join(folder, 'fd'))) {
      const path = join(folder, 'fd', fd);
      isLeft ||= linkOf(path) === `${lock} (deleted)`;
      const id = identityOf(path);
      const volume = id === null ? undefined : volumes.get(id);
      if (volume !== undefined) open.add(volume);
    }
    const program = first.slice(first.lastIndexOf('/') + 1);
    return [{ pid, program, args, volumes: [...open].toSorted(), isLeft }];
  } catch (error) {
    // It has ended meanwhile, or belongs to another user.
    if (errnoOf(error) === null) throw error;
    return [];
  }
}

/** Of the file or the device behind a name; null: there is none. */
function identityOf(path: string): string | null {
  try {
    const stats = statSync(path);
    if (stats.isBlockDevice()) return `device ${stats.rdev}`;
    return stats.isFile() ? `file ${stats.dev} ${stats.ino}` : null;
  } catch {
    return null;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
