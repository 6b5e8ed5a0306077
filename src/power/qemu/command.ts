// The command line of a machine, and nothing else: the same settings give the same arguments.
import type { MachineTls } from './credentials.ts';
import { diskArguments } from './disk.ts';
import type { QemuSettings } from './settings.ts';

export interface Machine {
  readonly host: string;
  readonly settings: QemuSettings;
  readonly uuid: string;
  readonly monitor: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** NBD URI of the boot volume; null: a machine without one. */
  readonly disk: string | null;
  /** What it proves itself with where the disk is; null: nothing, unless that is `nbds://`. @default null */
  readonly tls?: MachineTls | null;
  /** QEMU is started by root, and may become another user. */
  readonly byRoot: boolean;
}

/**
 * User and group of machines that root starts, by number: Debian reserves it and gives it to nobody (Debian Policy,
 * 9.2.2). What a guest that breaks out of its machine finds is a process without files and without rights.
 */
export const MACHINE_USER = 65_334;

/** In QEMU's options a comma ends a value unless it is doubled. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
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
 * A guest that breaks out of the machine cannot start programs or change its rights. Root's QEMU opens what it needs
 * and then becomes another user; it has to be let change its rights for that, and has none afterwards. A disk behind a
 * Unix socket is opened again, by name, whenever the storage daemon comes back, and that name belongs to root.
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
    ...(machine.disk === null ? [] : diskArguments(machine.disk, machine.tls ?? null, settings.kernel)),
    ...networkArguments(settings),
  ];
}
