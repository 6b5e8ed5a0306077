// The machine-ids of an image, machine-id(5): the system's own, the copy of D-Bus, and the one that the kernel's
// command line gives to the system at every start, kernel-command-line(7).
import type { Finding, HostIdentity } from '../contract.ts';
import { type FileTree, fileTree, type NodeTree, PlannedTree, readText } from '../tree/mod.ts';
import { deriveId } from './derive.ts';
import { filesAt } from './glob.ts';

export const MACHINE_ID_PATH = '/etc/machine-id';
export const DBUS_PATH = '/var/lib/dbus/machine-id';
const ID = /^[0-9a-f]{32}$/;

/**
 * Where kernel command lines stand: settings of boot loaders and what they make of them (GRUB, systemd-boot, extlinux,
 * syslinux, LILO, zipl, rEFInd, Raspberry Pi), and kernel-install(8).
 */
export const COMMAND_LINES = [
  '/etc/default/{grub,extlinux,u-boot,zipl}',
  '/etc/default/grub.d/*',
  '/etc/{lilo,zipl}.conf',
  '/etc/kernel/cmdline',
  '/etc/{kernel/cmdline.d,cmdline.d,grub.d}/*',
  '/{boot,efi,boot/efi}/loader/entries/*.conf',
  '/boot/{grub,grub2}/{grub.cfg,custom.cfg,user.cfg,grubenv,menu.lst,grub.conf}',
  '/boot/{extlinux,syslinux}/*.{conf,cfg}',
  '/{boot,efi,boot/efi}/EFI/*/*.{cfg,conf}',
  '/boot/{cmdline.txt,firmware/cmdline.txt,refind_linux.conf}',
];

/** Group 1 is the machine-id, with or without dashes. */
export const GIVEN_BY_KERNEL =
  /\bsystemd\.machine_id=["']?([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/gi;

/** The image itself, whatever is planned to change in it. */
export function unchanged(tree: FileTree): FileTree {
  return tree.nodes instanceof PlannedTree ? fileTree(tree.nodes.base) : tree;
}

/** All of the image as it is, in lower case and without dashes; each once. */
export async function machineIdsOf(tree: FileTree): Promise<readonly string[]> {
  const known = idsOf.get(unchanged(tree).nodes) ?? read(unchanged(tree));
  idsOf.set(unchanged(tree).nodes, known);
  return known;
}

const idsOf = new WeakMap<NodeTree, Promise<readonly string[]>>();

async function read(tree: FileTree): Promise<readonly string[]> {
  const ids = new Set<string>();
  for (const path of [MACHINE_ID_PATH, DBUS_PATH]) ids.add(await textIn(tree, path));
  for (const { path } of (await filesAt(tree, COMMAND_LINES)).files) {
    for (const [, id = ''] of (await textIn(tree, path)).matchAll(GIVEN_BY_KERNEL)) ids.add(plain(id));
  }
  return [...ids].filter((id) => ID.test(id));
}

async function textIn(tree: FileTree, path: string): Promise<string> {
  const file = await readText(tree, path);
  return file.status === 'text' ? file.text.trim() : '';
}

export function plain(id: string): string {
  return id.replaceAll('-', '').toLowerCase();
}

/** What the understudy's will be: made of the one that the system has, wherever it has it from. */
export async function newMachineId(tree: FileTree, understudy: HostIdentity): Promise<string> {
  const own = await textIn(unchanged(tree), MACHINE_ID_PATH);
  const [any = own] = await machineIdsOf(tree);
  return deriveId(ID.test(own) ? own : any, understudy);
}

/** Those that a plan has found, for who looks at the image afterwards. Names may have other numbers in them. */
export function machineIdsIn(findings: readonly Finding[]): readonly string[] {
  const own = findings.filter(({ rule }) => rule === 'machine-id').map(({ value }) => value);
  const copies = findings.filter(({ rule }) => rule === 'machine-id-copies');
  const told = copies.flatMap(({ value }) => [...value.matchAll(/\b([0-9a-f]{32}) in (?:lines? \d|the image)/g)]);
  return [...new Set([...own, ...told.map(([, id = '']) => id)])].filter((id) => ID.test(id));
}
