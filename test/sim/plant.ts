// The plant of the simulation: hosts, volumes, a director and a network as they really are, whatever the controller believes.
// The invariants of the design are checked here, on the truth, at every change.
import { type Call, type EpochGate, UnderstudyError } from '../../src/base/mod.ts';
import type { Configuration, HostConfig } from '../../src/config/mod.ts';
import { FakeDirector } from '../../src/director/mod.ts';
import type { Plan } from '../../src/identity/mod.ts';
import type { NetworkProbe } from '../../src/network/mod.ts';
import type { PowerDriver, PowerState } from '../../src/power/mod.ts';
import type { Backup, StorageNode, StorageStatus, VolumeContent } from '../../src/storage/mod.ts';

/** What lies on a disk: whose data, and who it says it is. */
interface Bytes {
  readonly data: string;
  readonly identity: string;
}

interface Disk {
  readonly owner: string;
  bytes: Bytes;
  content: VolumeContent;
  attachedTo: string | null;
  readonly backups: Map<string, Bytes>;
}

export class InvariantBroken extends Error {}

/** Milliseconds that a machine needs from power to its first answer. */
const BOOT_MS = 15_000;

export class Plant {
  readonly config: Configuration;
  readonly director: FakeDirector;
  readonly disks = new Map<string, Disk>();
  readonly #gate: EpochGate;
  readonly #on = new Map<string, { readonly sinceMs: number; readonly identity: string } | null>();
  /** Hosts whose relay cannot be asked. */
  readonly silent = new Set<string>();
  /** Hosts that come up and never answer. */
  readonly mute = new Set<string>();
  nowMs = 1_000_000_000_000;

  constructor(config: Configuration, gate: EpochGate) {
    this.config = config;
    this.#gate = gate;
    for (const host of config.hosts.values()) {
      const bytes = { data: host.name, identity: host.name };
      this.disks.set(host.volume, {
        owner: host.name,
        bytes,
        content: { kind: 'own' },
        attachedTo: null,
        backups: new Map(),
      });
      this.#on.set(host.name, null);
    }
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

  host(name: string): HostConfig {
    const host = this.config.hosts.get(name);
    if (host === undefined) throw new Error(`the plant has no host ${name}`);
    return host;
  }

  disk(volume: string): Disk {
    const disk = this.disks.get(volume);
    if (disk === undefined) throw new UnderstudyError('VOLUME_UNKNOWN', volume);
    return disk;
  }

  isOn(host: string): boolean {
    return (this.#on.get(host) ?? null) !== null;
  }

  /** As somebody in the machine room does. */
  switchOn(name: string): void {
    const disk = this.disk(this.host(name).volume);
    if (this.isOn(name)) return;
    if (disk.attachedTo !== name) return;
    if (disk.content.kind === 'unfinished') throw new InvariantBroken(`2: ${name} starts with an unfinished volume`);
    if (disk.content.kind === 'replica' && disk.content.identityOf !== name) {
      throw new InvariantBroken(`2: ${name} starts with the replica of ${disk.content.of}`);
    }
    const { identity } = disk.bytes;
    for (const [other, machine] of this.#on) {
      if (machine?.identity === identity) throw new InvariantBroken(`3: ${name} and ${other} are both ${identity}`);
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
        const { bytes } = this.disk(volume);
        return this.isOn(name) && name !== service.lead && bytes.data === service.lead;
      });
      if (1 + clones.length > service.hostsMax)
        throw new InvariantBroken(`5: ${service.name} has ${1 + clones.length}`);
    }
  }

