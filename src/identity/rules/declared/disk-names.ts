// Disks that are named by the order in which they are found: fstab(5), crypttab(5), the command lines of boot loaders. Right on a host
// with the same hardware. On another one the disk has another name, and the UUID of its file system is the name that it keeps.
import type { Finding } from '../../contract.ts';
import { type FileTree, isWithin } from '../../tree/mod.ts';
import { type Clue, clueRule } from '../clue.ts';
import type { FindContext, Rule } from '../contract.ts';
import { filesAt } from '../glob.ts';
import { ruleOfTree } from '../rule-of-tree.ts';
import { fstabLines } from './fstab.ts';

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

const LINE = new RegExp(String.raw`^\s*(?!#)(${DISK})\s`);
const CRYPT = new RegExp(String.raw`^\s*(?!#)\S+\s+(${DISK})(?:\s|$)`);
const KERNEL_ROOT = new RegExp(String.raw`^\s*(?!#).*\broot=(${DISK})(?=["'\s]|$)`);

/** What is mounted from other disks is for the rule of file systems to say. */
function alikeOn(tree: FileTree): readonly Clue[] {
  const kept = { why: ALIKE, becomes: { action: 'keep' }, confidence: 'likely' } as const;
  return [
    { at: ['/etc/fstab'], lines: LINE, only: fstabLines(tree).isHere, ...kept },
    { at: ['/etc/crypttab'], lines: CRYPT, ...kept },
    { at: BOOT, lines: KERNEL_ROOT, ...kept },
  ];
}

function otherOn(tree: FileTree): readonly Clue[] {
  const { isHere, uuidOf } = fstabLines(tree);
  const isNamed = (line: string): boolean => isHere(line) && uuidOf(line) !== '';
  const parts = [...tree.disk.attached, ...tree.disk.swaps];
  const named = new Map(parts.map(({ line }) => [LINE.exec(line)?.[1], uuidOf(line)]));
  const root = tree.uuid ?? '';
  const asRoot: Clue['becomes'] = root === '' ? { action: 'unknown' } : { action: 'rewrite', to: () => `UUID=${root}` };
  // What is no line for anything on this disk is the root's, whose name is known by its place only.
  const to = (disk: string): string => `UUID=${named.get(disk) ?? root}`;
  return [
    { at: ['/etc/fstab'], lines: LINE, only: isNamed, why: OTHER, becomes: { action: 'rewrite', to } },
    { at: BOOT, lines: KERNEL_ROOT, why: OTHER, becomes: asRoot },
    { at: ['/etc/fstab'], lines: LINE, only: (line) => !isNamed(line), why: OTHER, becomes: { action: 'unknown' } },
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
    const isMakeable = context.canRun === true && !isOnFat(tree, '/boot');
    const setting: Clue = {
      at,
      lines,
      why: OWN_MODULES,
      becomes: isMakeable ? { action: 'rewrite', to: () => instead } : { action: 'unknown' },
    };
    const settings = await clueRule(RULE, [setting]).find(tree, context);
    found.push(...settings);
    if (!isMakeable || settings.length === 0) continue;
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

/** No command of the image is run with it. */
function isOnFat({ disk }: FileTree, path: string): boolean {
  return disk.attached.some(({ at, type }) => type === 'fat' && isWithin(path, at));
}

const names = ruleOfTree(RULE, (tree, { otherHardware }) => (otherHardware === true ? otherOn(tree) : alikeOn(tree)));

export const diskNamesRule: Rule = {
  ...names,
  async find(tree, context) {
    const named = await names.find(tree, context);
    return context.otherHardware === true ? [...named, ...(await initialFileSystems(tree, context))] : named;
  },
};
