// What the machine must have: programs, libraries, folders with room, a free port, tokens.
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { createClient, readAddress, readTokens } from '../../src/api/mod.ts';
import { codeOf, errnoOf, findTool, formatBytes, messageOf } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { readerProgram } from '../../src/identity/mod.ts';
import { allocatePages, digestOf, NbdHandle } from '../../src/linux/mod.ts';
import { readCertificates } from '../../src/pki/mod.ts';
import { filterOf, OWN_USER, trialReader } from '../../src/sandbox/mod.ts';
import { backupBytesOf } from '../../src/storage/mod.ts';
import { checked, type Finding, failure, warning } from './check.ts';

/** One page. */
const PROBE_BYTES = 4096;

/** Programs and the Debian packages that have them. */
const ALWAYS: readonly (readonly [string, string])[] = [
  ['qemu-storage-daemon', 'qemu-system-common'],
  ['qemu-img', 'qemu-utils'],
  ['e2fsck', 'e2fsprogs'],
  ['debugfs', 'e2fsprogs'],
  ['sfdisk', 'fdisk'],
  ['ssh-keygen', 'openssh-client'],
  ['ssh-keyscan', 'openssh-client'],
  ['prlimit', 'util-linux'],
  ['unshare', 'util-linux'],
  ['nsenter', 'util-linux'],
  ['setpriv', 'util-linux'],
  ['bwrap', 'bubblewrap'],
];
/** For disks that UEFI starts from; nobody knows yet whether there are any. */
const OF_FAT: readonly (readonly [string, string])[] = [
  ['mcopy', 'mtools'],
  ['fsck.fat', 'dosfstools'],
];
const OF_KERNEL_MOUNTS: readonly (readonly [string, string])[] = [
  ['xfs_repair', 'xfsprogs'],
  ['btrfs', 'btrfs-progs'],
];
const OF_POWER: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  qemu: [['qemu-system-x86_64', 'qemu-system-x86']],
  ipmi: [['ipmitool', 'ipmitool']],
};

export async function* examineMachine(configuration: Configuration): AsyncIterable<Check> {
  const drivers = new Set([...configuration.hosts.values()].map(({ power }) => power.driver));
  for (const [name, debianPackage] of [...ALWAYS, ...[...drivers].flatMap((driver) => OF_POWER[driver] ?? [])]) {
    yield checked('program', name, null, () => findTool(name) ?? missing(debianPackage));
  }
  for (const [name, debianPackage] of OF_FAT) {
    const absent = warning(
      'is not installed; a disk that UEFI starts from needs it',
      `apt-get install ${debianPackage}`,
    );
    yield checked('program', name, null, () => findTool(name) ?? absent);
  }
  if (configuration.identity.kernelMount) {
    for (const [name, debianPackage] of OF_KERNEL_MOUNTS) {
      yield checked('program', name, null, () => findTool(name) ?? missing(debianPackage));
    }
    yield checked('rights', 'kernelMount', null, () =>
      process.getuid?.() === 0
        ? 'root, who may mount private overlays of images'
        : failure('identity.kernelMount needs root', 'run understudy as root, or set identity.kernelMount: false'),
    );
  }
  yield checked('library', 'libnbd', 'apt-get install libnbd0', () => {
    new NbdHandle().close();
    return 'can be loaded';
  });
  yield checked('library', 'libxxhash', 'apt-get install libxxhash0', () => {
    const memory = allocatePages(PROBE_BYTES);
    digestOf(new Uint8Array(memory.buffer));
    memory.unmap();
    return 'can be loaded';
  });
  yield* isolation(configuration);
  const { state, storage } = configuration;
  yield checked('folder', state, 'make it, for the user who runs understudy', () => folder(state));
  yield checked('folder', storage.folder, 'make it, for the user who runs understudy', () => folder(storage.folder));
  yield checked('room', storage.folder, 'free some, or name another storage.folder', () => room(configuration));
  yield checked('interface', `${configuration.api.host}:${configuration.api.port}`, null, () => port(configuration));
  yield checked('interface', 'tokens', 'understudy token new makes one (docs/cli.md)', async () => {
    const found = (await readTokens(configuration)).warnings();
    if (found.length > 0) return warning(found.join('; '), 'understudy token new, list and revoke (docs/cli.md)');
    return 'all can be read, and each belongs to one caller or host';
  });
}

