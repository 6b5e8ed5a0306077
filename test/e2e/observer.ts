// Watches from outside what must always hold, by the kernel, QEMU's command lines, the bytes of a disk and HAProxy's own
// statistics. It knows where things are and believes none of our records.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readFromImage } from '../../guests/mod.ts';
import type { Stage } from '../../scripts/loop/stage.ts';
import { commandsWith, identityOf } from '../rig/machines.ts';
import { askHaproxyStat } from './haproxy-stat.ts';

const LOOK_MS = 150;
/** O_WRONLY and O_RDWR: open(2). */
const WRITES = 0o3;

interface Machine {
  readonly pid: number;
  readonly host: string;
  readonly mac: string;
}

export interface ObserverOptions {
  readonly stage: Stage;
  readonly lead: string;
  readonly spare: string;
  /** machine-id of the lead, which nobody else may have. */
  readonly leadMachineId: string;
}

export class Observer {
  readonly #options: ObserverOptions;
  readonly #violations: string[] = [];
  readonly #proved = new Set<string>();
  #looks = 0;
  #watching = true;
  readonly #ended: Promise<void>;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#ended = this.#watch();
  }

  /** @returns what was seen that must not be, and how often it was looked */
  async stop(): Promise<{ readonly violations: readonly string[]; readonly looks: number }> {
    this.#watching = false;
    await this.#ended;
    return { violations: this.#violations, looks: this.#looks };
  }

  async #watch(): Promise<void> {
    while (this.#watching) {
      await this.#look();
      this.#looks += 1;
      await delay(LOOK_MS);
    }
  }

  async #look(): Promise<void> {
    const { stage, lead, spare } = this.#options;
    // Writers first: one that goes before a machine comes is right, the other way round it would look wrong.
    for (const host of [lead, spare]) {
      const writers = writersOf(stage.volume(host));
      const strangers = writers.filter(({ program }) => !program.startsWith('qemu-storage-d'));
      const on = machinesIn(stage.folder).some((machine) => machine.host === host);
      if (strangers.length > 0 && (on || host === lead)) {
        this.#say(`1: ${strangers.map(({ program }) => program).join(', ')} write the volume of ${host}`);
      }
    }
    const machines = machinesIn(stage.folder);
    if (new Set(machines.map(({ host }) => host)).size < machines.length) this.#say(`3: one host, two machines`);
    if (new Set(machines.map(({ mac }) => mac)).size < machines.length) this.#say(`3: one MAC, two machines`);
    if (machines.length > 2) this.#say(`5: ${machines.length} hosts are on`);
    for (const machine of machines) if (machine.host === spare) await this.#proveIdentity(machine);
    await this.#lookAtDirector();
  }

  /** Once for each start of the spare: what it boots says that it is the spare, or the spare's own disk says so anyway. */
  async #proveIdentity({ pid, host }: Machine): Promise<void> {
    const start = identityOf(pid);
    if (this.#proved.has(start)) return;
    this.#proved.add(start);
    const read = async (path: string): Promise<string> =>
      new TextDecoder()
        .decode((await readFromImage(this.#options.stage.volume(host), path)) ?? new Uint8Array())
        .trim();
    const [hostName, machineId] = [await read('/etc/hostname'), await read('/etc/machine-id')];
    if (hostName !== host || machineId === this.#options.leadMachineId) {
      this.#say(`2: ${host} started as ${hostName}, ${machineId}`);
    }
  }

  async #lookAtDirector(): Promise<void> {
    const { stage, spare } = this.#options;
    const servers = await askHaproxyStat(join(stage.folder, 'haproxy.sock'));
    if (servers.some(({ backend, server }) => backend === 'wiki' && server === spare)) {
      this.#say(`6: HAProxy sends writes to ${spare}`);
    }
  }

  #say(violation: string): void {
    this.#violations.push(`look ${this.#looks}: invariant ${violation}`);
  }
}

/** Machines whose command line names the folder. */
function machinesIn(folder: string): readonly Machine[] {
  return [...commandsWith(folder)].flatMap(([pid, args]) => {
    const host = args.map((argument) => /^guest=(.+)$/.exec(argument)?.[1]).find((name) => name !== undefined);
    const mac = args.map((argument) => /,mac=([0-9a-f:]{17})/.exec(argument)?.[1]).find((name) => name !== undefined);
    return host === undefined || mac === undefined ? [] : [{ pid, host, mac }];
  });
}

/** Processes that have a file open for writing. */
function writersOf(path: string): readonly { readonly pid: number; readonly program: string }[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  return pids.flatMap((pid) =>
    hasOpenForWriting(pid, path) ? [{ pid: Number(pid), program: textOf(pid, 'comm') }] : [],
  );
}

function hasOpenForWriting(pid: string, path: string): boolean {
  return descriptorsOf(pid).some((fd) => {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== path) return false;
    } catch {
      // Closed since it was listed.
      return false;
    }
    const flags = /^flags:\s+(\d+)$/m.exec(textOf(pid, `fdinfo/${fd}`))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & WRITES) !== 0;
  });
}

function descriptorsOf(pid: string): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    // Ended since it was listed.
    return [];
  }
}

function textOf(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8').trim();
  } catch {
    // Ended since it was listed.
    return '';
  }
}
