// Which storage a user means, and how it is to be read: cheap enough to be asked before joining a running copy.
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import {
  errnoOf,
  lookAlong,
  messageOf,
  plantedLink,
  secretProblem,
  UnderstudyError,
  withoutSecrets,
} from '../../base/mod.ts';
import { blockDeviceBytes } from '../../linux/mod.ts';
import type { DeviceAccess } from '../device/contract.ts';
import { fileError, fileFingerprint, fileIdentity } from '../device/file.ts';
import { nbdIdentity } from '../device/nbd-identity.ts';
import { isNbdUri, reachableNbdUri } from '../device/nbd-uri.ts';
import { detectStored, FOOTER_BYTES, HEAD_BYTES } from './detect.ts';
import { isImage, parseFormat, type SourceFormat } from './format.ts';
import { nameOfSource } from './name.ts';
import { unreadFormat } from './unread.ts';
import { refusal } from './unwrapped.ts';

export interface SourceOptions {
  /** A path, an NBD or http(s) URI, or "-" for standard input. */
  readonly uri: string;
  /** One of SourceFormat. @default looked for in the content of files and of what http(s) serves; raw for the rest */
  readonly format?: string | undefined;
  /** Read https without checking the server's certificate. @default false */
  readonly insecure?: boolean | undefined;
  /** File with certificates of authorities that are trusted besides those of the system. */
  readonly cacert?: string | undefined;
  /** A file with the key of an encrypted image. */
  readonly keyFile?: string | undefined;
}

/** Structured-cloneable and JSON-safe. */
export interface IdentifiedSource {
  /** As the user named it, without user name and password: for messages. */
  readonly uri: string;
  /** Of kind http: with them. */
  readonly url?: string;
  readonly kind: 'file' | 'block' | 'nbd' | 'http' | 'stdin';
  /** Of kinds file and block: what to open, absolute. */
  readonly path?: string;
  /** Of standard input that is a file or block device, part of which has been read: where the rest begins. */
  readonly fromBytes?: number;
  /** `auto`: only the producer finds out, from the first bytes that the server or the pipe gives. */
  readonly format: SourceFormat | 'auto';
  /** Equal for requests that can share one reading: the storage and the way to read it. */
  readonly identity: string;
  /** Equal for two names of the same storage, however it is read; comparable with `DeviceInfo.identity` of a target. */
  readonly storage: string;
  readonly access: DeviceAccess;
  /** Of the file named, as `Device.fingerprint` of a plain file tells it; '' where nothing cheap can tell. */
  readonly fingerprint: string;
  readonly insecure: boolean;
  /** Of kind http: an absolute path, or null. */
  readonly cacert?: string | null;
  /** Absolute; only of images that QEMU reads. */
  readonly keyFile?: string;
}

const STDIN_FD = 0;
const STDIN_PATH = '/proc/self/fd/0';
const HTTP = /^https?:\/\//i;
const OTHER_SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;

/**
 * @throws SOURCE_NOT_FOUND, SOURCE_UNREADABLE, SOURCE_KIND, SOURCE_EMPTY, FORMAT_UNKNOWN, or USAGE (not a URI that can
 * be
 *   read, or standard input is a terminal). Servers are not asked: what they answer is known when the source is
 * prepared.
 */
export async function identifySource(options: SourceOptions): Promise<IdentifiedSource> {
  const source = await identifyStorage(options);
  if (options.keyFile === undefined) return source;
  refuseOpenKey(options.keyFile);
  // Who has no key must not join a reading that has one.
  return { ...source, keyFile: resolve(options.keyFile), identity: `${source.identity}+key` };
}

/** A pipe (`<(pass show key)`) has no mode that says anything; a file that is not there is told of by who opens it. */
function refuseOpenKey(keyFile: string): void {
  if (statSync(keyFile, { throwIfNoEntry: false })?.isFile() !== true) return;
  const problem = secretProblem(keyFile);
  if (problem === null) return;
  throw new UnderstudyError('USAGE', `the key file ${keyFile} ${problem.text}; ${problem.hint}`);
}

async function identifyStorage(options: SourceOptions): Promise<IdentifiedSource> {
  const { uri } = options;
  const format = options.format === undefined ? undefined : parseFormat(options.format);
  if (uri === '-') return identifyStdin(format);
  if (HTTP.test(uri)) return identifyHttp(options, format);
  if (isNbdUri(uri)) return identifyNbd(reachableNbdUri(uri), format ?? 'raw');
  const scheme = OTHER_SCHEME.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) return identifyPath(uri, resolve(uri), format);
  if (scheme === 'file') return identifyPath(uri, pathOfUrl(uri), format);
  const known = 'paths, file:, nbd:, nbds:, nbd+unix:, http: and https:';
  throw new UnderstudyError('USAGE', `"${uri}" cannot be read: sources are ${known}, or "-" for standard input`);
}