/** What reads images runs in a sandbox: whether it can be made, and how its memory and tasks are bounded. */
async function* isolation({ identity }: Configuration): AsyncIterable<Check> {
  yield checked('library', 'libseccomp', 'apt-get install libseccomp2', () => {
    filterOf('reader');
    return 'can be loaded';
  });
  yield checked('isolation', 'images', null, async () => {
    const { boundedBy, failure: why } = await trialReader(readerProgram);
    if (why !== null)
      return failure(why, 'install what is missing, and allow user namespaces (user.max_user_namespaces)');
    const text = `read by a process of ${userOfReaders()}, bounded by a ${boundedBy}`;
    if (!identity.kernelMount) return text;
    return warning(`${text}; with identity.kernelMount it keeps the rights of root`, 'set it only for XFS and btrfs');
  });
}

function userOfReaders(): string {
  return process.getuid?.() === 0 ? `its own user (${OWN_USER})` : 'this user';
}

function missing(debianPackage: string): Finding {
  return failure('is not installed', `apt-get install ${debianPackage}`);
}

/** The folder itself, or the next above it that is there, in which it will be made. */
function nearest(path: string): string {
  return existsSync(path) ? path : nearest(dirname(path));
}

function folder(path: string): Finding | string {
  const there = nearest(path);
  if (!statSync(there).isDirectory()) return failure(`${there} is no folder`, 'name another one');
  accessSync(there, constants.W_OK | constants.X_OK);
  return there === path ? 'can be written' : `will be made in ${there}`;
}

/** What the storage node asks for before it makes the backups of all spares. */
async function backupBytes({ services, hosts, volumes }: Configuration): Promise<number> {
  const spares = new Set([...services.values()].flatMap(({ pool }) => pool));
  const kept = [...hosts.values()].filter(({ name, expendable }) => spares.has(name) && !expendable);
  const paths = new Set(kept.flatMap(({ volume }) => volumes.get(volume)?.path ?? []));
  let bytes = 0;
  for (const path of paths) if (existsSync(path)) bytes += await backupBytesOf(path);
  return bytes;
}

async function room(configuration: Configuration): Promise<Finding | string> {
  const { bavail, bsize } = statfsSync(nearest(configuration.storage.folder));
  const freeBytes = bavail * bsize;
  const backup = await backupBytes(configuration);
  const overlay = configuration.storage.overlayBytesMax;
  const text = `${formatBytes(freeBytes)} free; backups of all spares take up to ${formatBytes(backup)}, changed blocks of a lead up to ${formatBytes(overlay)}`;
  if (freeBytes < backup) return failure(text, 'free some, or name another storage.folder');
  if (freeBytes < backup + overlay) return warning(text, 'free some, or lower storage.overlayMax');
  return text;
}

async function port(configuration: Configuration): Promise<Finding | string> {
  const { host, port: number } = configuration.api;
  const error = await listenOnce(host, number);
  if (error === null) return 'free';
  if (errnoOf(error) === 'EADDRINUSE') {
    if (await ours(configuration)) return 'served by the controller of this state folder';
    return failure('another program listens there', 'end it, or choose another api.port');
  }
  const remedy = errnoOf(error) === 'EADDRNOTAVAIL' ? 'give this machine the address, or choose another api.host' : '';
  return failure(messageOf(error), remedy);
}

function listenOnce(host: string, number: number): Promise<Error | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port: number, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

async function ours({ state, tls, api }: Configuration): Promise<boolean> {
  try {
    const { url } = await readAddress(state);
    const authorityPem = tls === null ? null : (await readCertificates(tls.folder)).authorityPem;
    const own = { authorityPem, pair: null, serverName: tls?.name ?? null };
    await createClient({ url, token: null, tls: own, insecure: api.insecure, callTimeoutMs: 5000 }).alive();
    return true;
  } catch (error) {
    // No address was written, or what answers there is not ours: then it is somebody else's port.
    if (codeOf(error) === null) throw error;
    return false;
  }
}
