// Virtual machines of ours as hosts. A machine is a QEMU process in a session of its own, which outlives us; all that
// we know of it is asked of it, of the kernel, or of the file system each time.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Call, type EpochGate, requireTool, runTool, UnderstudyError, withinTime } from '../../base/mod.ts';
import type { PowerDriver, PowerState } from '../contract.ts';
import { type Accelerator, findAccelerator } from './accelerator.ts';
import { machineArguments } from './command.ts';
import { idOf, type MachineCertificates, type MachineTls, removeMachineTls, withMachineTls } from './credentials.ts';
import { DISK, nbdServer } from './disk.ts';
import { isRoot, type Place, placesOf } from './places.ts';
import { isLocked, killMachine, machineProcesses, takeLock } from './presence.ts';
import { Monitor, MonitorRefused, MonitorSilent } from './qmp.ts';
import { needsRenewal, renewDisk } from './renewal.ts';
import type { QemuSettings } from './settings.ts';

export interface QemuPowerOptions {
  readonly hosts: ReadonlyMap<string, QemuSettings>;
  /** For locks, monitors and logs of QEMU. It must outlive every machine, so it is not a temporary folder. */
  readonly folder: string;
  readonly gate: EpochGate;
  /** NBD URI of the host's boot volume at this moment, asked at each `on`; null for a host without one. */
  readonly diskOf: (host: string) => Promise<string | null>;
  /** What the machine of a host proves itself with where its volume comes over TLS. @default no machine has anything */
  readonly certificatesOf?: (host: string) => Promise<MachineCertificates>;
  /** Bound of one call. @default 30000 */
  readonly timeoutMs?: number;
}

/** Requests of the guest to its boot volume since the machine was switched on. */
export interface DiskStatistics {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly readRequests: number;
  readonly writeRequests: number;
  readonly flushRequests: number;
}

const TIMEOUT_MS = 30_000;
/** A monitor answers within milliseconds, unless its machine hangs. */
const MONITOR_MS = 5000;
/** A machine that was told to quit may wait for its storage first; it gets so long. */
const QUIT_MS = 3000;
const LOOK_MS = 20;
/** Where the machine's process finds its lock; nothing reads it there, the process only has to have it. */
const LOCK_DESCRIPTOR = 3;

export class QemuPower implements PowerDriver {
  readonly name = 'qemu';
  readonly #options: QemuPowerOptions;
  readonly #timeoutMs: number;
  #places: ReadonlyMap<string, Place>;
  /** The last conversation with each monitor: it takes one client at a time. */
  readonly #talks = new Map<string, Promise<unknown>>();

  /** @throws CONFIG_INVALID for a folder whose path is too long for sockets */
  constructor(options: QemuPowerOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#places = placesOf(options.folder, options.hosts);
  }

  /** Takes other hosts; machines that run go on with what they were started with. @throws CONFIG_INVALID */
  setHosts(hosts: QemuPowerOptions['hosts']): void {
    this.#places = placesOf(this.#options.folder, hosts);
  }

  state(host: string, call: Call): Promise<PowerState> {
    return this.#asked(host, 'state', call, (place) => this.#look(place));
  }

