// The pet: the lead of the guests with a database, a mail server and work that starts by the clock, as a file system whose kernel lies
// outside, and as a whole disk from which BIOS and GRUB start it.
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { limits } from '../src/base/mod.ts';
import { DISK_MIB, type GuestOptions, inCache, leadRecipe, makeLead, takeOut } from './build.ts';
import { makeDisk } from './disk.ts';

export interface Pet {
  readonly kernel: string;
  readonly initrd: string;
  /** A bare ext4 image. Shared by everybody: copy it, never run it. */
  readonly image: string;
  /** GPT, a partition of GRUB, and the same file system; likewise. */
  readonly disk: string;
  /** Private key that opens root's account. */
  readonly sshKey: string;
}

function petIn(folder: string): Pet {
  const at = (name: string): string => join(folder, name);
  return {
    kernel: at('vmlinuz'),
    initrd: at('initrd.img'),
    image: at('web1.img'),
    disk: at('web1-disk.img'),
    sshKey: at('ssh-key'),
  };
}

/** The pet, after building it if it is not in the cache. */
export async function buildPet(options: GuestOptions): Promise<Pet> {
  const recipe = leadRecipe(true);
  return petIn(await inCache('pet', recipe.parts, options, build));
}

async function build(work: string, target: string, options: GuestOptions): Promise<void> {
  const folder = join(work, 'pet');
  mkdirSync(folder);
  const pet = petIn(folder);
  await makeLead(pet.image, pet.sshKey, leadRecipe(true), work, options);
  options.report('taking the kernel out, and making the whole disk');
  await takeOut(pet.image, '/boot/vmlinuz', pet.kernel);
  await takeOut(pet.image, '/boot/initrd.img', pet.initrd);
  await makeDisk(pet.image, pet.disk, DISK_MIB * limits.MIB);
  options.abort.throwIfAborted();
  renameSync(folder, target);
}
