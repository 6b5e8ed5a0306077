// The producer's main thread: starts what a source needs to be read, and keeps it running until nobody reads any more.
import { closeSync, fstatSync, mkdtempSync, openSync, realpathSync, rmSync, type Stats, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf, errnoOf, limits, messageOf, UnderstudyError } from '../../base/mod.ts';
import { fileError, fileIdentity } from '../device/file.ts';
import { canonicalNbdUri } from '../device/nbd-uri.ts';
import { decompressedBytes, hostDecompressor, type StreamHost } from './decompressor.ts';
import { type CompressedFormat, DETECTION_BYTES, detectFormat, type ImageFormat, isCompressed } from './format.ts';
import { type IdentifiedSource, parseUrl, refuseCompressed } from './identify.ts';
import { planImage } from './image-plan.ts';
import { serveImage } from './image-server.ts';
import { type BlockNode, graphName, qemuError, runQemu, type ToolObjects } from './qemu.ts';

/** How a worker of this process opens the source: structured-cloneable, of no use in another process. */
export type SourceDescriptor =
  | { readonly kind: 'file'; readonly uri: string; readonly path: string }
  | { readonly kind: 'nbd'; readonly uri: string; readonly served: ServedImage | null }
  | {
      readonly kind: 'stream';
      readonly uri: string;
      readonly storage: string;
      readonly sizeBytes: number | null;
      /** Where the bytes come from: standard input itself, or a program that the main thread keeps. */
      readonly from: { readonly fd: number } | { readonly control: SharedArrayBuffer; readonly rewindable: boolean };
      readonly fingerprintFd: number | null;
    };

/** What the private server stands for. */
export interface ServedImage {
  readonly uri: string;
  readonly storage: string;
  /** Open descriptors of the files that the image consists of. */
  readonly fingerprintFds: readonly number[];
}

export interface PreparedSource {
  readonly descriptor: SourceDescriptor;
  /** Process ids of the helpers that run now; they die with this process. */
  readonly helperPids: readonly number[];
  /** Ends the helpers. Only when no worker has the source open any more. Idempotent. */
  close(): Promise<void>;
}

const STDIN_FD = 0;
/** What curl asks for at a time while we read on: the latency of a server is paid once per so much. */
const HTTP_READAHEAD_BYTES = 4 * limits.MIB;
const HTTP_PROBE_TIMEOUT_MS = 60_000;
/** Longest path of a Unix socket (unix(7)) less the name in the folder. */
const FOLDER_CHARACTERS_MAX = 100;

/**
 * Makes the source ready for `openPrepared` in one worker of this process.
 * @throws SOURCE_CHANGED when another file has taken the name since it was identified; TOOL_MISSING; SOURCE_NOT_FOUND,
 *   SOURCE_UNREADABLE, SOURCE_CORRUPT, SOURCE_UNAVAILABLE, SOURCE_TIMEOUT, SOURCE_EMPTY, SOURCE_KIND, FORMAT_UNKNOWN
 */
export async function prepareSource(source: IdentifiedSource): Promise<PreparedSource> {
  const { kind, format } = source;
  if (kind === 'http') return prepareHttp(source);
  if (isCompressed(format)) return prepareCompressed(source, format);
  if (kind === 'stdin') return plain({ ...streamOf(source), from: { fd: STDIN_FD }, sizeBytes: null });
  if (kind === 'nbd') {
    if (format === 'raw') return plain({ kind: 'nbd', uri: source.uri, served: null });
    return prepareImage(source, format as ImageFormat, { storage: nbdNode(source), path: null, secret: null });
  }
  const held = openHeld(source);
  try {
    if (format === 'raw') return plain({ kind: 'file', uri: source.uri, path: held.path });
    const path = realPathOf(source, held.path);
    const driver = kind === 'block' ? 'host_device' : 'file';
    const storage = { driver, filename: path };
    return await prepareImage(source, format as ImageFormat, {
      storage,
      path: kind === 'block' ? null : path,
      secret: null,
    });
  } finally {
    closeSync(held.fd);
  }
}

