// The guests that tests and the demo run, built once for each recipe and kept in the user's cache: a Debian 12 web server with a
// wiki, and a spare with little work of its own. Kernel and initial file system lie beside the images.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { formatDuration, limits, requireTool, runTool } from '../src/base/mod.ts';
import { cacheFolder, inWorkFolder, oneAtATime } from './cache-folder.ts';
import { type Report, unpackDebian } from './debian.ts';
import { type GuestIdentity, identityFiles, LEAD, SPARE } from './identity.ts';
import { besideSource, placeFunction, skeletonFiles } from './skeleton.ts';
import { copySparsely, type Entry, readFromImage, writeIntoImage } from './volume.ts';

const SUITE = 'bookworm';
export const DISK_MIB = 1024;
const ROOT_UUID = '3c5f6a52-7a0e-4f0c-8a53-0f5d7f1c9b11';
const PACKAGES = [
  ...['systemd-sysv', 'ifupdown', 'iproute2', 'cron', 'openssh-server', 'nodejs'],
  ...['nginx-light', 'php8.2-fpm', 'php8.2-cli', 'php8.2-opcache', 'dokuwiki'],
  // For the initial file system.
  ...['busybox-static', 'cpio'],
];
const PET_PACKAGES = ['mariadb-server', 'postfix', 'grub-common', 'grub-pc-bin'];
const KEY_TYPES = ['ed25519', 'ecdsa', 'rsa'];

/** Of the kernel: everything else of it is in the images. */
export const GUEST_APPEND = 'root=/dev/vda rw net.ifnames=0 console=ttyS0 quiet panic=-1 mitigations=off';
/** The guests serve well with so much. */
export const GUEST_MEMORY_MIB = 384;

export interface Guests {
  readonly kernel: string;
  readonly initrd: string;
  /** The lead's boot volume as a bare ext4 image. Shared by everybody: copy it with `makeVolume`, never run it. */
  readonly webImage: string;
  /** The spare's, likewise. */
  readonly spareImage: string;
  /** Private key that opens root's account of both guests. */
  readonly sshKey: string;
}

export interface GuestOptions {
  readonly report: Report;
  /** Ends the build; the call rejects with its reason. */
  readonly abort: AbortSignal;
}

/** The hook that makes the lead of an unpacked system, and a digest of everything on which it depends, but for what Debian has changed. */
export function leadRecipe(pet: boolean): {
  readonly hook: string;
  readonly packages: readonly string[];
  readonly parts: string;
} {
  const files = {
    ...skeletonFiles('root'),
    ...identityFiles(LEAD),
    '/etc/fstab': `${pet ? `UUID=${ROOT_UUID}` : '/dev/vda'} / ext4 errors=remount-ro 0 0\n`,
  };
  const text = (name: string): string => readFileSync(besideSource(name), 'utf8');
  const petHook = pet ? [placeFunction(skeletonFiles('pet'), 'place_pet'), text('pet-hook.sh')] : [];
  const hook = [placeFunction(files), text('tree-hook.sh'), ...petHook, text('image-hook.sh')].join('\n');
  const packages = pet ? [...PACKAGES, ...PET_PACKAGES] : PACKAGES;
  return { hook, packages, parts: JSON.stringify([SUITE, packages, DISK_MIB, ROOT_UUID, hook]) };
}

function guestsIn(folder: string): Guests {
  const [kernel, initrd, webImage, spareImage, sshKey] = [
    'vmlinuz',
    'initrd.img',
    'web1.img',
    'spare1.img',
    'ssh-key',
  ].map((name) => join(folder, name)) as [string, string, string, string, string];
  return { kernel, initrd, webImage, spareImage, sshKey };
}

async function makeKey(path: string, type: string, comment: string): Promise<void> {
  const tool = requireTool('ssh-keygen', 'openssh-client');
  const done = await runTool(tool, ['-q', '-t', type, '-N', '', '-C', comment, '-f', path], { timeoutMs: 120_000 });
  if (done.status !== 0) throw new Error(`ssh-keygen: ${done.stderr}`);
}

