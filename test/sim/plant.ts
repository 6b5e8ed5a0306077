// The plant of the simulation: hosts, volumes, a director and a network as they really are, whatever the controller
// believes. The invariants of the design are checked here, on the truth, at every change. Storage node and director are
// those that pass their contracts' suites.
import { type Call, type EpochGate, UnderstudyError } from '../../src/base/mod.ts';
import type { Configuration, HostConfig } from '../../src/config/mod.ts';
import { FakeDirector } from '../../src/director/mod.ts';
import type { NetworkProbe } from '../../src/network/mod.ts';
import type { PowerDriver, PowerState } from '../../src/power/mod.ts';
import type { StorageNode } from '../../src/storage/mod.ts';
import type { Store } from '../../src/store/mod.ts';
import { SimulatedDisks } from './disks.ts';

export class InvariantBroken extends Error {}

/** Milliseconds that a machine needs from power to its first answer. */
const BOOT_MS = 15_000;

export class Plant {
  readonly config: Configuration;
  readonly director: FakeDirector;
  readonly disks: SimulatedDisks;
  readonly storage: StorageNode;
  readonly #gate: EpochGate;
  readonly #on = new Map<string, { readonly sinceMs: number; readonly identity: string } | null>();
  /** Hosts whose relay cannot be asked. */
  readonly silent = new Set<string>();
  /** Hosts that come up and never answer. */
  readonly mute = new Set<string>();
  nowMs = 1_000_000_000_000;
  /** The first invariant that was broken: drivers make errors of their own of what is thrown inside of them. */
  broken: InvariantBroken | null = null;

  private constructor(config: Configuration, gate: EpochGate, store?: Store) {
    this.config = config;
    this.#gate = gate;
    const owners = new Map([...config.hosts.values()].map(({ name, volume }) => [volume, name]));
    this.disks = new SimulatedDisks(owners, gate, (volume, what) => this.#checkDisk(volume, what), store);
    this.storage = this.disks.exposed;
    for (const name of owners.values()) this.#on.set(name, null);
    this.director = new FakeDirector({
      services: Object.fromEntries(
        [...config.services.values()].map(({ name, lead, port }) => {
          const address = this.host(lead).address;
          return [name, [{ name: lead, address, port, traffic: 'all' as const }]];
        }),
      ),
      gate,
      responseMs: (address) => (this.#answersAt(address) ? 10 : null),
      wait: async (ms) => {
        this.nowMs += ms;
      },
    });
  }

  /** With every lead on, and serving. @param store of the storage node @default one of its own */
  static async make(config: Configuration, gate: EpochGate, store?: Store): Promise<Plant> {
    const plant = new Plant(config, gate, store);
    await plant.disks.start();
    for (const { lead } of config.services.values()) {
      const call = { epoch: 1, signal: new AbortController().signal };
      await plant.storage.attach(plant.host(lead).volume, lead, call);
      plant.switchOn(lead);
    }
    return plant;
  }

  host(name: string): HostConfig {
    const host = this.config.hosts.get(name);
    if (host === undefined) throw new Error(`the plant has no host ${name}`);
    return host;
  }

  isOn(host: string): boolean {
    return (this.#on.get(host) ?? null) !== null;
  }

  #break(what: string): never {
    const error = new InvariantBroken(what);
    this.broken ??= error;
    throw error;
  }

  /** As somebody in the machine room does. */
  switchOn(name: string): void {
    const { volume } = this.host(name);
    if (this.isOn(name) || !this.disks.isServed(volume)) return;
    const { data, identity } = this.disks.bytesOf(volume);
    if (data === '' || identity !== name) this.#break(`2: ${name} starts with the data of "${data}", as "${identity}"`);
    for (const [other, machine] of this.#on) {
      if (machine?.identity === identity) this.#break(`3: ${name} and ${other} are both ${identity}`);
    }
    this.#on.set(name, { sinceMs: this.nowMs, identity });
    this.#checkMaximum();
  }

  switchOff(name: string): void {
    this.#on.set(name, null);
  }

  #answersAt(address: string): boolean {
    return [...this.config.hosts.values()].some((host) => host.address === address && this.answers(host.name));
  }

  answers(name: string): boolean {
    const machine = this.#on.get(name) ?? null;
    return machine !== null && !this.mute.has(name) && this.nowMs - machine.sinceMs >= BOOT_MS;
  }

  /** Seen from outside: machines that run with a replica of a lead, beside the lead. */
  #checkMaximum(): void {
    for (const service of this.config.services.values()) {
      const clones = [...this.config.hosts.values()].filter(({ name, volume }) => {
        return this.isOn(name) && name !== service.lead && this.disks.bytesOf(volume).data === service.lead;
      });
      if (1 + clones.length > service.hostsMax) this.#break(`5: ${service.name} has ${1 + clones.length}`);
    }
  }

  /** Called after every change of a disk, also in the middle of a copy. */
  #checkDisk(volume: string, what: 'written' | 'discarded' | 'unserving'): void {
    const owner = this.disks.ownerOf(volume);
    if (what === 'unserving') {
      if (this.isOn(owner)) this.#break(`1: ${volume} is taken from ${owner}, which is on`);
      return;
    }
    const leads = [...this.config.services.values()].map(({ lead }) => lead);
    if (what === 'written') {
      if (leads.includes(owner)) this.#break(`1: the volume of the lead ${owner} is written`);
      if (this.isOn(owner)) this.#break(`1: the volume of ${owner}, which is on, is written`);
    }
    if (!this.disks.hasOwnData(volume)) this.#break(`4: the data of ${owner} is lost`);
  }

  readonly power: PowerDriver = {
    name: 'sim',
    state: async (host: string): Promise<PowerState> => {
      if (this.silent.has(host)) return 'unknown';
      return this.isOn(host) ? 'on' : 'off';
    },
    on: async (host: string, call: Call) => {
      await this.#gate.admit(`power/${host}`, call.epoch);
      this.switchOn(host);
    },
    off: async (host: string, call: Call) => {
      await this.#gate.admit(`power/${host}`, call.epoch);
      if (this.silent.has(host)) throw new UnderstudyError('POWER_FAILED', 'no answer');
      this.switchOff(host);
    },
  };

  readonly network: NetworkProbe = {
    holders: async (_link, address) =>
      [...this.config.hosts.values()]
        .filter((host) => host.address === address && this.isOn(host.name))
        .flatMap(({ interfaces }) => interfaces.map(({ mac }) => mac)),
    check: async (address) => ({ ok: this.#answersAt(address), detail: 'simulated', milliseconds: 10 }),
    sshHostKeys: async (address) => (this.#answersAt(address) ? ['SHA256:sim'] : []),
  };
}