function plain(descriptor: SourceDescriptor): PreparedSource {
  return { descriptor, helperPids: [], close: () => Promise.resolve() };
}

/** Opens what was identified, and nothing else that has its name by now. */
function openHeld(source: IdentifiedSource): { fd: number; path: string } {
  const path = source.path ?? `/proc/self/fd/${STDIN_FD}`;
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw fileError('source', `open ${source.uri}`, errnoOf(cause), cause);
  }
  const stats: Stats = fstatSync(fd);
  if (fileIdentity(stats) === source.storage) return { fd, path };
  closeSync(fd);
  throw new UnderstudyError('SOURCE_CHANGED', `${source.uri} is another file than a moment ago`);
}

function realPathOf(source: IdentifiedSource, path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw fileError('source', `find ${source.uri}`, errnoOf(cause), cause);
  }
}

function streamOf(source: IdentifiedSource) {
  return { kind: 'stream', uri: source.uri, storage: source.storage, fingerprintFd: null } as const;
}

async function prepareCompressed(source: IdentifiedSource, format: CompressedFormat): Promise<PreparedSource> {
  if (source.kind === 'stdin') {
    const host = hostDecompressor(format, { fd: STDIN_FD, again: false });
    const descriptor = { ...streamOf(source), from: { control: host.control, rewindable: false }, sizeBytes: null };
    return hosted(descriptor, host, null);
  }
  const held = openHeld(source);
  try {
    const sizeBytes = source.kind === 'file' ? await sizeOf(source, format, held.path) : null;
    const host = hostDecompressor(format, { fd: held.fd, again: true });
    const from = { control: host.control, rewindable: true };
    return hosted({ ...streamOf(source), from, sizeBytes, fingerprintFd: held.fd }, host, held.fd);
  } catch (error) {
    closeSync(held.fd);
    throw error;
  }
}

/** Null also where the file has lost its name meanwhile, which the tools want: a stream of unknown length is copied as well. */
async function sizeOf(source: IdentifiedSource, format: CompressedFormat, path: string): Promise<number | null> {
  let name: string;
  try {
    name = realPathOf(source, path);
  } catch (error) {
    if (codeOf(error) === 'SOURCE_NOT_FOUND') return null;
    throw error;
  }
  return decompressedBytes(format, name, source.uri);
}

function hosted(descriptor: SourceDescriptor, host: StreamHost, heldFd: number | null): PreparedSource {
  let open = true;
  return {
    descriptor,
    get helperPids() {
      return host.helperPids;
    },
    async close() {
      if (!open) return;
      open = false;
      await host.close();
      if (heldFd !== null) closeSync(heldFd);
    },
  };
}

interface ImageAccess {
  readonly storage: BlockNode;
  readonly path: string | null;
  /** Password of an http server, for an object named SECRET. */
  readonly secret: string | null;
}

const SECRET = 'password';