  /** Called before and after every write to a disk. */
  #checkWrite(volume: string): void {
    const disk = this.disk(volume);
    const leads = [...this.config.services.values()].map(({ lead }) => lead);
    if (leads.includes(disk.owner)) throw new InvariantBroken(`1: the volume of the lead ${disk.owner} is written`);
    if (this.isOn(disk.owner)) throw new InvariantBroken(`1: the volume of ${disk.owner}, which is on, is written`);
    const restorable =
      disk.bytes.data === disk.owner || [...disk.backups.values()].some(({ data }) => data === disk.owner);
    if (!restorable) throw new InvariantBroken(`4: the data of ${disk.owner} is lost`);
  }

  #write(volume: string, bytes: Bytes, content: VolumeContent): void {
    const disk = this.disk(volume);
    disk.bytes = bytes;
    disk.content = content;
    this.#checkWrite(volume);
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

  readonly storage: StorageNode = {
    status: async (): Promise<StorageStatus> => ({
      name: 'sim',
      daemon: { running: true, restarts: 0 },
      freeBytes: 1e12,
      volumes: [...this.disks].map(([name, disk]) => ({
        name,
        sizeBytes: 1e9,
        path: `/sim/${name}`,
        generation: 1,
        content: disk.content,
        attachment: disk.attachedTo === null ? null : { host: disk.attachedTo, uri: `nbd://sim/${name}` },
        problem: null,
        backups: [...disk.backups.keys()].map((engagement) => this.#backup(engagement)),
      })),
    }),
    attach: async (volume, host, call) => {
      await this.#admit(volume, call);
      const disk = this.disk(volume);
      const allowed =
        disk.content.kind === 'own' || (disk.content.kind === 'replica' && disk.content.identityOf === host);
      if (!allowed) throw new UnderstudyError('VOLUME_STATE', `${volume} is ${disk.content.kind}`);
      disk.attachedTo = host;
      return { uri: `nbd://sim/${volume}` };
    },
    detach: async (volume, call) => {
      await this.#admit(volume, call);
      const disk = this.disk(volume);
      if (this.isOn(disk.owner)) throw new InvariantBroken(`1: ${volume} is detached from ${disk.owner}, which is on`);
      disk.attachedTo = null;
    },
    backup: async (volume, engagement, call) => {
      await this.#admit(volume, call);
      const disk = this.#free(volume);
      if (disk.backups.has(engagement)) return this.#backup(engagement);
      if (disk.content.kind !== 'own') throw new UnderstudyError('VOLUME_STATE', `${volume} is ${disk.content.kind}`);
      disk.backups.set(engagement, disk.bytes);
      return this.#backup(engagement);
    },
    replicate: async ({ engagement, from, to }, call) => {
      await this.#admit(to, call);
      const disk = this.#free(to);
      const source = this.disk(from);
      const takenAt = new Date(this.nowMs).toISOString();
      this.#write(to, { data: 'half', identity: 'half' }, { kind: 'unfinished', engagement, step: 'replicate' });
      const content = { kind: 'replica', engagement, of: disk.owner, takenAt, identityOf: null } as const;
      this.#write(to, source.bytes, { ...content, of: source.owner });
      return { takenAt };
    },
    personalise: async ({ engagement, volume, host }, call) => {
      await this.#admit(volume, call);
      const { content, bytes } = this.#free(volume);
      const again = content.kind === 'unfinished' && content.step === 'personalise';
      if (content.kind !== 'replica' && !again)
        throw new UnderstudyError('VOLUME_STATE', `${volume} is ${content.kind}`);
      const of = bytes.data;
      const replica = { kind: 'replica', engagement, of, takenAt: 'then', identityOf: host } as const;
      this.#write(volume, { ...bytes, identity: 'half' }, { kind: 'unfinished', engagement, step: 'personalise' });
      this.#write(volume, { ...bytes, identity: host }, replica);
      const proof = { sshHostKeys: ['SHA256:sim'], machineId: host };
      return { proof, fingerprint: '', changes: [], findings: [], unknown: [] } as unknown as Plan;
    },
    restore: async (volume, engagement, call) => {
      await this.#admit(volume, call);
      const disk = this.#free(volume);
      const backup = disk.backups.get(engagement);
      if (backup === undefined) throw new UnderstudyError('VOLUME_STATE', `${volume} has no backup of ${engagement}`);
      this.#write(volume, { data: 'half', identity: 'half' }, { kind: 'unfinished', engagement, step: 'restore' });
      this.#write(volume, backup, { kind: 'own' });
    },
    discard: async (volume, engagement, call) => {
      await this.#admit(volume, call);
      const disk = this.disk(volume);
      if (disk.content.kind !== 'own') throw new UnderstudyError('VOLUME_STATE', `${volume} is ${disk.content.kind}`);
      disk.backups.delete(engagement);
      this.#checkRestorable(volume);
    },
  };

  #checkRestorable(volume: string): void {
    const disk = this.disk(volume);
    if (disk.bytes.data !== disk.owner && disk.backups.size === 0) {
      throw new InvariantBroken(`4: the data of ${disk.owner} is lost`);
    }
  }

  #admit(volume: string, call: Call): Promise<void> {
    return this.#gate.admit(`volume/${volume}`, call.epoch);
  }

  #free(volume: string): Disk {
    const disk = this.disk(volume);
    if (disk.attachedTo !== null) throw new UnderstudyError('VOLUME_ATTACHED', `${volume} is attached`);
    return disk;
  }

  #backup(engagement: string): Backup {
    return { engagement, takenAt: new Date(this.nowMs).toISOString(), bytes: 1e9, digest: 'sim' };
  }
}
