// May this target be overwritten? Refuses what must never be, and says what has to be agreed to.
//
// All this is looked at before anything is written, and may change in between. The last guard of a block device is the
// engine's own open with O_EXCL (device/file.ts), which the kernel refuses while somebody mounts or holds it, and
// during which nobody else can; files are written under a provisional name, so nothing that uses the old one is
// overwritten.
import { accessSync, constants, lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { errnoOf, formatBytes, linkOfStranger, lookAlong, UnderstudyError } from '../../base/mod.ts';
import { fileError, fileIdentity } from '../device/file.ts';
import { nbdIdentity } from '../device/nbd-identity.ts';
import { isNbdUri, reachableNbdUri } from '../device/nbd-uri.ts';
import {
  type FolderFacts,
  isProvisional,
  partialPath,
  type ReplacedFile,
  recordOfFile,
  TargetFolder,
} from '../target/mod.ts';
import {
  type BlockDevice,
  diskOf,
  type Footprint,
  findBlockDevice,
  footprintsOf,
  footprintsOfIdentity,
  footprintsOverlap,
  loopsOver,
} from './block-device.ts';
import { describeContents, hardwareName } from './contents.ts';
import { type DiskStamp, stampOf } from './disk-stamp.ts';
import { isSwapFile, type KernelUse, readKernelUse, tryExclusive, useOfDevice } from './in-use.ts';

export interface TargetQuestion {
  /** As the user named it: a path or an NBD URI. */
  readonly target: string;
  /** "file:DEV:INODE", "block:MAJOR:MINOR", or a canonical URI. */
  readonly sourceIdentity: string;
  /** Path of a source that has one. */
  readonly sourcePath?: string | undefined;
}

export interface TargetFacts {
  readonly kind: 'file' | 'block' | 'nbd' | 'new-file';
  /** Absolute, with links resolved; of an NBD target its URI. */
  readonly path: string;
  /** "file:DEV:INODE", "block:MAJOR:MINOR", "new:DEV:INODE/NAME" (of the folder), or a canonical URI. */
  readonly identity: string;
  /** Null for new files and NBD exports, which are not asked here. */
  readonly sizeBytes: number | null;
  /** Always false: read-only targets are refused. */
  readonly readOnly: boolean;
  /** What would be lost, for people: "GPT partition table, ext4", "file of 3.00 MiB". Null when nothing is known of. */
  readonly contents: string | null;
  readonly needsConfirmation: boolean;
  /** Of the disk, where it tells. */
  readonly model: string | null;
  readonly serial: string | null;
  /** Block devices: the disk itself, whatever its name. */
  readonly disk: DiskStamp | null;
  /** Of a file that is there already. */
  readonly replaces: ReplacedFile | null;
  /** Of a file: the folder that it lies in. */
  readonly folder: FolderFacts | null;
}

const NOTHING_KNOWN = {
  sizeBytes: null,
  readOnly: false,
  contents: null,
  needsConfirmation: false,
  model: null,
  serial: null,
  disk: null,
  replaces: null,
  folder: null,
} as const;

/**
 * @throws TARGET_IS_SOURCE: the same storage by any name, or storage that shares bytes with it. TARGET_IN_USE: mounted,
 *   swap, built upon, or held exclusively; also a file behind a loop device in such use. TARGET_READ_ONLY, TARGET_KIND
 *   (a directory, pipe, character device, or a URI that cannot be written), TARGET_NOT_FOUND, TARGET_PERMISSION, USAGE
 *   (a malformed URI).
 */
export async function checkTarget(question: TargetQuestion): Promise<TargetFacts> {
  const { target } = question;
  if (isNbdUri(target)) return checkNbd(question);
  if (target === '' || target === '-' || /^[a-z][a-z0-9+.-]*:\/\//i.test(target)) {
    throw new UnderstudyError(
      'TARGET_KIND',
      `"${target}" cannot be written; name a file, a block device or an NBD URI`,
    );
  }
  const path = followOwnLinks(target);
  const stats = statTarget(target);
  if (stats === null) return checkNewFile(target, path, question);
  if (stats.isBlockDevice()) return checkBlockDevice(target, stats, question);
  if (stats.isFile()) return checkFile(target, path, stats, question);
  const what = stats.isDirectory() ? 'a directory' : 'neither a file nor a block device';
  throw new UnderstudyError('TARGET_KIND', `${target} is ${what}`);
}

/**
 * The path without its links. Whoever made a link on the way could lead the copy elsewhere, by whatever it names now.
 * @throws TARGET_UNSAFE
 */
function followOwnLinks(target: string): string {
  try {
    const way = lookAlong(target);
    const link = linkOfStranger(way);
    if (link === null) return way.path;
    throw new UnderstudyError(
      'TARGET_UNSAFE',
      `${target} is reached over the symbolic link ${link.path} of user ${link.facts.uid}; name the file that is meant`,
    );
  } catch (cause) {
    // Whatever else is wrong with it is told by who opens it.
    if (errnoOf(cause) === null) throw cause;
    return resolve(target);
  }
}

function statTarget(target: string): Stats | null {
  try {
    return statSync(target);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    if (errnoOf(cause) === 'ELOOP') {
      throw new UnderstudyError('TARGET_NOT_FOUND', `${target} is a symbolic link that leads in a circle`, { cause });
    }
    throw fileError('target', `examine ${target}`, errnoOf(cause), cause);
  }
}

async function checkNbd({ target, sourceIdentity }: TargetQuestion): Promise<TargetFacts> {
  const identity = await nbdIdentity(target);
  if (comparable(identity) === comparable(sourceIdentity)) {
    throw new UnderstudyError('TARGET_IS_SOURCE', `${target} is the source itself`);
  }
  // What an export carries is not looked at: that it is writable and large enough shows when it is opened.
  return { kind: 'nbd', path: reachableNbdUri(target), identity, ...NOTHING_KNOWN };
}

/** With or without TLS, and by whatever name of this machine, an export is the same. */
function comparable(identity: string): string {
  return identity
    .replace(/^nbds/, 'nbd')
    .replace(/^nbd:\/\/(?:localhost|0\.0\.0\.0|127\.\d+\.\d+\.\d+|\[::1?\]):/, 'nbd://localhost:');
}

function checkNewFile(target: string, path: string, question: TargetQuestion): TargetFacts {
  refuseNoFolder(target);
  const folder = dirname(path);
  const stats = statSync(folder);
  if (target.endsWith('/') || !stats.isDirectory()) {
    throw new UnderstudyError('TARGET_NOT_FOUND', `${target}: there is no such directory`);
  }
  // A mistyped device name must not become a file that fills the memory behind /dev.
  if ((folder === '/dev' || folder.startsWith('/dev/')) && stats.dev === statSync('/dev').dev) {
    throw new UnderstudyError('TARGET_NOT_FOUND', `there is no device ${target}`);
  }
  requireWritable(folder, constants.W_OK | constants.X_OK, `create a file in ${folder}`);
  refuseUsedProvisional(path, question, readKernelUse());
  const identity = `new:${stats.dev}:${stats.ino}/${basename(path)}`;
  return { ...NOTHING_KNOWN, kind: 'new-file', path, identity, folder: { dev: stats.dev, ino: stats.ino } };
}

function refuseNoFolder(target: string): void {
  const path = resolve(target);
  try {
    if (isLink(path)) {
      throw new UnderstudyError('TARGET_NOT_FOUND', `${target} is a symbolic link to something that does not exist`);
    }
    realpathSync(dirname(path));
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    throw fileError('target', `find the folder of ${target}`, errnoOf(cause), cause);
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

function checkFile(target: string, path: string, stats: Stats, question: TargetQuestion): TargetFacts {
  const footprints = footprintsOf(stats);
  refuseSource(target, footprints, question);
  const use = readKernelUse();
  const loops = refuseUsedFile(target, stats, footprints, use);
  requireWritable(path, constants.W_OK, `write ${target}`);
  // The new content comes under a provisional name beside it, and takes its name at the end.
  requireWritable(dirname(path), constants.W_OK | constants.X_OK, `create a file in ${dirname(path)}`);
  refuseUsedProvisional(path, question, use);
  const folder = statSync(dirname(path));
  const attached = loops.length > 0 ? `, attached as ${loops.join(', ')}` : '';
  return {
    ...NOTHING_KNOWN,
    kind: 'file',
    path,
    identity: fileIdentity(stats),
    sizeBytes: stats.size,
    contents: `file of ${formatBytes(stats.size)}${otherNames(stats)}${attached}`,
    needsConfirmation: true,
    replaces: { dev: stats.dev, ino: stats.ino, uid: stats.uid, gid: stats.gid, mode: stats.mode & 0o777 },
    folder: { dev: folder.dev, ino: folder.ino },
  };
}

/** A file with further names stays what it is under those. */
function otherNames({ nlink }: Stats): string {
  return nlink > 1 ? ` (which keeps its content under ${nlink - 1} other ${nlink === 2 ? 'name' : 'names'})` : '';
}

/**
 * Swap files, and files behind loop devices that are in use: the file would be replaced by another under the same name,
 * and what is mounted would go on in one without a name. Idle loop devices are returned, to be told to whoever agrees.
 */
function refuseUsedFile(target: string, stats: Stats, footprints: readonly Footprint[], use: KernelUse): string[] {
  if (isSwapFile(stats, use)) throw new UnderstudyError('TARGET_IN_USE', `${target} is an active swap file`);
  const loops = loopsOver(footprints);
  refuseUsedLoops(target, loops, use);
  return loops.map((loop) => `/dev/${loop.name}`);
}

function refuseUsedLoops(target: string, loops: readonly BlockDevice[], use: KernelUse): void {
  for (const loop of loops) {
    const how = useOfDevice(loop, use) ?? (tryExclusive(`/dev/${loop.name}`).kind === 'held' ? 'is in use' : null);
    if (how !== null) throw new UnderstudyError('TARGET_IN_USE', `${target} is behind ${loop.name}, which ${how}`);
  }
}

/**
 * The provisional name is overwritten without asking, so it must not be something else that matters. @throws
 * TARGET_PARTIAL_FOREIGN
 */
function refuseUsedProvisional(path: string, question: TargetQuestion, use: KernelUse): void {
  const provisional = partialPath(path);
  const stats = statTarget(provisional);
  if (stats === null) return;
  if (!stats.isFile())
    throw new UnderstudyError('TARGET_KIND', `${provisional} is in the way: it is not a regular file`);
  const footprints = footprintsOf(stats);
  refuseSource(provisional, footprints, question);
  refuseUsedFile(provisional, stats, footprints, use);
  const folder = new TargetFolder(dirname(path), null);
  try {
    const own = folder.look(provisional);
    if (own === undefined || isProvisional(own, recordOfFile(folder, path))) return;
  } finally {
    folder.close();
  }
  throw new UnderstudyError(
    'TARGET_PARTIAL_FOREIGN',
    `${provisional} is in the way: no record says that an interrupted copy made it; move it away, or remove it`,
  );
}

async function checkBlockDevice(target: string, stats: Stats, question: TargetQuestion): Promise<TargetFacts> {
  const path = realpathSync(target);
  const identity = fileIdentity(stats);
  const device = findBlockDevice(identity.slice('block:'.length));
  if (device === null) throw new UnderstudyError('TARGET_NOT_FOUND', `${target} is a node without a device`);
  const footprints = footprintsOf(stats);
  refuseSource(target, footprints, question);
  const use = readKernelUse();
  const how = useOfDevice(device, use);
  if (how !== null) throw new UnderstudyError('TARGET_IN_USE', `${target} ${how}`);
  // Before anything else is looked at: a disk that takes the name from here on is another one.
  const stamp = stampOf(device);
  const disk = diskOf(device);
  // Its own disk was looked at just now, with regard to which partitions share bytes with the target.
  const loops = loopsOver(footprints).filter((loop) => loop.number !== disk.number);
  refuseUsedLoops(target, loops, use);
  if (device.sizeBytes === 0) throw new UnderstudyError('TARGET_NOT_FOUND', `${target} holds no medium`);
  if (device.readOnly) throw new UnderstudyError('TARGET_READ_ONLY', `${target} is read-only`);
  requireWritable(path, constants.R_OK | constants.W_OK, `write ${target}`);
  const exclusive = tryExclusive(path);
  if (exclusive.kind === 'held') {
    throw new UnderstudyError('TARGET_IN_USE', `${target} is held exclusively by the kernel or another program`);
  }
  if (exclusive.kind === 'failed') {
    throw fileError('target', `open ${target}`, errnoOf(exclusive.cause), exclusive.cause);
  }
  const found = await describeContents(path);
  const parts = [found, ...loops.map((loop) => `attached as /dev/${loop.name}`)].filter((part) => part !== null);
  return {
    kind: 'block',
    path,
    identity,
    sizeBytes: device.sizeBytes,
    readOnly: false,
    contents: parts.length > 0 ? parts.join(', ') : null,
    needsConfirmation: parts.length > 0,
    disk: stamp,
    replaces: null,
    folder: null,
    ...(await hardwareName(disk.name)),
  };
}

function refuseSource(name: string, footprints: readonly Footprint[], question: TargetQuestion): void {
  const source = [...footprintsOfIdentity(question.sourceIdentity), ...footprintsOfPath(question.sourcePath)];
  if (!footprintsOverlap(footprints, source)) return;
  throw new UnderstudyError('TARGET_IS_SOURCE', `${name} is the source itself, or shares bytes with it`);
}

function footprintsOfPath(path: string | undefined): Footprint[] {
  if (path === undefined) return [];
  try {
    return footprintsOf(statSync(path));
  } catch (cause) {
    // That the source cannot be looked at is for the one who opens it to report; its identity is compared in any case.
    if (errnoOf(cause) === null) throw cause;
    return [];
  }
}

function requireWritable(path: string, mode: number, action: string): void {
  try {
    accessSync(path, mode);
  } catch (cause) {
    throw fileError('target', action, errnoOf(cause), cause);
  }
}
