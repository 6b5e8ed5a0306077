// The producer's main thread: starts what a source needs to be read, and keeps it running until nobody reads any more.
import { closeSync, fstatSync, mkdtempSync, openSync, realpathSync, rmSync, type Stats, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errnoOf, limits, messageOf, UnderstudyError } from '../../base/mod.ts';
import { blockDeviceBytes } from '../../linux/mod.ts';
import { fileError, fileIdentity } from '../device/file.ts';
import { canonicalNbdUri } from '../device/nbd-uri.ts';
import { type ContentRequest, type PrepareOptions, prepareContent } from './content.ts';
import { fileBytes, pipeBytes } from './file-bytes.ts';
import { DETECTION_BYTES, detectFormat, type ImageFormat, isImage } from './format.ts';
import { type IdentifiedSource, parseUrl, refuseStream } from './identify.ts';
import { KEY, planImage } from './image-plan.ts';
import { serveImage } from './image-server.ts';
import type { PreparedSource, SourceDescriptor } from './prepared.ts';
import { type BlockNode, graphName, qemuError, runQemu, type ToolObjects } from './qemu.ts';
import type { Window } from './window.ts';

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
export async function prepareSource(source: IdentifiedSource, options: PrepareOptions = {}): Promise<PreparedSource> {
  const { kind, format } = source;
  if (kind === 'http') return prepareHttp(source);
  if (kind === 'stdin') return prepareStdin(source, options);
  if (kind === 'nbd') {
    if (format === 'raw') return plain({ kind: 'nbd', uri: source.uri, served: null, contents: '' });
    return prepareImage(source, format as ImageFormat, { storage: nbdNode(source), path: null, secret: null });
  }
  return prepareFile(source, options);
}

function plain(descriptor: SourceDescriptor): PreparedSource {
  return { descriptor, helperPids: [], close: () => Promise.resolve() };
}

function prepareStdin(source: IdentifiedSource, options: PrepareOptions): Promise<PreparedSource> {
  const { uri, storage } = source;
  const request: ContentRequest = {
    source,
    bytes: pipeBytes('standard input', STDIN_FD),
    path: null,
    raw({ first, contents }) {
      const from = { fd: STDIN_FD, first };
      const asItIs = source.format === 'raw';
      return plain({ kind: 'stream', uri, storage, sizeBytes: null, from, fingerprintFd: null, contents, asItIs });
    },
    window: null,
    image: null,
  };
  return prepareContent(request, options);
}

function prepareFile(source: IdentifiedSource, options: PrepareOptions): Promise<PreparedSource> {
  const { uri } = source;
  const { fd, path, sizeBytes } = openHeld(source);
  const regular = source.kind === 'file';
  const storageOf = (window: Window | null): BlockNode => {
    const node: BlockNode = { driver: regular ? 'file' : 'host_device', filename: realPathOf(source, path) };
    return window === null ? node : { driver: 'raw', offset: window.offsetBytes, size: window.lengthBytes, file: node };
  };
  const request: ContentRequest = {
    source,
    bytes: fileBytes(uri, fd, sizeBytes),
    path: regular ? realPathOf(source, path) : null,
    raw: () => plain({ kind: 'file', uri, path, window: null, contents: '' }),
    window: (window, contents) => plain({ kind: 'file', uri, path, window, contents }),
    image: (format, window) =>
      prepareImage(source, format, {
        storage: storageOf(window),
        // An image within an archive has no folder in which other files could be its own.
        path: regular && window === null ? realPathOf(source, path) : null,
        secret: null,
      }),
  };
  return prepareContent(request, options);
}

/** Opens what was identified, and nothing else that has its name by now. */
function openHeld(source: IdentifiedSource): { fd: number; path: string; sizeBytes: number } {
  const path = source.path ?? `/proc/self/fd/${STDIN_FD}`;
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw fileError('source', `open ${source.uri}`, errnoOf(cause), cause);
  }
  const stats: Stats = fstatSync(fd);
  if (fileIdentity(stats) === source.storage) {
    return { fd, path, sizeBytes: stats.isFile() ? stats.size : blockDeviceBytes(fd) };
  }
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

interface ImageAccess {
  readonly storage: BlockNode;
  readonly path: string | null;
  /** Password of an http server, for an object named SECRET. */
  readonly secret: string | null;
}

const SECRET = 'password';

async function prepareImage(
  source: IdentifiedSource,
  format: ImageFormat | 'raw' | 'auto',
  access: ImageAccess,
): Promise<PreparedSource> {
  const uri = shownUri(source);
  const folder = privateFolder();
  const fingerprintFds: number[] = [];
  try {
    const objects = [...secretObjects(folder, access.secret), ...keyObjects(source)];
    const found = format === 'auto' ? await probeHttp(uri, access.storage, objects) : format;
    const plan = await planImage({
      uri,
      storage: access.storage,
      path: access.path,
      format: found,
      objects,
      hasKey: source.keyFile !== undefined,
    });
    for (const file of plan.files) fingerprintFds.push(openSync(file, 'r'));
    const server = await serveImage({ uri, graph: plan.graph, objects, folder });
    let open = true;
    return {
      descriptor: {
        kind: 'nbd',
        uri: server.uri,
        served: { uri, storage: source.storage, fingerprintFds },
        contents: '',
      },
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

/**
 * The key as it is in its file, every byte of it, as cryptsetup(8) takes a key file: a line end counts.
 * @throws SOURCE_UNREADABLE
 */
function keyObjects({ keyFile }: IdentifiedSource): ToolObjects {
  if (keyFile === undefined) return [];
  try {
    closeSync(openSync(keyFile, 'r'));
  } catch (cause) {
    throw fileError('source', `open the key file ${keyFile}`, errnoOf(cause), cause);
  }
  return ['--object', `secret,id=${KEY},file=${keyFile.replaceAll(',', ',,')}`];
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
  const format = source.format as ImageFormat | 'raw' | 'auto';
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
 * The format of what a server sends, from its first bytes; read by QEMU like all the rest, so that one and the same
 * client
 * judges certificates and takes the way through proxies. @throws FORMAT_UNKNOWN for compressed images
 */
async function probeHttp(uri: string, storage: BlockNode, objects: ToolObjects): Promise<ImageFormat | 'raw'> {
  const raw = { driver: 'raw', file: storage };
  const args = ['-r', ...objects, '-c', `read -v 0 ${DETECTION_BYTES}`, graphName(raw)];
  const { status, stdout, stderr } = await runQemu({ tool: 'qemu-io', args, timeoutMs: HTTP_PROBE_TIMEOUT_MS, uri });
  if (status !== 0) throw qemuError(uri, stderr === '' ? stdout : stderr);
  // Lines of "00000000:  51 46 49 fb ...  QFI.": sixteen bytes each.
  const rows = stdout.matchAll(/^[0-9a-f]+: {2}((?:[0-9a-f]{2} ){16})/gm);
  const bytes = Buffer.from([...rows].map((row) => row[1]).join(''), 'latin1').toString('latin1');
  const format = detectFormat(Buffer.from(bytes.replaceAll(' ', ''), 'hex'));
  if (isImage(format) || format === 'raw') return format;
  refuseStream(uri, format);
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
