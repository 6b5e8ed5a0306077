// The hosts: can they be switched, is their network there, and does nobody else have their addresses.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { formatBytes, limits, memoryEpochGate, requireTool, runTool } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration, HostConfig } from '../../src/config/mod.ts';
import { LocalNetwork } from '../../src/network/mod.ts';
import { findAccelerator, IpmiPower, type IpmiSettings, type QemuSettings } from '../../src/power/mod.ts';
import { checked, type Finding, failure, patience, warning } from './check.ts';

/** No controller has so low an epoch; nothing here changes anything. */
const EPOCH = 1;
/** A BMC may take several seconds for its first answer. */
const BMC_MS_MAX = 15_000;

export async function* examineHosts(configuration: Configuration, signal: AbortSignal): AsyncIterable<Check> {
  const hosts = [...configuration.hosts.values()];
  const machines = hosts.filter(({ power }) => power.driver === 'qemu');
  if (machines.length > 0) {
    // Where none may use it, it does not matter.
    if (machines.some(mayUseKvm)) yield checked('acceleration', 'KVM', null, acceleration);
    yield checked('memory', `${machines.length} virtual machines`, null, () => memory(machines));
  }
  for (const host of hosts) {
    yield checked('power', host.name, null, () => power(host, signal));
    if (host.power.driver === 'qemu') yield checked('cards', host.name, null, () => cards(host));
    if (host.link !== null) {
      yield checked('network', host.name, 'the link has to be one of this machine, and understudy root', () =>
        network(host, signal),
      );
    } else yield checked('network', host.name, null, () => unwatched(host));
  }
  for (const { name, lead, pool, signals } of configuration.services.values()) {
    if (!signals.some(({ source }) => source.kind === 'agent')) continue;
    const without = [lead, ...pool].filter((host) => {
      return configuration.hosts.get(host)?.agentTokenFile === null && !hasCertificate(configuration, host);
    });
    if (without.length === 0) continue;
    const detail = `${without.join(', ')} without an agent: it is not known how ${name} does while they serve`;
    const remedy =
      'set agentTokenFile, or make a certificate for the host (docs/agent.md), or judge the service by other signals (docs/haproxy.md)';
    yield { check: 'agent', subject: name, state: 'warning', detail, remedy };
  }
}

function mayUseKvm({ power }: HostConfig): boolean {
  return (power.settings as unknown as QemuSettings).accelerator !== 'tcg';
}

/** An agent may show a certificate of its host instead of a token. */
function hasCertificate({ tls }: Configuration, host: string): boolean {
  return tls !== null && existsSync(join(tls.folder, `host-${host}.crt`));
}

async function acceleration(): Promise<Finding | string> {
  const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86');
  // The answer is kept in a folder, and that of the installation is not ours to change.
  const folder = mkdtempSync(join(tmpdir(), 'understudy-doctor-'));
  try {
    if ((await findAccelerator(qemu, folder)) === 'kvm') return 'runs guests here';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return warning('does not run guests here: machines are emulated, many times slower', 'see that /dev/kvm works');
}

function memory(machines: readonly HostConfig[]): Finding | string {
  const bytes = machines.reduce(
    (sum, { power: { settings } }) => sum + (settings as unknown as QemuSettings).memoryMiB * limits.MIB,
    0,
  );
  const text = `all together ${formatBytes(bytes)}, of ${formatBytes(totalmem())} here`;
  return bytes < totalmem() ? text : warning(text, 'give them less memory, or do not run all at once');
}

async function power(host: HostConfig, signal: AbortSignal): Promise<Finding | string> {
  const { driver, settings } = host.power;
  if (driver === 'ipmi') return bmc(host.name, settings as unknown as IpmiSettings, signal);
  if (driver === 'qemu') return machine(settings as unknown as QemuSettings);
  return warning(`nothing is known of the driver ${driver}`, '');
}

async function bmc(name: string, settings: IpmiSettings, signal: AbortSignal): Promise<Finding | string> {
  const gate = memoryEpochGate();
  const driver = new IpmiPower({ hosts: new Map([[name, settings]]), gate, timeoutMs: BMC_MS_MAX });
  const state = await driver.state(name, { epoch: EPOCH, signal: patience(signal) });
  if (state !== 'unknown') return `its BMC says that it is ${state}`;
  return failure(
    `the BMC at ${settings.address} does not say whether it is on`,
    `see address, user and password: ipmitool -I lanplus -C ${settings.cipherSuite} -H ${settings.address} -p ${settings.port} -U ${settings.user} -f ${settings.passwordFile} chassis power status`,
  );
}

async function machine({ kernel, initrd, interfaces, netns }: QemuSettings): Promise<Finding | string> {
  const files = [kernel, initrd].filter((path) => path !== undefined && !existsSync(path));
  if (files.length > 0) return failure(`${files.join(' and ')} does not exist`, 'correct power.settings');
  for (const { tap } of interfaces) {
    const before = netns === undefined ? [] : ['-netns', netns];
    const done = await runTool(requireTool('ip', 'iproute2'), [...before, 'link', 'show', 'dev', tap]);
    if (done.status !== 0) {
      const make = `ip ${[...before, 'tuntap', 'add', 'dev', tap, 'mode', 'tap'].join(' ')}`;
      return failure(`there is no tap device ${tap}`, `${make}, and put it on the bridge of the host`);
    }
  }
  return interfaces.length === 0
    ? 'a virtual machine without a network'
    : 'a virtual machine; its tap devices are there';
}

/** A machine whose cards have other addresses than its disk is told of comes up and has no network. */
function cards({ interfaces, power: { settings } }: HostConfig): Finding | string {
  const ofDisk = interfaces.map(({ mac }) => mac);
  const ofMachine = (settings as unknown as QemuSettings).interfaces.map(({ mac }) => mac);
  const missing = ofDisk.filter((mac) => !ofMachine.includes(mac));
  const others = ofMachine.filter((mac) => !ofDisk.includes(mac));
  const remedy = 'give interfaces of the host and power.settings.interfaces the same mac';
  if (ofMachine.length === 0) return 'the machine has no network card';
  if (missing.length === 0 && others.length === 0) return `${ofMachine.join(' and ')}, as in power.settings`;
  if (missing.length === 0) return warning(`power.settings has ${others.join(' and ')} besides`, remedy);
  const machine = `power.settings has ${ofMachine.join(' and ')}`;
  return failure(`interfaces has ${missing.join(' and ')}, and ${machine}`, remedy);
}

function unwatched({ address }: HostConfig): Finding {
  return warning(
    `another computer with the address ${address} would not be noticed: the host has no link`,
    'name the link of this machine on which the host is (link)',
  );
}

async function network(host: HostConfig, signal: AbortSignal): Promise<Finding | string> {
  const own = host.interfaces.map(({ mac }) => mac);
  const call = { epoch: EPOCH, signal: patience(signal) };
  const holders = await new LocalNetwork().holders(host.link ?? '', host.address, call);
  const others = holders.filter((mac) => !own.includes(mac));
  if (others.length > 0) {
    return failure(
      `${host.address} belongs to ${others.join(', ')}, which is none of its interfaces`,
      'two computers have one address, or interfaces has another hardware address than the host',
    );
  }
  return holders.length === 0 ? `${host.address} is free on ${host.link}` : `it answers at ${host.address}`;
}