  on(host: string, call: Call): Promise<void> {
    return this.#asked(host, 'on', call, async (place, signal) => {
      while ((await this.#look(place)) !== 'on') {
        signal.throwIfAborted();
        // Somebody else may be starting it, or it is ending.
        const lock = takeLock(place.lock);
        if (lock === null) await delay(LOOK_MS);
        else await this.#start(host, place, lock, call, signal);
      }
    });
  }

  /** Resolves when the machine's process is gone. */
  off(host: string, call: Call): Promise<void> {
    return this.#asked(host, 'off', call, async (place, signal) => {
      if ((await this.#look(place)) === 'off') return;
      signal.throwIfAborted();
      if (await this.#quit(place)) await this.#gone(place, signal, QUIT_MS);
      while ((await this.#look(place)) !== 'off') {
        signal.throwIfAborted();
        killMachine(place.uuid);
        await this.#gone(place, signal, QUIT_MS);
      }
      await removeMachineTls(place.tls);
    });
  }

  /**
   * Gives a machine that runs the certificate that its host has now; its guest notices nothing. A machine that is off,
   * or whose volume does not come over TLS, needs nothing. No power is switched, so no epoch is asked. @returns whether
   * it got another one
   * @throws HOST_UNKNOWN, POWER_FAILED, POWER_TIMEOUT, INTERRUPTED, CERTIFICATE_*
   */
  renew(host: string, signal: AbortSignal): Promise<boolean> {
    return this.#inTime(host, 'renew', signal, async (place) => {
      if ((await this.#look(place)) === 'off') return false;
      const uri = await this.#options.diskOf(host);
      const certificates = await this.#certificatesOf(host, uri);
      if (uri === null || certificates === null) return false;
      const talk = (work: (monitor: Monitor) => Promise<boolean>) => this.#talk(place, work).catch(refused);
      if ((await talk((monitor) => needsRenewal(monitor, idOf(certificates)))) !== true) return false;
      const renewed = await withMachineTls(place.tls, certificates, (tls) =>
        talk((monitor) => renewDisk(monitor, uri, tls)),
      );
      return renewed === true;
    });
  }

  /** null: the volume does not come over TLS. */
  async #certificatesOf(host: string, uri: string | null): Promise<MachineCertificates | null> {
    if (uri === null || !nbdServer(uri).tls) return null;
    const { certificatesOf } = this.#options;
    if (certificatesOf === undefined)
      throw new UnderstudyError('POWER_FAILED', `${host} has no certificate for ${uri}`);
    return certificatesOf(host);
  }

  /** Processes of the machine of a host, also of one that cannot be asked any more. None: it does not run here. */
  processesOf(host: string): readonly number[] {
    const place = this.#places.get(host);
    return place === undefined ? [] : machineProcesses(place.uuid);
  }

  /** @throws as `state`; POWER_FAILED when the machine is not on or has no disk */
  statistics(host: string, call: Call): Promise<DiskStatistics> {
    return this.#asked(host, 'statistics', call, async (place) => {
      const answer = await this.#talk(place, (monitor) => monitor.execute('query-blockstats')).catch(refused);
      const device = Array.isArray(answer) ? answer.find((entry) => String(entry.qdev).includes(`/${DISK}/`)) : null;
      const stats = device?.stats;
      if (stats === undefined) throw new UnderstudyError('POWER_FAILED', `${host} does not run, or has no disk`);
      return {
        readBytes: Number(stats.rd_bytes),
        writtenBytes: Number(stats.wr_bytes),
        readRequests: Number(stats.rd_operations),
        writeRequests: Number(stats.wr_operations),
        flushRequests: Number(stats.flush_operations),
      };
    });
  }

  #asked<T>(
    host: string,
    what: string,
    call: Call,
    work: (place: Place, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#inTime(host, what, call.signal, async (place, signal) => {
      await this.#options.gate.admit(`power/${host}`, call.epoch);
      return work(place, signal);
    });
  }

  #inTime<T>(
    host: string,
    what: string,
    signal: AbortSignal,
    work: (place: Place, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = {
      timeoutMs: this.#timeoutMs,
      code: 'POWER_TIMEOUT',
      what: () => `power ${what} of ${host}`,
    } as const;
    return withinTime(limit, signal, async (inner) => {
      const place = this.#places.get(host);
      if (place === undefined) throw new UnderstudyError('HOST_UNKNOWN', `no virtual machine is called ${host}`);
      return work(place, inner);
    });
  }

  async #look(place: Place): Promise<PowerState> {
    try {
      const answer = await this.#talk(place, (monitor) => monitor.execute('query-status'));
      if (answer !== null) return 'on';
    } catch (error) {
      if (error instanceof MonitorSilent || error instanceof MonitorRefused) return 'unknown';
      throw error;
    }
    return isPresent(place) ? 'unknown' : 'off';
  }

  /** Whether the machine said that it quits. */
  async #quit(place: Place): Promise<boolean> {
    try {
      return (await this.#talk(place, (monitor) => monitor.execute('quit'))) !== null;
    } catch (error) {
      // It may have ended before it answered, or hang: what follows looks, and does without it.
      if (error instanceof MonitorSilent || error instanceof MonitorRefused) return false;
      throw error;
    }
  }

  /** Waits until nothing of the machine is left, or the time is over. */
  async #gone(place: Place, signal: AbortSignal, patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (isPresent(place) && performance.now() < deadline) {
      signal.throwIfAborted();
      await delay(LOOK_MS);
    }
  }

  async #talk<T>(place: Place, work: (monitor: Monitor) => Promise<T>): Promise<T | null> {
    const timeoutMs = Math.min(MONITOR_MS, this.#timeoutMs / 3);
    const before = this.#talks.get(place.monitor);
    const talk = (async () => {
      await before?.catch(() => 'an answer for another caller');
      return Monitor.talk(place.monitor, timeoutMs, work);
    })();
    this.#talks.set(place.monitor, talk);
    try {
      return await talk;
    } finally {
      if (this.#talks.get(place.monitor) === talk) this.#talks.delete(place.monitor);
    }
  }

  /**
   * Starts the machine, whose lock we hold as `lock`; from then on its process does. Resolves when its monitor answers.
   */
  async #start(host: string, place: Place, lock: number, call: Call, signal: AbortSignal): Promise<void> {
    let held = true;
    const release = (): void => {
      if (held) closeSync(lock);
      held = false;
    };
    try {
      const disk = await this.#options.diskOf(host);
      const certificates = await this.#certificatesOf(host, disk);
      const run = async (tls: MachineTls | null): Promise<void> => {
        const command = await this.#command(host, place, disk, tls);
        const child = await this.#launch(host, place, command, lock, call, signal);
        release();
        await this.#started(host, place, child, signal);
      };
      await (certificates === null ? run(null) : withMachineTls(place.tls, certificates, run));
    } finally {
      release();
    }
  }

  async #launch(
    host: string,
    place: Place,
    { file, args }: Command,
    lock: number,
    call: Call,
    signal: AbortSignal,
  ): Promise<ChildProcess> {
    // Last of all and under the lock: whoever is replaced after this holds the lock, and so the machine is not off to
    // anybody.
    await this.#options.gate.admit(`power/${host}`, call.epoch);
    signal.throwIfAborted();
    if (machineProcesses(place.uuid).length > 0) {
      throw new UnderstudyError('POWER_FAILED', `${host} runs without its lock; was ${place.lock} removed?`);
    }
    return launch(file, args, place.log, lock);
  }

  async #command(host: string, place: Place, disk: string | null, tls: MachineTls | null): Promise<Command> {
    const { settings, uuid, monitor } = place;
    const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86');
    const accelerator = await this.#accelerator(qemu, settings);
    for (const { tap } of settings.interfaces) await requireLink(host, tap, settings.netns);
    const args = machineArguments({ host, settings, uuid, monitor, accelerator, disk, tls, byRoot: isRoot() });
    if (settings.netns === undefined) return { file: qemu, args };
    return { file: requireTool('ip', 'iproute2'), args: ['netns', 'exec', settings.netns, qemu, ...args] };
  }

  async #accelerator(qemu: string, { accelerator }: QemuSettings): Promise<Accelerator> {
    return accelerator === 'auto' ? findAccelerator(qemu, this.#options.folder) : accelerator;
  }

  async #started(host: string, place: Place, child: ChildProcess, signal: AbortSignal): Promise<void> {
    // Read only while we wait for the monitor; a machine that ends later is nobody's failure.
    const end: { reason?: () => string } = {};
    child.on('error', (error) => {
      end.reason = () => error.message;
    });
    child.on('exit', (status, by) => {
      end.reason ??= () => `QEMU ended ${by === null ? `with status ${status}` : `by ${by}`}: ${tailOf(place.log)}`;
    });
    while ((await this.#look(place)) !== 'on') {
      if (end.reason !== undefined) {
        throw new UnderstudyError('POWER_FAILED', `${host} was not started: ${end.reason()}`);
      }
      if (signal.aborted) {
        // A machine that comes up after its caller was told that it did not would surprise everybody.
        const ended = once(child, 'exit');
        if (child.kill('SIGKILL')) await ended;
        throw signal.reason;
      }
      await delay(LOOK_MS);
    }
  }
}

interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** QEMU that runs as root would make the device that it does not find, connected to nothing. */
async function requireLink(host: string, link: string, netns: string | undefined): Promise<void> {
  const where = netns === undefined ? [] : ['-netns', netns];
  const done = await runTool(requireTool('ip', 'iproute2'), [...where, 'link', 'show', 'dev', link]);
  if (done.status === 0) return;
  throw new UnderstudyError('POWER_FAILED', `${host} was not started: ${done.stderr.trim()}`);
}

function isPresent({ lock, uuid }: Place): boolean {
  return isLocked(lock) || machineProcesses(uuid).length > 0;
}

function refused(error: unknown): never {
  if (!(error instanceof MonitorSilent || error instanceof MonitorRefused)) throw error;
  throw new UnderstudyError('POWER_FAILED', error.message, { cause: error });
}

/** What a program says last is why it ended. */
function tailOf(log: string): string {
  return readFileSync(log, 'utf8').trim().split('\n').slice(-3).join('; ');
}

/** Starts QEMU in a session of its own, with the lock, and with nothing else that is ours. */
function launch(file: string, args: readonly string[], log: string, lock: number): ChildProcess {
  const output = openSync(log, 'w', 0o600);
  try {
    const stdio: (number | 'ignore')[] = ['ignore', output, output];
    stdio[LOCK_DESCRIPTOR] = lock;
    const child = spawn(file, args, { stdio, detached: true, cwd: '/' });
    child.unref();
    return child;
  } finally {
    closeSync(output);
  }
}
