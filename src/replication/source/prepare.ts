// The producer's main thread: starts what a source needs to be read, and keeps it running until nobody reads any more.
import { closeSync, fstatSync, openSync, realpathSync, rmSync, type Stats } from 'node:fs';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { fileError, fileIdentity } from '../device/file.ts';
import { canonicalNbdUri } from '../device/nbd-uri.ts';
import { decompressedBytes, hostDecompressor, type StreamHost } from './decompressor.ts';
import { type CompressedFormat, type ImageFormat, isCompressed } from './format.ts';
import type { IdentifiedSource } from './identify.ts';
import { planImage } from './image-plan.ts';
import { serveImage } from './image-server.ts';
import { prepareHttp } from './prepare-http.ts';
import type { ImageAccess, PreparedSource, SourceDescriptor } from './prepared.ts';
import { privateFolder } from './private-folder.ts';
import type { BlockNode } from './qemu.ts';

const STDIN_FD = 0;

/**
 * Makes the source ready for `openPrepared` in one worker of this process.
 * @throws SOURCE_CHANGED when another file has taken the name since it was identified; TOOL_MISSING; SOURCE_NOT_FOUND,
 *   SOURCE_UNREADABLE, SOURCE_CORRUPT, SOURCE_UNAVAILABLE, SOURCE_TIMEOUT, SOURCE_EMPTY, SOURCE_KIND, FORMAT_UNKNOWN
 */
export async function prepareSource(source: IdentifiedSource): Promise<PreparedSource> {
  const { kind, format } = source;
  if (kind === 'http') return prepareHttp(source, prepareImage);
  if (isCompressed(format)) return prepareCompressed(source, format);
  if (kind === 'stdin') return plain({ ...streamOf(source), from: { fd: STDIN_FD }, sizeBytes: null });
  if (kind === 'nbd') {
    if (format === 'raw') return plain({ kind: 'nbd', uri: source.uri, served: null });
    return prepareImage(source, format as ImageFormat, { storage: nbdNode(source), path: null });
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

function sizeOf(source: IdentifiedSource, format: CompressedFormat, path: string): Promise<number | null> {
  return decompressedBytes(format, realPathOf(source, path), source.uri);
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

async function prepareImage(
  source: IdentifiedSource,
  format: ImageFormat,
  access: ImageAccess,
): Promise<PreparedSource> {
  const { uri } = source;
  const { storage, path, storedBytes, fingerprint = null, failure = null } = access;
  const folder = privateFolder();
  const fingerprintFds: number[] = [];
  try {
    const plan = await planImage({ uri, storage, path, storedBytes: storedBytes ?? null, format, objects: [] });
    for (const file of plan.files) fingerprintFds.push(openSync(file, 'r'));
    const server = await serveImage({ uri, graph: plan.graph, objects: [], folder });
    let open = true;
    return {
      descriptor: {
        kind: 'nbd',
        uri: server.uri,
        served: { uri, storage: source.storage, fingerprintFds, fingerprint, failure },
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
