// Disks that are named by the order in which they are found: fstab(5), crypttab(5), the command lines of boot loaders. Right on a host
// with the same hardware. On another one the disk has another name, and the UUID of its file system is the name that it keeps.
import type { Finding } from '../../contract.ts';
import type { FileTree } from '../../tree/mod.ts';
import { type Clue, clueRule } from '../clue.ts';
import type { FindContext, Rule } from '../contract.ts';
import { filesAt } from '../glob.ts';
import { ruleOfTree } from '../rule-of-tree.ts';
import { attachedLines, hereIn } from './attached.ts';

const RULE = 'disk-names';
const BOOT = [
  '/etc/default/grub',
  '/etc/kernel/cmdline',
  '/boot/{grub,grub2}/grub.cfg',
  '/boot/extlinux/extlinux.conf',
  '/{boot,efi,boot/efi}/loader/entries/*.conf',
  '/{efi,boot/efi}/EFI/*/grub.cfg',
];
const DISK = String.raw`\/dev\/(?:sd|hd|vd|xvd|nvme|mmcblk)[a-z0-9]+`;
const ALIKE =
  'It names a disk by the order in which disks are found: right for as long as the clone has its disks on the same bus.';
const OTHER = 'On a host with other hardware this disk has another name.';
const OWN_MODULES =
  'The initial file system has only the drivers that the lead needs; on other hardware it may not find its disk.';

const MADE_ANEW = 'It is made anew, by the system in the image, with the drivers of all hardware.';

const ROOT = new RegExp(String.raw`^\s*(${DISK})\s+\/\s`);
const CRYPT = new RegExp(String.raw`^\s*(?!#)\S+\s+(${DISK})(?:\s|$)`);
const KERNEL_ROOT = new RegExp(String.raw`^\s*(?!#).*\broot=(${DISK})(?=["'\s]|$)`);

/** What is mounted from other disks is for the rule of file systems to say. */
async function alikeOn(tree: FileTree): Promise<readonly Clue[]> {
  const here = await hereIn(tree);
  const lines = new RegExp(String.raw`^\s*(?!#)(${DISK})\s+(?:(?:${here})\s|[^/\s])`);
  const kept = { why: ALIKE, becomes: { action: 'keep' }, confidence: 'likely' } as const;
  return [
    { at: ['/etc/fstab'], lines, ...kept },
    { at: ['/etc/crypttab'], lines: CRYPT, ...kept },
    { at: BOOT, lines: KERNEL_ROOT, ...kept },
  ];
}

async function otherOn(tree: FileTree): Promise<readonly Clue[]> {
  const becomes = (uuid: string | null): Clue['becomes'] =>
    uuid === null || uuid === '' ? { action: 'unknown' } : { action: 'rewrite', to: () => `UUID=${uuid}` };
  const attached = await attachedLines(tree);
  const others = new RegExp(String.raw`^\s*(?!#)(${DISK})\s+(?!(?:${await hereIn(tree)})\s)\S`);
  return [
    { at: ['/etc/fstab'], lines: ROOT, why: OTHER, becomes: becomes(tree.uuid) },
    ...attached.map(({ at, uuid }) => {
      const lines = new RegExp(String.raw`^\s*(?!#)(${DISK})\s+${at}\s`);
      return { at: ['/etc/fstab'], lines, why: OTHER, becomes: becomes(uuid) };
    }),
    { at: BOOT, lines: KERNEL_ROOT, why: OTHER, becomes: becomes(tree.uuid) },
    { at: ['/etc/fstab'], lines: others, why: OTHER, becomes: { action: 'unknown' } },
    { at: ['/etc/crypttab'], lines: CRYPT, why: OTHER, becomes: { action: 'unknown' } },
  ];
}

/** How an initial file system with drivers for any hardware is made: initramfs-tools(7), dracut.conf(5). */
const MAKERS = [
  {
    at: ['/etc/initramfs-tools/initramfs.conf', '/etc/initramfs-tools/conf.d/*'],
    lines: /^\s*(MODULES=(?:dep|list))/,
    instead: 'MODULES=most',
    images: [['/boot/initrd.img-', '']],
    command: (_: string, kernel: string) => ['/usr/sbin/update-initramfs', '-u', '-k', kernel],
  },
  {
    at: ['/etc/dracut.conf', '/{etc,usr/lib/dracut}/dracut.conf.d/*.conf'],
    lines: /^\s*(hostonly=["']?yes["']?)/,
    instead: 'hostonly="no"',
    // As Fedora calls them, and Debian.
    images: [
      ['/boot/initramfs-', '.img'],
      ['/boot/initrd.img-', ''],
    ],
    command: (path: string, kernel: string) => ['/usr/bin/dracut', '--force', '--no-hostonly', path, kernel],
  },
] as const;

/** Without a word that programs may be run nobody can make it, and so nobody knows whether the clone starts. */
async function initialFileSystems(tree: FileTree, context: FindContext): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const { at, lines, instead, images, command } of MAKERS) {
    const setting: Clue = {
      at,
      lines,
      why: OWN_MODULES,
      becomes: context.canRun === true ? { action: 'rewrite', to: () => instead } : { action: 'unknown' },
    };
    const settings = await clueRule(RULE, [setting]).find(tree, context);
    found.push(...settings);
    if (context.canRun !== true || settings.length === 0) continue;
    for (const [before, after] of images) {
      const kernelOf = (path: string): string => path.slice(before.length, path.length - after.length);
      for (const { path } of (await filesAt(tree, [`${before}*${after}`])).files) {
        // What is there to rescue the system belongs to no kernel that is installed.
        if ((await tree.stat(`/lib/modules/${kernelOf(path)}`))?.kind !== 'folder') continue;
        const run = () => ({ command: command(path, kernelOf(path)), environment: {} });
        const image: Clue = { at: [path], why: MADE_ANEW, becomes: { action: 'regenerate', run } };
        found.push(...(await clueRule(RULE, [image]).find(tree, context)));
      }
    }
  }
  return found;
}

const names = ruleOfTree(RULE, async (tree, { otherHardware }) =>
  otherHardware === true ? otherOn(tree) : alikeOn(tree),
);

export const diskNamesRule: Rule = {
  ...names,
  async find(tree, context) {
    const named = await names.find(tree, context);
    return context.otherHardware === true ? [...named, ...(await initialFileSystems(tree, context))] : named;
  },
};
