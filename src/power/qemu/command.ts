// The command line of a machine, and nothing else: the same settings give the same arguments.
import { UnderstudyError } from '../../base/mod.ts';
import type { QemuSettings } from './settings.ts';

/** The virtio device and the block node of the boot volume. */
export const DISK = 'disk0';

/**
 * For so long requests of the guest wait for a storage daemon that went away, and are sent again when it is back. Afterwards
 * they fail, which a guest answers by making its file system read-only; a daemon that is started again needs seconds.
 */
const RECONNECT_SECONDS = 600;

export interface Machine {
  readonly host: string;
  readonly settings: QemuSettings;
  readonly uuid: string;
  readonly monitor: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** NBD URI of the boot volume; null: a machine without one. */
  readonly disk: string | null;
  /** QEMU is started by root, and may become another user. */
  readonly byRoot: boolean;
}

/**
 * User and group of machines that root starts, by number: Debian reserves it and gives it to nobody (Debian Policy, 9.2.2). What a guest that
 * breaks out of its machine finds is a process without files and without rights.
 */
export const MACHINE_USER = 65_334;

/** In QEMU's options a comma ends a value unless it is doubled. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
}

/**
 * "server.*" and "export" of QEMU's NBD driver for a URI.
 * @throws POWER_FAILED for one that is not NBD over a Unix socket or TCP
 */
export function nbdServer(uri: string): Readonly<Record<string, string>> {
  const refuse = (): never => {
    throw new UnderstudyError('POWER_FAILED', `${uri} is not an NBD URI that a machine can boot from`);
  };
  if (!URL.canParse(uri)) return refuse();
  const url = new URL(uri);
  const name = decodeURIComponent(url.pathname.replace(/^\//, ''));
  if (url.protocol === 'nbd+unix:') {
    const path = url.searchParams.get('socket') ?? refuse();
    return { 'server.type': 'unix', 'server.path': path, export: name };
  }
  if (url.protocol !== 'nbd:' || url.hostname === '') return refuse();
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { 'server.type': 'inet', 'server.host': host, 'server.port': url.port || '10809', export: name };
}

/** Firmware needs to be told what to start. With a kernel from outside, QEMU gives that the first place, and refuses a second claim to it. */
function diskArguments(uri: string, { kernel }: QemuSettings): string[] {
  const server = Object.entries(nbdServer(uri)).map(([key, text]) => `${key}=${value(text)}`);
  // No cache options: an NBD client keeps nothing, and the guest's flushes are sent on to the server.
  const node = ['driver=nbd', `node-name=${DISK}`, ...server, `reconnect-delay=${RECONNECT_SECONDS}`, 'discard=unmap'];
  const first = kernel === undefined ? ',bootindex=0' : '';
  return ['-blockdev', node.join(','), '-device', `virtio-blk-pci,id=${DISK},drive=${DISK}${first}`];
}

function networkArguments({ interfaces }: QemuSettings): string[] {
  return interfaces.flatMap(({ tap, mac }, index) => [
    ...['-netdev', `tap,id=net${index},ifname=${value(tap)},script=no,downscript=no`],
    // Without a ROM: nobody boots from the network here.
    ...['-device', `virtio-net-pci,netdev=net${index},mac=${mac},romfile=`],
  ]);
}

function kernelArguments({ kernel, initrd, append }: QemuSettings): string[] {
  return [
    ...(kernel === undefined ? [] : ['-kernel', kernel]),
    ...(initrd === undefined ? [] : ['-initrd', initrd]),
    ...(append === undefined ? [] : ['-append', append]),
  ];
}

/**
 * A guest that breaks out of the machine cannot start programs or change its rights. Root's QEMU opens what it needs and then becomes
 * another user; it has to be let change its rights for that, and has none afterwards. A disk behind a Unix socket is opened again, by name,
 * whenever the storage daemon comes back, and that name belongs to root.
 */
function rightsArguments({ disk, byRoot }: Machine): string[] {
  const becomesOther = byRoot && (disk === null || !disk.startsWith('nbd+unix:'));
  const rights = becomesOther ? 'allow' : 'deny';
  const sandbox = ['-sandbox', `on,obsolete=deny,elevateprivileges=${rights},spawn=deny`];
  return becomesOther ? [...sandbox, '-runas', `${MACHINE_USER}:${MACHINE_USER}`] : sandbox;
}

/** For qemu-system-x86_64(1). The guest's own restart restarts it; its own power-off ends the process. */
export function machineArguments(machine: Machine): string[] {
  const { settings } = machine;
  const accelerator = machine.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi';
  const serial =
    settings.serialLog === undefined ? 'null,id=serial0' : `file,id=serial0,path=${value(settings.serialLog)}`;
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-name', `guest=${machine.host}`, '-uuid', machine.uuid],
    ...['-machine', 'pc', '-accel', accelerator, '-cpu', machine.accelerator === 'kvm' ? 'host' : 'max'],
    ...['-smp', String(settings.cpus), '-m', `${settings.memoryMiB}M`],
    ...rightsArguments(machine),
    ...['-chardev', `socket,id=monitor0,path=${value(machine.monitor)},server=on,wait=off`],
    ...['-mon', 'chardev=monitor0,mode=control'],
    ...['-chardev', serial, '-serial', 'chardev:serial0'],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
    ...kernelArguments(settings),
    ...(machine.disk === null ? [] : diskArguments(machine.disk, settings)),
    ...networkArguments(settings),
  ];
}