function pathOfUrl(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (cause) {
    throw new UnderstudyError('USAGE', `"${uri}" names no file: ${messageOf(cause)}`, { cause });
  }
}

function identifyPath(uri: string, path: string, format: SourceFormat | undefined): IdentifiedSource {
  if (path.includes('\0'))
    throw new UnderstudyError('USAGE', `"${uri}" does not name a file: a path cannot contain a NUL`);
  requireBlocks(uri, statOf(uri, path));
  refusePlanted(uri, path);
  const fd = openForReading(uri, path);
  try {
    // The name could mean something else by now: what has been opened is what counts.
    const stats = fstatSync(fd);
    requireBlocks(uri, stats);
    return identifyOpen(uri, path, fd, stats, format);
  } finally {
    closeSync(fd);
  }
}

/** @throws SOURCE_UNREADABLE for a link by which somebody else chooses what is read with this user's rights */
function refusePlanted(uri: string, path: string): void {
  const link = plantedLink(lookAlong(path));
  if (link === null) return;
  throw new UnderstudyError(
    'SOURCE_UNREADABLE',
    `${uri} is reached over ${link.path}, a symbolic link of user ${link.facts.uid} in a folder that everybody can write; ` +
      'name the file that is meant',
  );
}

/**
 * statfs(2), f_type: what lies in /proc and /sys is made when it is read, and has a length of its own making
 * (/proc/kcore).
 */
const KERNEL_TYPES: readonly number[] = [0x9fa0, 0x6265_6572];

function identifyOpen(
  uri: string,
  path: string,
  fd: number,
  stats: Stats,
  given: SourceFormat | undefined,
  fromBytes = 0,
): IdentifiedSource {
  const regular = stats.isFile();
  const name = nameOfSource(uri);
  if (regular && KERNEL_TYPES.includes(statfsSync(`/proc/self/fd/${fd}`).type)) {
    throw new UnderstudyError('SOURCE_KIND', `${name} is a file that the kernel makes up, not an image`);
  }
  const sizeBytes = regular ? stats.size : blockDeviceBytes(fd);
  if (sizeBytes === 0) throw new UnderstudyError('SOURCE_EMPTY', `${name} holds no bytes`);
  if (sizeBytes <= fromBytes) throw allRead(fromBytes);
  // Block devices are never looked into: their first bytes belong to whoever uses the disk (see detectFormat).
  const format = given ?? (regular ? detectFile(name, fd, fromBytes, sizeBytes) : 'raw');
  const storage = fileIdentity(stats);
  const from = fromBytes === 0 ? '' : `+from=${fromBytes}`;
  return {
    uri,
    kind: regular ? 'file' : 'block',
    path,
    ...(fromBytes === 0 ? {} : { fromBytes }),
    format,
    identity: `${storage}+${format}${from}`,
    storage,
    access: isImage(format) || format === 'raw' ? 'random' : 'rewind',
    fingerprint: fileFingerprint(fd),
    insecure: false,
  };
}

function statOf(uri: string, path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    // A name with a file where a folder should be, or that leads in a circle, names nothing.
    const errno = errnoOf(cause);
    const nothing = errno === 'ENOTDIR' || errno === 'ELOOP' || errno === 'ENAMETOOLONG';
    throw fileError('source', `examine ${uri}`, nothing ? 'ENOENT' : errno, cause);
  }
}

function openForReading(uri: string, path: string): number {
  try {
    // Not to wait for a writer, should a pipe have taken the name in the meantime.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === 'ENOMEDIUM') throw new UnderstudyError('SOURCE_EMPTY', `${uri} has no medium in it`, { cause });
    throw fileError('source', `open ${uri}`, errno, cause);
  }
}

function requireBlocks(uri: string, stats: Stats): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  const kind = kindOf(stats);
  const hint = kind === 'a named pipe' ? `; to read it once: understudy copy - TARGET < ${uri}` : '';
  throw new UnderstudyError('SOURCE_KIND', `${uri} is ${kind}, not a file or block device${hint}`);
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isSocket()) return 'a socket';
  if (stats.isFIFO()) return 'a named pipe';
  return 'a character device';
}

/** @throws FORMAT_UNKNOWN for what is known and not read */
function detectFile(uri: string, fd: number, fromBytes: number, endBytes: number): SourceFormat {
  const head = bytesAt(uri, fd, fromBytes, HEAD_BYTES);
  const footer = bytesAt(uri, fd, Math.max(fromBytes, endBytes - FOOTER_BYTES), FOOTER_BYTES);
  const format = detectStored(head, footer);
  const unread = format === 'raw' ? unreadFormat(head, footer) : null;
  if (unread !== null) throw refusal(uri, unread);
  return format;
}

