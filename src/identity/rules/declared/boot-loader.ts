// How the firmware of another machine finds the boot loader. Where the lead's UEFI has a note of it in its own memory, that of the
// understudy has none, and takes the one with the name that is kept for disks that move: \EFI\BOOT\BOOTX64.EFI (UEFI specification, 3.5.1.1).
// It becomes what grub-install --force-extra-removable makes: a copy of the loader that the lead starts from.
import type { FileTree } from '../../tree/mod.ts';
import type { Edit, FindContext, Rule } from '../contract.ts';
import { finding } from '../finding.ts';

const RULE = 'boot-loader';
const ESP = ['/boot/efi', '/efi', '/boot'];
/** By the word in the names of files: what the specification calls the machine. */
const MACHINES = {
  x64: 'BOOTX64.EFI',
  aa64: 'BOOTAA64.EFI',
  riscv64: 'BOOTRISCV64.EFI',
  ia32: 'BOOTIA32.EFI',
} as const;
const FALLBACK = 'EFI/BOOT';
const WHY =
  'The firmware of the lead knows where its boot loader is; that of another machine looks for this one, which is not there.';
const NO_LOADER =
  'Another machine starts from it, and there is no boot loader in it that could be copied to where it looks.';

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
    const esp = otherHardware === true ? await espOf(tree) : null;
    if (esp === null || (await hasFallback(tree, esp))) return [];
    const loader = await loaderIn(tree, esp);
    const facts = { rule: RULE, confidence: 'certain' } as const;
    if (loader === null)
      return [finding({ ...facts, path: esp, value: 'no boot loader', why: NO_LOADER, action: 'unknown' })];
    const path = `${esp}/${FALLBACK}/${MACHINES[loader.machine]}`;
    return [finding({ ...facts, path, value: 'absent', why: WHY, action: 'regenerate' })];
  },
  async change(_found, tree) {
    const esp = await espOf(tree);
    const loader = esp === null ? null : await loaderIn(tree, esp);
    return loader === null ? [] : copies(loader);
  },
  async verify(tree, { otherHardware, findings }) {
    const planned = findings.some(({ rule, action }) => rule === RULE && action === 'regenerate');
    const esp = otherHardware === true && planned ? await espOf(tree) : null;
    return esp === null || (await hasFallback(tree, esp)) ? [] : [`${esp} has no boot loader for another machine`];
  },
};

/** Where the system mounts what the firmware starts from. */
async function espOf(tree: FileTree): Promise<string | null> {
  for (const path of ESP) {
    if (!tree.attached.some(({ at }) => at === path)) continue;
    if ((await tree.stat(`${path}/EFI`))?.kind === 'folder') return path;
  }
  return null;
}

async function hasFallback(tree: FileTree, esp: string): Promise<boolean> {
  const names = new Set((await tree.list(`${esp}/${FALLBACK}`)).map((name) => name.toUpperCase()));
  return Object.values(MACHINES).some((name) => names.has(name));
}

/** Through shim where there is one, since with Secure Boot nothing else is started. */
async function loaderIn(tree: FileTree, esp: string): Promise<Loader | null> {
  for (const vendor of await tree.list(`${esp}/EFI`)) {
    if (vendor.toUpperCase() === 'BOOT') continue;
    const names = (await tree.list(`${esp}/EFI/${vendor}`)).map((name) => name.toLowerCase());
    for (const machine of Object.keys(MACHINES) as (keyof typeof MACHINES)[]) {
      const [shim, grub, mok] = ['shim', 'grub', 'mm'].map((name) => `${name}${machine}.efi`);
      const systemd = `systemd-boot${machine}.efi`;
      const others = [grub, mok].filter((name) => name !== undefined && names.includes(name)) as string[];
      const facts = { esp, vendor, machine };
      if (shim !== undefined && names.includes(shim)) return { ...facts, first: shim, others };
      if (grub !== undefined && names.includes(grub)) return { ...facts, first: grub, others: [] };
      if (names.includes(systemd)) return { ...facts, first: systemd, others: [] };
    }
  }
  return null;
}

function copies({ esp, vendor, machine, first, others }: Loader): readonly Edit[] {
  const from = (name: string): string => `${esp}/EFI/${vendor}/${name}`;
  const to = (name: string): string => `${esp}/${FALLBACK}/${name}`;
  return [
    { kind: 'copy', path: to(MACHINES[machine]), from: from(first) },
    ...others.map((name): Edit => ({ kind: 'copy', path: to(name), from: from(name) })),
  ];
}