/** Files that make the spare somebody else. */
async function spareEntries(folder: string, spare: GuestIdentity): Promise<Record<string, Entry>> {
  const entries: Record<string, Entry> = {
    '/etc/nginx/sites-enabled/default': { linkTo: '../sites-available/spare' },
  };
  for (const [path, content] of Object.entries(identityFiles(spare))) entries[path] = { content };
  for (const type of KEY_TYPES) {
    const path = join(folder, `host-${type}`);
    await makeKey(path, type, `root@${spare.hostName}`);
    const name = `/etc/ssh/ssh_host_${type}_key`;
    entries[name] = { content: readFileSync(path), mode: 0o600 };
    entries[`${name}.pub`] = { content: readFileSync(`${path}.pub`) };
  }
  return entries;
}

export async function takeOut(image: string, path: string, to: string): Promise<void> {
  const content = await readFromImage(image, path);
  if (content === null) throw new Error(`${path} is not in the image`);
  writeFileSync(to, content);
}

/** The lead as a file system in a new file, with an account for a key. */
export async function makeLead(
  image: string,
  sshKey: string,
  recipe: ReturnType<typeof leadRecipe>,
  folder: string,
  { report, abort }: GuestOptions,
): Promise<void> {
  writeFileSync(image, '');
  // For the mapped root; the folder is closed to everybody else.
  chmodSync(image, 0o666);
  truncateSync(image, DISK_MIB * limits.MIB);
  await makeKey(sshKey, 'ed25519', 'guests of understudy');
  const key = placeFunction({ '/root/.ssh/authorized_keys': readFileSync(`${sshKey}.pub`, 'utf8') }, 'place_key');
  const variables = { ROOT_UUID, DISK_MIB: String(DISK_MIB), APPEND: GUEST_APPEND.replace(/root=\S+ /, '') };
  await unpackDebian({
    ...{ suite: SUITE, packages: recipe.packages, hook: `${key}\n${recipe.hook}`, variables, disk: image },
    ...{ folder, report, abort },
  });
  chmodSync(image, 0o644);
}

async function build(work: string, target: string, options: GuestOptions): Promise<void> {
  const folder = join(work, 'guests');
  mkdirSync(folder);
  const guests = guestsIn(folder);
  await makeLead(guests.webImage, guests.sshKey, leadRecipe(false), work, options);
  options.report('taking the kernel out, and making the spare');
  await takeOut(guests.webImage, '/boot/vmlinuz', guests.kernel);
  await takeOut(guests.webImage, '/boot/initrd.img', guests.initrd);
  await copySparsely(guests.webImage, guests.spareImage);
  await writeIntoImage(guests.spareImage, await spareEntries(work, SPARE));
  options.abort.throwIfAborted();
  renameSync(folder, target);
}

/** Builds into a folder of the cache, once for everything that `parts` says; those at the same time wait for one of them. */
export async function inCache(
  name: string,
  parts: string,
  options: GuestOptions,
  make: (work: string, target: string, options: GuestOptions) => Promise<void>,
): Promise<string> {
  const own = `${name}-${createHash('sha256').update(parts).digest('hex').slice(0, 12)}`;
  const target = join(cacheFolder(), own);
  if (existsSync(target)) return target;
  if (process.arch !== 'x64') throw new Error('the guests are x86-64 systems and have to be built on one');
  await oneAtATime(own, options.abort, async () => {
    if (existsSync(target)) return;
    const started = performance.now();
    const report: Report = (line) =>
      options.report(`  ${formatDuration((performance.now() - started) / 1000).padStart(6)}  ${line}`);
    options.report(`building the ${name} from Debian packages, once; one to four minutes`);
    await inWorkFolder((work) => make(work, target, { ...options, report }), 'build');
  });
  rmSync(join(cacheFolder(), `${own}.lock`), { force: true });
  return target;
}

/** The guests, after building them if they are not in the cache. */
export async function buildGuests(options: GuestOptions): Promise<Guests> {
  const parts = JSON.stringify([leadRecipe(false).parts, identityFiles(SPARE), KEY_TYPES]);
  return guestsIn(await inCache('guests', parts, options, build));
}