function bytesAt(uri: string, fd: number, offsetBytes: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, lengthBytes, offsetBytes));
  } catch (cause) {
    throw fileError('source', `read ${uri} at byte ${offsetBytes}`, errnoOf(cause), cause);
  }
}

function identifyStdin(given: SourceFormat | undefined): IdentifiedSource {
  if (isatty(STDIN_FD)) throw new UnderstudyError('USAGE', 'standard input is a terminal; redirect an image into it');
  const stats = stdinStats();
  // A file that the shell opened is as good as one named.
  if (stats.isFile() || stats.isBlockDevice()) {
    return identifyOpen('-', STDIN_PATH, STDIN_FD, stats, given, offsetOfStdin());
  }
  if (!stats.isFIFO() && !stats.isSocket()) {
    throw new UnderstudyError('SOURCE_KIND', `standard input is ${kindOf(stats)}, which no image can come from`);
  }
  const format = given ?? 'auto';
  if (isImage(format)) {
    const message = `${format} needs reading at any offset, and standard input is a pipe; save the image in a file first`;
    throw new UnderstudyError('FORMAT_UNKNOWN', message);
  }
  const storage = `stdin:${stats.dev}:${stats.ino}`;
  const identity = `${storage}+${format}`;
  return { uri: '-', kind: 'stdin', format, identity, storage, access: 'once', fingerprint: '', insecure: false };
}

/**
 * Who has read a part of a file before (`dd count=1`, `read` of a shell) means the rest of it, as any program reads it
 * from standard input. proc_pid_fdinfo(5).
 */
function offsetOfStdin(): number {
  return Number(/^pos:\s+(\d+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1] ?? 0);
}

function allRead(fromBytes: number): UnderstudyError {
  const message = `standard input holds no more bytes: it is a file of which ${fromBytes} bytes have been read already`;
  return new UnderstudyError('SOURCE_EMPTY', `${message}, and that is all of it`);
}

function stdinStats(): Stats {
  try {
    return fstatSync(STDIN_FD);
  } catch (cause) {
    throw new UnderstudyError('SOURCE_NOT_FOUND', 'standard input is closed', { cause });
  }
}

async function identifyNbd(uri: string, format: SourceFormat): Promise<IdentifiedSource> {
  refuseStream(uri, format);
  const storage = await nbdIdentity(uri);
  if (format !== 'raw' && !/^nbd(\+unix)?:/.test(uri)) {
    throw new UnderstudyError('FORMAT_UNKNOWN', `${format} can be read from nbd: and nbd+unix: servers only`);
  }
  const identity = `${storage}+${format}`;
  return { uri, kind: 'nbd', format, identity, storage, access: 'random', fingerprint: '', insecure: false };
}

function identifyHttp(options: SourceOptions, given: SourceFormat | undefined): IdentifiedSource {
  const { uri: url, insecure = false } = options;
  const format = given ?? 'auto';
  const storage = canonicalHttpUrl(url);
  const cacert = options.cacert === undefined ? null : resolve(options.cacert);
  // Who insists on the certificate must not join a reading that does not, or that trusts others.
  const trust = insecure ? '+insecure' : cacert === null ? '' : `+cacert=${cacert}`;
  return {
    uri: withoutCredentials(url, storage),
    kind: 'http',
    url,
    format,
    identity: `${storage}+${format}${trust}`,
    storage,
    access: 'random',
    fingerprint: '',
    insecure,
    cacert,
  };
}

/** For messages: as the user wrote it, unless that shows a password; values that look like one are left out. */
function withoutCredentials(url: string, storage: string): string {
  const { username, password } = parseUrl(url);
  return withoutSecrets(username === '' && password === '' ? url : storage);
}

/** Without credentials and fragment: they do not change what is stored, and identities are shown. */
function canonicalHttpUrl(uri: string): string {
  const url = parseUrl(uri);
  url.username = '';
  url.password = '';
  url.hash = '';
  return url.href;
}

export function parseUrl(uri: string): URL {
  try {
    return new URL(uri);
  } catch (cause) {
    const shown = uri.replace(/\/\/[^/@]*@/, '//');
    throw new UnderstudyError('USAGE', `"${shown}" is not a URL`, { cause });
  }
}

/** @throws FORMAT_UNKNOWN for a compressed or packed image behind an NBD server */
function refuseStream(uri: string, format: SourceFormat): void {
  if (format === 'raw' || isImage(format)) return;
  const message = `${uri}: images in ${format} can be read from files, http(s) and standard input only; save it in a file first`;
  throw new UnderstudyError('FORMAT_UNKNOWN', message);
}
