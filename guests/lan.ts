// A network of a demo's or a test's own: one namespace with a bridge, the switch and the machine of the controller in one, and a namespace
// for each host, plugged into the bridge by a veth pair. Tap devices on the same bridge take virtual machines. Nothing of it is
// seen from outside, and all of it is gone after `close()`. Needs root. network_namespaces(7), ip-netns(8), veth(4).
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { present, requireTool, runTool, spawnBound } from '../src/base/mod.ts';

export interface LanHost {
  readonly name: string;
  /** Name of its network namespace. */
  readonly namespace: string;
  /** Of its one link, inside its namespace. */
  readonly link: string;
  /** IPv4, without prefix length. */
  readonly address: string;
  /** Lower case, colons. */
  readonly mac: string;
}

export interface LanOptions {
  /** The first three parts of its addresses. @default "10.88.0" */
  readonly subnet?: string;
  /** Hosts to begin with: 10.88.0.11, 10.88.0.12 and so on. */
  readonly hosts?: readonly string[];
  /** Tap devices to begin with. */
  readonly taps?: readonly string[];
}

export interface HostOptions {
  /** Any address of the subnet, also one that another host has. @default the next free one */
  readonly address?: string;
}

const SUBNET_DEFAULT = '10.88.0';
/** Processes that were killed are gone within milliseconds, unless the kernel writes for them. */
const END_TRIES = 600;
const END_LOOK_MS = 50;
const PREFIX_BITS = 24;
const HOST_FIRST = 11;

export class Lan {
  /** The namespace with the bridge. Tap devices, HAProxy and whatever plays the controller's machine are in it. */
  readonly namespace: string;
  /** The bridge, and so the link on which the controller's machine sees the hosts. */
  readonly link = 'br0';
  /** Of the controller's machine. */
  readonly address: string;
  readonly #subnet: string;
  readonly prefixBits = PREFIX_BITS;
  readonly #hosts = new Map<string, LanHost>();
  readonly #namespaces: string[] = [];
  readonly #ip = requireTool('ip', 'iproute2');

  private constructor(subnet: string) {
    this.#subnet = subnet;
    this.address = `${subnet}.1`;
    this.namespace = `ust-${process.pid}-${randomBytes(3).toString('hex')}`;
  }

  static async make(options: LanOptions = {}): Promise<Lan> {
    const lan = new Lan(options.subnet ?? SUBNET_DEFAULT);
    try {
      await lan.#makeNamespace(lan.namespace);
      await lan.#batch(lan.namespace, [
        // Its hardware address would else change with the ports.
        `link add ${lan.link} address 02:00:0a:58:00:01 type bridge`,
        `address add ${lan.address}/${PREFIX_BITS} dev ${lan.link}`,
        'link set lo up',
        `link set ${lan.link} up`,
      ]);
      for (const name of options.hosts ?? []) await lan.addHost(name);
      for (const name of options.taps ?? []) await lan.addTap(name);
      return lan;
    } catch (error) {
      await lan.close();
      throw error;
    }
  }

  host(name: string): LanHost {
    return present(this.#hosts.get(name), `host ${name}`);
  }

  /** @param name up to 10 letters, digits and hyphens */
  async addHost(name: string, options: HostOptions = {}): Promise<LanHost> {
    const number = HOST_FIRST + this.#hosts.size;
    const host: LanHost = {
      name,
      namespace: `${this.namespace}-${name}`,
      link: 'eth0',
      address: options.address ?? `${this.#subnet}.${number}`,
      mac: `02:00:0a:58:00:${number.toString(16).padStart(2, '0')}`,
    };
    await this.#makeNamespace(host.namespace);
    this.#hosts.set(name, host);
    await this.#batch(this.namespace, [
      `link add port-${name} type veth peer name ${host.link} address ${host.mac} netns ${host.namespace}`,
      `link set port-${name} master ${this.link} up`,
    ]);
    await this.#batch(host.namespace, [
      `address add ${host.address}/${PREFIX_BITS} dev ${host.link}`,
      'link set lo up',
      `link set ${host.link} up`,
      `route add default via ${this.address}`,
    ]);
    return host;
  }

  /**
   * A tap device on the bridge, for a machine that QEMU runs inside the namespace of the bridge:
   * `-netdev tap,id=n0,ifname=NAME,script=no,downscript=no`.
   * @param name up to 15 characters
   */
  async addTap(name: string): Promise<string> {
    await this.#batch(this.namespace, [
      `tuntap add dev ${name} mode tap`,
      `link set ${name}`,
      `link set ${name} master ${this.link} up`,
    ]);
    return name;
  }

  /** Pulls a host's cable out of the switch, or plugs it in again. */
  async plug(name: string, plugged: boolean): Promise<void> {
    await this.#batch(this.namespace, [`link set port-${this.host(name).name} ${plugged ? 'up' : 'down'}`]);
  }

  /** Commands of ip(8), one a line, in a namespace. */
  async ip(commands: readonly string[], namespace = this.namespace): Promise<void> {
    await this.#batch(namespace, commands);
  }

  /** A command line that runs a program in a namespace: for those who start processes themselves. */
  wrap(namespace = this.namespace): readonly string[] {
    return [this.#ip, 'netns', 'exec', namespace];
  }

  /** Runs a program to its end; it has to succeed. @returns its standard output */
  async run(program: string, args: readonly string[], namespace = this.namespace): Promise<string> {
    const [ip = this.#ip, ...before] = this.wrap(namespace);
    const result = await runTool(ip, [...before, program, ...args]);
    if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  /** Starts a program that dies with this process, and with the network. */
  spawn(program: string, args: readonly string[], options: SpawnOptions, namespace = this.namespace): ChildProcess {
    const [ip = this.#ip, ...before] = this.wrap(namespace);
    return spawnBound(ip, [...before, program, ...args], options);
  }

  /** Ends whatever still runs in the network and removes it. Safe to call again. */
  async close(): Promise<void> {
    for (const namespace of [...this.#namespaces].reverse()) {
      let left = END_TRIES;
      while (!(await this.#endProcesses(namespace)) && left > 0) {
        left -= 1;
        await delay(END_LOOK_MS);
      }
      if (left === 0) throw new Error(`processes in ${namespace} cannot be ended`);
      await this.#command(['netns', 'delete', namespace]);
      this.#namespaces.pop();
    }
    this.#hosts.clear();
  }

  async #makeNamespace(name: string): Promise<void> {
    await this.#command(['netns', 'add', name]);
    this.#namespaces.push(name);
  }

  /** Whoever is in a namespace of ours was started by us. @returns whether nobody is left */
  async #endProcesses(namespace: string): Promise<boolean> {
    const pids = (await this.#command(['netns', 'pids', namespace])).split('\n').filter((pid) => pid !== '');
    for (const pid of pids) {
      if (existsSync(`/proc/${pid}`)) endProcess(Number(pid));
    }
    return pids.length === 0;
  }

  async #batch(namespace: string, commands: readonly string[]): Promise<void> {
    await this.#command(['-netns', namespace, '-batch', '-'], commands.join('\n'));
  }

  async #command(args: readonly string[], input = ''): Promise<string> {
    const result = await runTool(this.#ip, args, { input });
    if (result.status !== 0) throw new Error(`ip ${args.join(' ')}: ${result.stderr}\n${input}`);
    return result.stdout;
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs a test in a network of its own, which is removed however the test ends. */
export async function onLan(options: LanOptions, play: (lan: Lan) => Promise<void>): Promise<void> {
  const lan = await Lan.make(options);
  try {
    await play(lan);
  } finally {
    await lan.close();
  }
}