async function prepareImage(
  source: IdentifiedSource,
  format: ImageFormat | 'auto',
  access: ImageAccess,
): Promise<PreparedSource> {
  const uri = shownUri(source);
  const folder = privateFolder();
  const fingerprintFds: number[] = [];
  try {
    const objects = secretObjects(folder, access.secret);
    const found = format === 'auto' ? await probeHttp(uri, access.storage, objects) : format;
    const plan = await planImage({ uri, storage: access.storage, path: access.path, format: found, objects });
    for (const file of plan.files) fingerprintFds.push(openSync(file, 'r'));
    const server = await serveImage({ uri, graph: plan.graph, objects, folder });
    let open = true;
    return {
      descriptor: { kind: 'nbd', uri: server.uri, served: { uri, storage: source.storage, fingerprintFds } },
      get helperPids() {
        return server.helperPids;
      },
      async close() {
        if (!open) return;
        open = false;
        await server.close();
        for (const fd of fingerprintFds) closeSync(fd);
      },
    };
  } catch (error) {
    for (const fd of fingerprintFds) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A new folder of mode 0700 (mkdtemp(3)) whose path leaves room for a socket's name. */
function privateFolder(): string {
  const wanted = join(tmpdir(), 'understudy-');
  return mkdtempSync(wanted.length < FOLDER_CHARACTERS_MAX ? wanted : '/tmp/understudy-');
}

/** By a file, not on the command line, which every user of the machine can see. */
function secretObjects(folder: string, secret: string | null): ToolObjects {
  if (secret === null) return [];
  const file = join(folder, SECRET);
  writeFileSync(file, secret, { mode: 0o600 });
  // In QEMU's option lists a comma is written twice.
  return ['--object', `secret,id=${SECRET},file=${file.replaceAll(',', ',,')}`];
}

function shownUri(source: IdentifiedSource): string {
  return source.kind === 'http' ? source.storage : source.uri;
}

async function prepareHttp(source: IdentifiedSource): Promise<PreparedSource> {
  const url = parseUrl(source.uri);
  const password = url.password === '' ? null : decodeUrl(source, url.password);
  const storage: BlockNode = {
    driver: url.protocol.slice(0, -1),
    url: source.storage,
    readahead: HTTP_READAHEAD_BYTES,
    timeout: limits.IO_TIMEOUT_MS / 1000,
    ...(url.protocol === 'https:' ? { sslverify: !source.insecure } : {}),
    ...(url.username === '' ? {} : { username: decodeUrl(source, url.username) }),
    ...(password === null ? {} : { 'password-secret': SECRET }),
  };
  // Compressed formats were refused when the source was identified.
  const format = source.format as ImageFormat | 'auto';
  return prepareImage(source, format, { storage, path: null, secret: password });
}

function decodeUrl(source: IdentifiedSource, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    const message = `${source.storage}: the user name or password in the URL is wrongly escaped: ${messageOf(cause)}`;
    throw new UnderstudyError('USAGE', message, { cause });
  }
}

/**
 * The format of what a server sends, from its first bytes; read by QEMU like all the rest, so that one and the same client
 * judges certificates and takes the way through proxies. @throws FORMAT_UNKNOWN for compressed images
 */
async function probeHttp(uri: string, storage: BlockNode, objects: ToolObjects): Promise<ImageFormat> {
  const raw = { driver: 'raw', file: storage };
  const args = ['-r', ...objects, '-c', `read -v 0 ${DETECTION_BYTES}`, graphName(raw)];
  const { status, stdout, stderr } = await runQemu({ tool: 'qemu-io', args, timeoutMs: HTTP_PROBE_TIMEOUT_MS, uri });
  if (status !== 0) throw qemuError(uri, stderr === '' ? stdout : stderr);
  // Lines of "00000000:  51 46 49 fb ...  QFI.": sixteen bytes each.
  const rows = stdout.matchAll(/^[0-9a-f]+: {2}((?:[0-9a-f]{2} ){16})/gm);
  const bytes = Buffer.from([...rows].map((row) => row[1]).join(''), 'latin1').toString('latin1');
  const format = detectFormat(Buffer.from(bytes.replaceAll(' ', ''), 'hex'));
  if (!isCompressed(format)) return format;
  refuseCompressed(uri, format);
  return 'raw';
}

/** BlockdevOptionsNbd of an nbd: or nbd+unix: URI. */
function nbdNode(source: IdentifiedSource): BlockNode {
  const match = /^nbd(\+unix)?:\/\/([^/]*)\/([^?]*)(?:\?socket=(.*))?$/.exec(canonicalNbdUri(source.uri));
  if (match === null) throw new UnderstudyError('USAGE', `${source.uri} cannot be read through QEMU`);
  const [, unix, authority = '', name = '', socket = ''] = match;
  const at = authority.lastIndexOf(':');
  const host = authority.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const server: { [option: string]: string } =
    unix === undefined
      ? { type: 'inet', host, port: authority.slice(at + 1) }
      : { type: 'unix', path: decodeURIComponent(socket) };
  return { driver: 'nbd', server, export: decodeURIComponent(name) };
}
