// The producer's main thread: starts what a source needs to be read, and keeps it running until nobody reads any more.
import { closeSync, fstatSync, openSync, realpathSync, rmSync, type Stats } from 'node:fs';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { blockDeviceBytes } from '../../linux/mod.ts';
import { fileError, fileIdentity } from '../device/file.ts';
import { canonicalNbdUri } from '../device/nbd-uri.ts';
import { type ContentRequest, type PrepareOptions, prepareContent } from './content.ts';
import { contentsText, judgeContents, LOOK_BYTES } from './contents.ts';
import { fileBytes, pipeBytes } from './file-bytes.ts';
import type { ImageFormat } from './format.ts';
import type { IdentifiedSource } from './identify.ts';
import { type HeldFile, ImageFiles } from './image-files.ts';
import { KEY, planImage } from './image-plan.ts';
import { serveImage } from './image-server.ts';
import { nameOfSource } from './name.ts';
import { prepareHttp } from './prepare-http.ts';
import type { ImageAccess, PreparedSource, SourceDescriptor } from './prepared.ts';
import { privateFolder } from './private-folder.ts';
import type { BlockNode, ToolObjects } from './qemu.ts';
import type { Window } from './window.ts';

const STDIN_FD = 0;
/**
 * Makes the source ready for `openPrepared` in one worker of this process.
 * @throws SOURCE_CHANGED when another file has taken the name since it was identified; TOOL_MISSING; SOURCE_NOT_FOUND,
 *   SOURCE_UNREADABLE, SOURCE_CORRUPT, SOURCE_UNAVAILABLE, SOURCE_TIMEOUT, SOURCE_EMPTY, SOURCE_KIND, FORMAT_UNKNOWN
 */
export async function prepareSource(source: IdentifiedSource, options: PrepareOptions = {}): Promise<PreparedSource> {
  const { kind, format } = source;
  if (kind === 'http') return prepareHttp(source, options, prepareImage);
  if (kind === 'stdin') return prepareStdin(source, options);
  if (kind === 'nbd') {
    if (format === 'raw') return plain({ kind: 'nbd', uri: source.uri, served: null, contents: '' });
    return prepareImage(source, format as ImageFormat, { storage: nbdNode(source), path: null });
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
      return plain({
        kind: 'stream',
        uri,
        storage,
        sizeBytes: null,
        from,
        fingerprintFd: null,
        fingerprint: '',
        contents,
        asItIs,
      });
    },
    window: null,
    image: null,
  };
  return prepareContent(request, options);
}

function prepareFile(source: IdentifiedSource, options: PrepareOptions): Promise<PreparedSource> {
  const { fromBytes = 0 } = source;
  const uri = nameOfSource(source.uri);
  const { fd, path, sizeBytes } = openHeld(source);
  const regular = source.kind === 'file';
  const bytes = fileBytes(uri, fd, sizeBytes - fromBytes, fromBytes);
  const windowOf = ({ offsetBytes, lengthBytes }: Window, contents: string): PreparedSource =>
    plain({ kind: 'file', uri, path, window: { offsetBytes: fromBytes + offsetBytes, lengthBytes }, contents });
  const rest: Window | null = fromBytes === 0 ? null : { offsetBytes: 0, lengthBytes: sizeBytes - fromBytes };
  const storageOf = ({ place }: HeldFile, window: Window | null): BlockNode => {
    const node: BlockNode = { driver: regular ? 'file' : 'host_device', filename: place };
    if (window === null) return node;
    return { driver: 'raw', offset: fromBytes + window.offsetBytes, size: window.lengthBytes, file: node };
  };
  const request: ContentRequest = {
    source,
    bytes,
    path: regular && rest === null ? nameOf(path) : null,
    raw: async () => {
      if (rest === null) return plain({ kind: 'file', uri, path, window: null, contents: '' });
      return windowOf(rest, contentsText(judgeContents(await bytes.readAt(0, LOOK_BYTES), rest.lengthBytes)));
    },
    window: windowOf,
    image: (format, inner) => {
      const name = realPathOf(source, path);
      const files = new ImageFiles();
      const held = files.take(name, openHeld(source).fd);
      const window = inner ?? rest;
      // An image within an archive has no folder in which other files could be its own.
      const own = regular && window === null ? { path: name, held } : { path: null };
      return prepareImage(source, format, { storage: storageOf(held, window), files, ...own });
    },
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
    throw fileError('source', `open ${nameOfSource(source.uri)}`, errnoOf(cause), cause);
  }
  const stats: Stats = fstatSync(fd);
  if (fileIdentity(stats) === source.storage) {
    return { fd, path, sizeBytes: stats.isFile() ? stats.size : blockDeviceBytes(fd) };
  }
  closeSync(fd);
  throw new UnderstudyError('SOURCE_CHANGED', `${nameOfSource(source.uri)} is another file than a moment ago`);
}

/** Null where the open file has no name that programs could be given: it was removed or replaced, or is not UTF-8. */
function nameOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

/** The same, for what cannot be read without a name. @throws SOURCE_NOT_FOUND */
function realPathOf(source: IdentifiedSource, path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw fileError('source', `find ${nameOfSource(source.uri)}`, errnoOf(cause), cause);
  }
}

async function prepareImage(
  source: IdentifiedSource,
  format: ImageFormat | 'raw',
  access: ImageAccess,
): Promise<PreparedSource> {
  const uri = nameOfSource(source.uri);
  const { storage, path, held, storedBytes = null, fingerprint = null, failure = null } = access;
  const files = access.files ?? new ImageFiles();
  const folder = privateFolder();
  try {
    const objects = keyObjects(source);
    const plan = await planImage({
      uri,
      storage,
      path,
      held,
      files,
      storedBytes,
      format,
      objects,
      hasKey: source.keyFile !== undefined,
    });
    const server = await serveImage({ uri, graph: plan.graph, objects, folder });
    let open = true;
    return {
      descriptor: {
        kind: 'nbd',
        uri: server.uri,
        served: { uri, storage: source.storage, fingerprintFds: path === null ? [] : files.fds, fingerprint, failure },
        contents: '',
      },
      get helperPids() {
        return server.helperPids;
      },
      async close() {
        if (!open) return;
        open = false;
        await server.close();
        files.close();
      },
    };
  } catch (error) {
    files.close();
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
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

/** BlockdevOptionsNbd of an nbd: or nbd+unix: URI. */
function nbdNode(source: IdentifiedSource): BlockNode {
  const match = /^nbd(\+unix)?:\/\/([^/]*)\/([^?]*)(?:\?socket=(.*))?$/.exec(canonicalNbdUri(source.uri));
  if (match === null) throw new UnderstudyError('USAGE', `${source.uri} cannot be read through QEMU`);
  const [, unix, authority = '', name = '', socket = ''] = match;
  const at = authority.lastIndexOf(':');
  const host = authority.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const server: { [option: string]: string } =
    unix === undefined
      ? { type: 'inet', host: decodeURIComponent(host), port: authority.slice(at + 1) }
      : { type: 'unix', path: decodeURIComponent(socket) };
  return { driver: 'nbd', server, export: decodeURIComponent(name) };
}
