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
const DISK_MIB = 1024;
const ROOT_UUID = '3c5f6a52-7a0e-4f0c-8a53-0f5d7f1c9b11';
const PACKAGES = [
  ...['systemd-sysv', 'ifupdown', 'iproute2', 'cron', 'openssh-server', 'nodejs'],
  ...['nginx-light', 'php8.2-fpm', 'php8.2-cli', 'php8.2-opcache', 'dokuwiki'],
  // For the initial file system.
  ...['busybox-static', 'cpio'],
];
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

/** Everything on which the images depend, but for what Debian has changed and for new keys. */
function recipe(): { readonly hook: string; readonly digest: string } {
  const files = { ...skeletonFiles(), ...identityFiles(LEAD), '/etc/fstab': '/dev/vda / ext4 errors=remount-ro 0 0\n' };
  const hook = `${placeFunction(files)}\n${readFileSync(besideSource('tree-hook.sh'), 'utf8')}`;
  const parts = JSON.stringify([SUITE, PACKAGES, DISK_MIB, ROOT_UUID, hook, identityFiles(SPARE), KEY_TYPES]);
  return { hook, digest: createHash('sha256').update(parts).digest('hex').slice(0, 12) };
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

async function takeOut(image: string, path: string, to: string): Promise<void> {
  const content = await readFromImage(image, path);
  if (content === null) throw new Error(`${path} is not in the image`);
  writeFileSync(to, content);
}

async function build(work: string, hook: string, target: string, { report, abort }: GuestOptions): Promise<void> {
  const folder = join(work, 'guests');
  mkdirSync(folder);
  const guests = guestsIn(folder);
  writeFileSync(guests.webImage, '');
  // For the mapped root; the folder is closed to everybody else.
  chmodSync(guests.webImage, 0o666);
  truncateSync(guests.webImage, DISK_MIB * limits.MIB);
  await makeKey(guests.sshKey, 'ed25519', 'guests of understudy');
  const key = placeFunction({ '/root/.ssh/authorized_keys': readFileSync(`${guests.sshKey}.pub`, 'utf8') });
  const variables = { ROOT_UUID, DISK_MIB: String(DISK_MIB) };
  const withKey = `${key.replace('place()', 'place_key()')}\n${hook}`;
  await unpackDebian({
    ...{ suite: SUITE, packages: PACKAGES, hook: withKey, variables, disk: guests.webImage },
    ...{ folder: work, report, abort },
  });
  chmodSync(guests.webImage, 0o644);
  report('taking the kernel out, and making the spare');
  await takeOut(guests.webImage, '/boot/vmlinuz', guests.kernel);
  await takeOut(guests.webImage, '/boot/initrd.img', guests.initrd);
  await copySparsely(guests.webImage, guests.spareImage);
  await writeIntoImage(guests.spareImage, await spareEntries(work, SPARE));
  abort.throwIfAborted();
  renameSync(folder, target);
}

/** The guests, after building them if they are not in the cache; builds at the same time wait for one of them. */
export async function buildGuests(options: GuestOptions): Promise<Guests> {
  const { hook, digest } = recipe();
  const target = join(cacheFolder(), `guests-${digest}`);
  if (existsSync(target)) return guestsIn(target);
  if (process.arch !== 'x64') throw new Error('the guests are x86-64 systems and have to be built on one');
  await oneAtATime(`guests-${digest}`, options.abort, async () => {
    if (existsSync(target)) return;
    const started = performance.now();
    const report: Report = (line) =>
      options.report(`  ${formatDuration((performance.now() - started) / 1000).padStart(6)}  ${line}`);
    options.report('building the guests from Debian packages, once; one to four minutes');
    await inWorkFolder((work) => build(work, hook, target, { ...options, report }), 'build');
  });
  rmSync(join(cacheFolder(), `guests-${digest}.lock`), { force: true });
  return guestsIn(target);
}
