// How the firmware of another machine finds the boot loader. Where the lead's UEFI has a note of it in its own memory,
// that of the understudy has none, and takes the one with the name that is kept for disks that move:
// \EFI\BOOT\BOOTX64.EFI (UEFI specification, 3.5.1.1). It becomes what grub-install --force-extra-removable makes: a
// copy of the loader that the lead starts from.

import { osOf } from '../../os.ts';
import type { FileTree } from '../../tree/mod.ts';
import type { Edit, FindContext, Rule } from '../contract.ts';
import { finding } from '../finding.ts';

const RULE = 'boot-loader';
/** By the word in the names of files: what the specification calls the machine. */
const MACHINES = {
  x64: 'BOOTX64.EFI',
  aa64: 'BOOTAA64.EFI',
  riscv64: 'BOOTRISCV64.EFI',
  ia32: 'BOOTIA32.EFI',
} as const;
const FALLBACK = 'EFI/BOOT';
const VENDORS_MAX = 100;
const PROGRAM_BYTES_MAX = 32 * 1024 * 1024;
const WHY =
  'The firmware of the lead knows where its boot loader is; that of another machine looks for this one, which is not there.';
const NO_LOADER =
  'Another machine starts from it, and the image does not say which boot loader belongs where every firmware looks.';
const UNREAD =
  'It may be what UEFI starts from; the system does not say where it is, so it was not searched for a boot loader that another machine finds.';

interface Loader {
  readonly esp: string;
  /** The folder of who made the system, below EFI. */
  readonly vendor: string;
  readonly machine: keyof typeof MACHINES;
  /** What the firmware starts, and what that needs beside itself, by name. */
  readonly first: string;
  readonly others: readonly string[];
}

export const bootLoaderRule: Rule = {
  name: RULE,
  async find(tree, { otherHardware }: FindContext) {
    if (otherHardware !== true) return [];
    const esp = await espOf(tree);
    const facts = { rule: RULE, confidence: 'certain' } as const;
    if (esp === null) {
      const unread = tree.disk.unread.filter(({ type }) => type === 'fat');
      return unread.map(({ text: value }) => finding({ ...facts, path: '/', value, why: UNREAD, action: 'unknown' }));
    }
    const loader = await loaderIn(tree, esp);
    const isThere = loader === null ? await hasAny(tree, esp) : await isFile(tree, fallbackOf(loader));
    if (isThere) return [];
    if (loader === null)
      return [finding({ ...facts, path: esp, value: 'no boot loader', why: NO_LOADER, action: 'unknown' })];
    return [finding({ ...facts, path: fallbackOf(loader), value: 'absent', why: WHY, action: 'regenerate' })];
  },
  async change(_found, tree) {
    const esp = await espOf(tree);
    const loader = esp === null ? null : await loaderIn(tree, esp);
    return loader === null ? [] : copies(loader);
  },
  async verify(tree, { findings }) {
    const problems: string[] = [];
    for (const { path } of findings.filter(({ rule, action }) => rule === RULE && action === 'regenerate'))
      if (!(await isFile(tree, path))) problems.push(`${path} is not there, where another machine looks for it`);
    return problems;
  },
};

function fallbackOf({ esp, machine }: Pick<Loader, 'esp' | 'machine'>): string {
  return `${esp}/${FALLBACK}/${MACHINES[machine]}`;
}

/** Where the system mounts what the firmware starts from. */
async function espOf(tree: FileTree): Promise<string | null> {
  for (const { at, type } of tree.disk.attached) {
    if (type === 'fat' && (await tree.stat(`${at}/EFI`))?.kind === 'folder') return at;
  }
  return null;
}

async function isFile(tree: FileTree, path: string): Promise<boolean> {
  return (await tree.stat(path))?.kind === 'file';
}

async function hasAny(tree: FileTree, esp: string): Promise<boolean> {
  for (const machine of machines()) if (await isFile(tree, fallbackOf({ esp, machine }))) return true;
  return false;
}

function machines(): readonly Loader['machine'][] {
  return Object.keys(MACHINES) as Loader['machine'][];
}

/** That of who made the system; null when several others have one, and nobody knows which of them is used. */
async function loaderIn(tree: FileTree, esp: string): Promise<Loader | null> {
  const loaders: Loader[] = [];
  for (const vendor of (await tree.list(`${esp}/EFI`)).slice(0, VENDORS_MAX)) {
    if (vendor.toUpperCase() === 'BOOT') continue;
    const names = await programsIn(tree, `${esp}/EFI/${vendor}`);
    for (const machine of machines()) {
      const found = loaderFor(machine, names);
      if (found !== null) loaders.push({ esp, vendor, machine, ...found });
    }
  }
  const { id } = await osOf(tree);
  const own = loaders.filter(({ vendor }) => vendor.toLowerCase() === id.toLowerCase());
  const [only = null, another] = own.length > 0 ? own : loaders;
  return another === undefined || own.length > 0 ? only : null;
}

/** FAT does not tell small letters from capital ones. */
async function programsIn(tree: FileTree, folder: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const name of (await tree.list(folder)).slice(0, VENDORS_MAX)) {
    const file = await tree.stat(`${folder}/${name}`);
    if (file?.kind === 'file' && file.sizeBytes <= PROGRAM_BYTES_MAX) names.push(name.toLowerCase());
  }
  return names;
}

/** Through shim where there is one, since with Secure Boot nothing else is started; it starts GRUB beside it. */
function loaderFor(machine: Loader['machine'], names: readonly string[]): Pick<Loader, 'first' | 'others'> | null {
  const [shim, grub, mok] = [`shim${machine}.efi`, `grub${machine}.efi`, `mm${machine}.efi`] as const;
  if (names.includes(grub) && names.includes(shim))
    return { first: shim, others: [grub, ...(names.includes(mok) ? [mok] : [])] };
  if (names.includes(grub)) return { first: grub, others: [] };
  const systemd = `systemd-boot${machine}.efi`;
  return names.includes(systemd) ? { first: systemd, others: [] } : null;
}

function copies({ esp, vendor, machine, first, others }: Loader): readonly Edit[] {
  const from = (name: string): string => `${esp}/EFI/${vendor}/${name}`;
  const to = (name: string): string => `${esp}/${FALLBACK}/${name}`;
  return [
    { kind: 'copy', path: to(MACHINES[machine]), from: from(first) },
    ...others.map((name): Edit => ({ kind: 'copy', path: to(name), from: from(name) })),
  ];
}
