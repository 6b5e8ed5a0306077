// The plant of the simulation: hosts, volumes, a director and a network as they really are, whatever the controller
// believes. The invariants of the design are checked here, on the truth, at every change. Storage node, director, power
// and network are those that pass their contracts' suites, and lie when they are told to.
import type { EpochGate } from '../../src/base/mod.ts';
import type { Configuration, HostConfig } from '../../src/config/mod.ts';
import { FakeDirector } from '../../src/director/mod.ts';
import { FakeNetwork, type FakeStation, type NetworkProbe } from '../../src/network/mod.ts';
import { FakePower, type PowerDriver } from '../../src/power/mod.ts';
import type { StorageNode } from '../../src/storage/mod.ts';
import type { Store } from '../../src/store/mod.ts';
import { SimulatedDisks } from './disks.ts';

export class InvariantBroken extends Error {}

/** Milliseconds that a machine needs from power to its first answer. */
const BOOT_MS = 15_000;
const LINK = 'br0';

/** Another computer with this address. */
export function strangerAt(address: string): FakeStation {
  const mac = '52:54:00:ff:ff:ff';
  return { link: LINK, address, mac, answer: () => null, sshPort: 22, sshHostKeys: [] };
}

interface Machine {
  readonly sinceMs: number;
  /** Of the disk with which it started. null: its volume was not served, and it can neither read nor write it. */
  readonly disk: { readonly identity: string; readonly keys: readonly string[] } | null;
}

export class Plant {
  readonly config: Configuration;
  readonly director: FakeDirector;
  readonly disks: SimulatedDisks;
  readonly storage: StorageNode;
  /** Hosts whose relay cannot be asked. */
  readonly silent = new Set<string>();
  /** Hosts that come up and never answer. */
  readonly mute = new Set<string>();
  /** SSH host keys that a host shows instead of those of its disk. */
  readonly foreignKeys = new Map<string, readonly string[]>();
  /** Others on the link. */
  readonly strangers: FakeStation[] = [];
  readonly relays: FakePower;
  readonly power: PowerDriver;
  readonly network: NetworkProbe;
  nowMs = 1_000_000_000_000;
  /** The first invariant that was broken: drivers make errors of their own of what is thrown inside of them. */
  broken: InvariantBroken | null = null;
  readonly #machines = new Map<string, Machine>();

  private constructor(config: Configuration, gate: EpochGate, store?: Store) {
    this.config = config;
    const owners = new Map([...config.hosts.values()].map(({ name, volume }) => [volume, name]));
    this.disks = new SimulatedDisks(owners, gate, (volume, what) => this.#checkDisk(volume, what), store);
    this.storage = this.disks.exposed;
    const wait = async (ms: number): Promise<void> => {
      this.nowMs += ms;
    };
    const relays = new FakePower({
      hosts: [...owners.values()],
      gate,
      wait,
      onChange: (host, on) => (on ? this.#started(host) : void this.#machines.delete(host)),
      faultOf: (host) => (this.silent.has(host) ? { kind: 'silent' } : null),
    });
    this.relays = relays;
    // Objects of their own, whose methods a test can replace.
    this.power = {
      name: 'sim',
      state: (...args) => relays.state(...args),
      on: (...args) => relays.on(...args),
      off: (...args) => relays.off(...args),
    };
    const network = new FakeNetwork({ links: [LINK], stations: () => this.#stations() });
    this.network = {
      holders: (...args) => network.holders(...args),
      check: (...args) => network.check(...args),
      sshHostKeys: (...args) => network.sshHostKeys(...args),
    };
    this.director = new FakeDirector({
      services: Object.fromEntries(
        [...config.services.values()].map(({ name, lead, port }) => {
          const address = this.host(lead).address;
          return [name, [{ name: lead, address, port, traffic: 'all' as const }]];
        }),
      ),
      gate,
      responseMs: (address) => (this.#answersAt(address) ? 10 : null),
      wait,
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

  /** Whether it has power, whatever its relay says. */
  isOn(host: string): boolean {
    return this.relays.isOn(host);
  }

  #break(what: string): never {
    const error = new InvariantBroken(what);
    this.broken ??= error;
    throw error;
  }

  /** As somebody in the machine room does. */
  switchOn(name: string): void {
    this.relays.set(name, true);
  }

  switchOff(name: string): void {
    this.relays.set(name, false);
  }

  /** One whose volume is not served has nothing to start from, until it is switched off and on again. */
  #started(name: string): void {
    const { volume } = this.host(name);
    if (!this.disks.isServed(volume)) {
      this.#machines.set(name, { sinceMs: this.nowMs, disk: null });
      return;
    }
    const { data, identity, keys } = this.disks.bytesOf(volume);
    if (data === '' || identity !== name) this.#break(`2: ${name} starts with the data of "${data}", as "${identity}"`);
    for (const [other, { disk }] of this.#machines) {
      if (disk?.identity === identity) this.#break(`3: ${name} and ${other} are both ${identity}`);
    }
    this.#machines.set(name, { sinceMs: this.nowMs, disk: { identity, keys } });
    this.#checkMaximum();
  }

  #hasDisk(name: string): boolean {
    return (this.#machines.get(name)?.disk ?? null) !== null;
  }

  #answersAt(address: string): boolean {
    return [...this.config.hosts.values()].some((host) => host.address === address && this.answers(host.name));
  }

  /** Whether its users get answers. */
  answers(name: string): boolean {
    return this.#isUp(name) && !this.mute.has(name);
  }

  #isUp(name: string): boolean {
    const machine = this.#machines.get(name);
    return machine !== undefined && machine.disk !== null && this.nowMs - machine.sinceMs >= BOOT_MS;
  }

  /** All who have an address now. */
  #stations(): readonly FakeStation[] {
    const up = [...this.config.hosts.values()].filter(({ name }) => this.#isUp(name));
    const own = up.map(({ name, address, interfaces }): FakeStation => {
      const answers = this.answers(name);
      const keys = this.foreignKeys.get(name) ?? this.#machines.get(name)?.disk?.keys ?? [];
      return {
        ...{ link: LINK, address, mac: interfaces[0]?.mac ?? '', sshPort: 22 },
        answer: () => (answers ? { status: 200, body: name } : null),
        sshHostKeys: answers ? keys : [],
      };
    });
    return [...own, ...this.strangers];
  }

  /** Seen from outside: machines that run with a replica of a lead, beside the lead. */
  #checkMaximum(): void {
    for (const service of this.config.services.values()) {
      const clones = [...this.config.hosts.values()].filter(({ name, volume }) => {
        return this.#hasDisk(name) && name !== service.lead && this.disks.bytesOf(volume).data === service.lead;
      });
      if (1 + clones.length > service.hostsMax) this.#break(`5: ${service.name} has ${1 + clones.length}`);
    }
  }

  /** Called after every change of a disk, also in the middle of a copy. */
  #checkDisk(volume: string, what: 'written' | 'discarded' | 'unserving'): void {
    const owner = this.disks.ownerOf(volume);
    if (what === 'unserving') {
      if (this.#hasDisk(owner)) this.#break(`1: ${volume} is taken from ${owner}, which is on`);
      return;
    }
    const leads = [...this.config.services.values()].map(({ lead }) => lead);
    if (what === 'written') {
      if (leads.includes(owner)) this.#break(`1: the volume of the lead ${owner} is written`);
      if (this.#hasDisk(owner)) this.#break(`1: the volume of ${owner}, which is on, is written`);
    }
    const { expendable } = this.host(owner);
    if (!expendable && !this.disks.hasOwnData(volume)) this.#break(`4: the data of ${owner} is lost`);
  }
}
