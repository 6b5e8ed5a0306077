// Disks that are named by the order in which they are found: fstab(5), crypttab(5), the command lines of boot loaders. Right on a host
// with the same hardware. On another one the disk has another name, and the UUID of its file system is the name that it keeps.
import type { FileTree } from '../../tree/mod.ts';
import { type Clue, clueRule } from '../clue.ts';
import type { Rule } from '../contract.ts';

const RULE = 'disk-names';
const BOOT = [
  '/etc/default/grub',
  '/etc/kernel/cmdline',
  '/boot/{grub,grub2}/grub.cfg',
  '/boot/extlinux/extlinux.conf',
  '/boot/loader/entries/*.conf',
];
const DISK = String.raw`\/dev\/(?:sd|hd|vd|xvd|nvme|mmcblk)[a-z0-9]+`;
const ALIKE =
  'It names a disk by the order in which disks are found: right for as long as the clone has its disks on the same bus.';
const OTHER = 'On a host with other hardware this disk has another name.';
const OWN_MODULES =
  'The initial file system has only the drivers that the lead needs; on other hardware it may not find its disk.';

const ROOT = new RegExp(String.raw`^\s*(${DISK})\s+\/\s`);
const ANY = new RegExp(String.raw`^\s*(?!#)(?:\S+\s+)?(${DISK})(?:\s|$)`);
const NOT_ROOT = new RegExp(String.raw`^\s*(?!#)(${DISK})\s+(?!\/\s)\S`);
const CRYPT = new RegExp(String.raw`^\s*(?!#)\S+\s+(${DISK})(?:\s|$)`);
const KERNEL_ROOT = new RegExp(String.raw`^\s*(?!#).*\broot=(${DISK})(?=["'\s]|$)`);

const alike: readonly Clue[] = [
  { at: ['/etc/fstab', '/etc/crypttab'], lines: ANY, why: ALIKE, becomes: { action: 'keep' }, confidence: 'likely' },
  { at: BOOT, lines: KERNEL_ROOT, why: ALIKE, becomes: { action: 'keep' }, confidence: 'likely' },
];

function otherOn(tree: FileTree): readonly Clue[] {
  const { uuid } = tree;
  const becomes =
    uuid === null ? ({ action: 'unknown' } as const) : ({ action: 'rewrite', to: () => `UUID=${uuid}` } as const);
  return [
    { at: ['/etc/fstab'], lines: ROOT, why: OTHER, becomes },
    { at: BOOT, lines: KERNEL_ROOT, why: OTHER, becomes },
    { at: ['/etc/fstab'], lines: NOT_ROOT, why: OTHER, becomes: { action: 'unknown' } },
    { at: ['/etc/crypttab'], lines: CRYPT, why: OTHER, becomes: { action: 'unknown' } },
    {
      at: ['/etc/initramfs-tools/initramfs.conf', '/etc/initramfs-tools/conf.d/*'],
      lines: /^\s*(MODULES=(?:dep|list))/,
      why: OWN_MODULES,
      becomes: { action: 'unknown' },
    },
    {
      at: ['/etc/dracut.conf', '/{etc,usr/lib}/dracut.conf.d/*.conf'],
      lines: /^\s*(hostonly=["']?yes)/,
      why: OWN_MODULES,
      becomes: { action: 'unknown' },
    },
  ];
}

export const diskNamesRule: Rule = {
  name: RULE,
  find: (tree, context) => ruleFor(tree, context).find(tree, context),
  change: (found, tree, context) => ruleFor(tree, context).change(found, tree, context),
  verify: (tree, context) => ruleFor(tree, context).verify(tree, context),
};

function ruleFor(tree: FileTree, { otherHardware }: { readonly otherHardware?: boolean }): Rule {
  return clueRule(RULE, otherHardware === true ? otherOn(tree) : alike);
}
