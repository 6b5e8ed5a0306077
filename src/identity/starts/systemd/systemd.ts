// The manager of the system: bootup(7).
import { type FileTree, join, nameOf } from '../../tree/mod.ts';
import { runsOf } from '../commands.ts';
import type { Reader, Start } from '../contract.ts';
import { textAt } from '../text-at.ts';
import { type Root, startedUnits } from './closure.ts';
import { Manager } from './manager.ts';
import { templateOf } from './unit-file.ts';

export const ADMIN = '/etc/systemd/system';
const FOLDERS = [
  '/etc/systemd/system.control',
  ADMIN,
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
];
/** Programs that make units at every start: systemd.generator(7). */
const GENERATORS = [
  '/etc/systemd/system-generators',
  '/usr/local/lib/systemd/system-generators',
  '/usr/lib/systemd/system-generators',
  '/lib/systemd/system-generators',
];
const UDEV = ['/etc/udev/rules.d', '/usr/local/lib/udev/rules.d', '/usr/lib/udev/rules.d', '/lib/udev/rules.d'];
/** What the kernel's command line may come from: kernel-command-line(7) knows "systemd.wants=". */
const COMMAND_LINES = [
  '/etc/default/grub',
  '/etc/kernel/cmdline',
  '/boot/grub/grub.cfg',
  '/boot/grub2/grub.cfg',
  '/boot/efi/loader/entries',
  '/boot/loader/entries',
  '/efi/loader/entries',
];

export const systemdStarts: Reader = async (tree, cut) => {
  const manager = await Manager.open(tree, FOLDERS, ADMIN, cut);
  const roots = [...(await udevRoots(tree)), ...(await kernelRoots(tree)), ...(await mountRoots(tree))];
  const starts = await startedUnits(tree, manager, roots, { way: 'systemd', owner: '', home: null }, cut);
  return [...starts, ...(await generators(tree))];
};

async function generators(tree: FileTree): Promise<Start[]> {
  const [starts, seen] = [[] as Start[], new Set<string>()];
  for (const folder of GENERATORS) {
    for (const name of await tree.list(folder)) {
      const path = join(folder, name);
      const entry = await tree.stat(path);
      if (seen.has(name) || entry?.kind !== 'file') continue;
      seen.add(name);
      const runs = await runsOf(tree, { kind: 'words', lines: [[entry.path]] });
      starts.push({
        way: 'systemd',
        name,
        aliases: [],
        by: [{ kind: 'file', path }],
        file: entry.path,
        line: null,
        ...runs,
      });
    }
  }
  return starts;
}

/** Units that come with a device: `ENV{SYSTEMD_WANTS}`, systemd.device(5). */
async function udevRoots(tree: FileTree): Promise<Root[]> {
  const [roots, seen] = [[] as Root[], new Set<string>()];
  for (const folder of UDEV) {
    for (const name of (await tree.list(folder)).filter((one) => one.endsWith('.rules') && !seen.has(one))) {
      seen.add(name);
      const path = join(folder, name);
      const text = await textAt(tree, path);
      for (const line of text.split('\n').filter((one) => !/^\s*#/.test(one) && one.includes('SYSTEMD_WANTS'))) {
        for (const [, units = ''] of line.matchAll(/SYSTEMD_WANTS\}\s*\+?=\s*"([^"]*)"/g)) {
          // With a substitution of udev in it, nobody knows which instance.
          const known = units.split(/\s+/).filter((unit) => unit !== '' && !/[$%]/.test(unit));
          roots.push(
            ...known.map((unit): Root => ({ unit, cause: { kind: 'unit', path, unit: nameOf(path), needs: false } })),
          );
        }
      }
    }
  }
  return roots;
}

async function kernelRoots(tree: FileTree): Promise<Root[]> {
  const roots: Root[] = [];
  for (const place of COMMAND_LINES) {
    const isFolder = place.endsWith('/entries');
    const paths = isFolder ? (await tree.list(place)).map((name) => join(place, name)) : [place];
    for (const path of paths) {
      for (const line of (await textAt(tree, path)).split('\n').filter((one) => !/^\s*#/.test(one))) {
        for (const [, unit = ''] of line.matchAll(/\b(?:rd\.)?systemd\.(?:wants|unit)=([\w@.:\\-]+)/g)) {
          const name = /\.[a-z]+$/.test(unit) ? unit : `${unit}.service`;
          roots.push({ unit: name, cause: { kind: 'unit', path, unit: nameOf(path), needs: false } });
        }
      }
    }
  }
  return roots;
}

/** What a unit would run, whether it is started or not. */
export async function programsOfUnit(tree: FileTree, unit: string): Promise<readonly string[]> {
  for (const name of [unit, templateOf(unit) ?? unit]) {
    for (const folder of FOLDERS) {
      const text = await textAt(tree, join(folder, name));
      const lines = [...text.matchAll(/^ExecStart=[-:+!|@]*(\S+)/gm)].map(([, program = '']) => program);
      if (lines.length > 0) return lines;
    }
  }
  return [];
}

/** `x-systemd.requires=` and `x-systemd.wants=` of fstab(5): systemd.mount(5). */
async function mountRoots(tree: FileTree): Promise<Root[]> {
  const roots: Root[] = [];
  const path = '/etc/fstab';
  for (const line of (await textAt(tree, path)).split('\n').filter((one) => !/^\s*#/.test(one))) {
    for (const [, kind, unit = ''] of line.matchAll(/\bx-systemd\.(requires|wants)=([\w@.:\\-]+\.[a-z]+)/g))
      roots.push({ unit, cause: { kind: 'unit', path, unit: 'fstab', needs: kind === 'requires' } });
  }
  return roots;
}
