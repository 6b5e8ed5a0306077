// What a source holds, whatever its bytes come through: one function for files, pipes and servers.
import { UnderstudyError } from '../../base/mod.ts';
import type { ByteSource } from './byte-source.ts';
import { imageOfFile } from './container-file.ts';
import { type Contents, contentsText, judgeContents, LOOK_BYTES } from './contents.ts';
import { damaged, unreadable } from './damage.ts';
import { detectStored, FOOTER_BYTES, HEAD_BYTES } from './detect.ts';
import { fixedVhd } from './fixed-vhd.ts';
import { type Flow, flowOfPieces, flowOfPipe } from './flow.ts';
import { detectFormat, type ImageFormat, isCompressed, isImage, type SourceFormat } from './format.ts';
import type { IdentifiedSource } from './identify.ts';
import type { Member } from './members.ts';
import type { PreparedSource } from './prepared.ts';
import { listedBytes } from './programs.ts';
import { Run, type RunOptions } from './run.ts';
import { hashing, hashingFlow } from './stored-hash.ts';
import { hostStream, type Opened } from './stream-host.ts';
import { unreadFormat } from './unread.ts';
import { FIRST_BYTES, lookInside, unwrap } from './unwrap.ts';
import { needsOffsets, refusal, requireRaw } from './unwrapped.ts';
import type { Window } from './window.ts';
import { TAIL_BYTES, xzEnd } from './xz-end.ts';

/** What a transport offers besides its bytes. */
export interface ContentRequest {
  /** Its `format` is what the user named or the first bytes told, or `auto`. */
  readonly source: IdentifiedSource;
  /** Closed when the result is closed, or when this fails. */
  readonly bytes: ByteSource;
  /** A path of the stored bytes that programs can open; null where there is none. */
  readonly path: string | null;
  /** The stored bytes as they are the image. */
  raw(front: Front): PreparedSource | Promise<PreparedSource>;
  /** A part of the stored bytes is the image; null where the transport cannot be read at any offset. */
  readonly window: ((window: Window, contents: string) => PreparedSource | Promise<PreparedSource>) | null;
  /**
   * The stored bytes, or a part of them, are an image that QEMU reads; null where the transport cannot be read that
   * way.
   */
  readonly image: ((format: ImageFormat, window: Window | null) => Promise<PreparedSource>) | null;
}

/** What has been read of a raw image. */
export interface Front {
  /** Taken from a pipe, and missing in what it gives from now on; empty for all other sources. */
  readonly first: Uint8Array;
  /** In the form of `contentsText`; '' where nobody has looked. */
  readonly contents: string;
}

export interface PrepareOptions {
  /** Gives up, with INTERRUPTED: nobody wants the source any more. */
  readonly signal?: AbortSignal;
  /**
   * Called for what a user should know of a source that was read well: data that were ignored. Before its last byte is
   * given.
   */
  readonly onWarning?: (warning: string) => void;
  /**
   * Called with the SHA-256 (hexadecimal) of the stored bytes, where they are read in order in this process and are not
   * the image themselves. Before the image's last byte is given.
   */
  readonly onStoredDigest?: (hex: string) => void;
}

/**
 * Finds out what a source holds and makes the image in it readable.
 * @throws FORMAT_UNKNOWN (not an image, not exactly one, another format than the one named), SOURCE_CORRUPT,
 * SOURCE_EMPTY,
 *   SOURCE_TIMEOUT, SOURCE_READ_FAILED, INTERRUPTED, TOOL_MISSING, and what the transport throws
 */
export async function prepareContent(given: ContentRequest, options: PrepareOptions = {}): Promise<PreparedSource> {
  const { onStoredDigest } = options;
  // A pipe is read before it is known whether what it stores is the image itself: it is hashed from there on.
  const isHashed = onStoredDigest !== undefined && given.bytes.access !== 'once';
  const bytes = isHashed ? hashing(given.bytes, onStoredDigest) : given.bytes;
  const request = { ...given, bytes };
  const told = new Set<string>();
  const runOptions: RunOptions = {
    uri: bytes.uri,
    signal: options.signal,
    waiting: () => bytes.waiting ?? false,
    onWarning(warning) {
      // A second sweep meets the same.
      if (!told.has(warning)) options.onWarning?.(warning);
      told.add(warning);
    },
  };
  try {
    const prepared =
      bytes.access === 'random'
        ? await prepareStored(request, runOptions)
        : await prepareFlow(request, runOptions, isHashed ? undefined : onStoredDigest);
    return closing(prepared, bytes);
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

/** @throws USAGE where there is nothing that the key could open */
function refuseKey({ keyFile }: IdentifiedSource, uri: string): void {
  if (keyFile === undefined) return;
  throw new UnderstudyError('USAGE', `${uri} is not an image that a key opens; leave --key-file out`);
}

function closing(prepared: PreparedSource, bytes: ByteSource): PreparedSource {
  return {
    descriptor: prepared.descriptor,
    get helperPids() {
      return prepared.helperPids;
    },
    ...(prepared.localUri === undefined ? {} : { localUri: prepared.localUri }),
    async close() {
      await prepared.close();
      await bytes.close();
    },
  };
}

/** @throws FORMAT_UNKNOWN where the content is not of the format that was named */
function formatOf(source: IdentifiedSource, found: SourceFormat, uri: string): SourceFormat {
  const { format } = source;
  if (format === 'auto' || format === found) return found;
  if (format === 'raw') return 'raw';
  const what = found === 'raw' ? 'no format that is known' : found;
  throw unreadable(uri, `is not in the format ${format}: it shows ${what}; leave --format out, or name the right one`);
}

async function prepareStored(request: ContentRequest, options: RunOptions): Promise<PreparedSource> {
  const { source, bytes } = request;
  const { uri } = bytes;
  const sizeBytes = bytes.sizeBytes ?? 0;
  if (sizeBytes === 0) throw new UnderstudyError('SOURCE_EMPTY', `${uri} holds no bytes`);
  // Where raw is what was said, nothing is looked for.
  if (source.format === 'raw') {
    refuseKey(source, uri);
    return request.raw({ first: new Uint8Array(0), contents: '' });
  }
  const head = await bytes.readAt(0, HEAD_BYTES);
  const footer = await bytes.readAt(Math.max(0, sizeBytes - FOOTER_BYTES), FOOTER_BYTES);
  const format = formatOf(source, detectStored(head, footer), uri);
  if (!isImage(format)) refuseKey(source, uri);
  if (format === 'raw') {
    const unread = unreadFormat(head, footer);
    if (unread !== null) throw refusal(uri, unread);
    return request.raw({ first: new Uint8Array(0), contents: '' });
  }
  if (isImage(format)) {
    const window = format === 'vpc' ? fixedVhd(footer, sizeBytes, uri) : null;
    if (window !== null && request.window !== null) return ofWindow(request, window);
    if (request.image === null) throw needsOffsets(uri, format);
    return request.image(format, null);
  }
  if (format === 'tar' || format === 'zip') return prepareContainer(request, format, options);
  return prepareLayers(request, format, options);
}

async function ofWindow(request: ContentRequest, window: Window): Promise<PreparedSource> {
  const first = await request.bytes.readAt(window.offsetBytes, Math.min(LOOK_BYTES, window.lengthBytes));
  const contents = contentsText(judgeContents(first, window.lengthBytes));
  if (request.window === null) throw new Error('asked for a window of what has none');
  return request.window(window, contents);
}

async function prepareContainer(
  request: ContentRequest,
  format: 'tar' | 'zip',
  options: RunOptions,
): Promise<PreparedSource> {
  const { bytes } = request;
  const found = await imageOfFile(bytes, format, options, lookInside);
  const { member } = found;
  const window = found.plain ? member.window : null;
  if (found.format !== null) {
    if (window === null || request.image === null) throw needsOffsets(bytes.uri, found.format);
    return request.image(found.format, window);
  }
  if (window !== null && request.window !== null) return ofWindow(request, window);
  return hosted(request, () => openMember(member, options), true);
}

async function openMember(member: Member, options: RunOptions): Promise<Opened> {
  return opening(options, async (run) => {
    const stored = await flowOfPieces(member.open(), FIRST_BYTES, member.sizeBytes);
    return unwrap(stored, run, { format: null, inContainer: true, firstBytes: FIRST_BYTES });
  });
}

/** Stored bytes with a layer around them that makes them a stream. */
async function prepareLayers(
  request: ContentRequest,
  format: SourceFormat,
  options: RunOptions,
): Promise<PreparedSource> {
  const { bytes, path } = request;
  let outerBytes: number | null = null;
  let inherited = bytes.fd;
  if (isCompressed(format) && path !== null) {
    const { sizeBytes, complaint } = await listedBytes(format, path);
    outerBytes = sizeBytes;
    if (complaint !== null) {
      // Perhaps there is only something behind the end; then the program is given what is in front of that.
      await requireXzEnd(bytes, complaint);
      inherited = null;
    }
  }
  const open = () =>
    opening(options, async (run) => {
      const stored = await flowOfPieces(bytes.open(), HEAD_BYTES);
      const layers = { format, inContainer: false, firstBytes: FIRST_BYTES, inherited, outerBytes };
      return unwrap(stored, run, layers);
    });
  return hosted(request, open, true);
}

async function requireXzEnd(bytes: ByteSource, complaint: string): Promise<void> {
  const from = Math.max(0, (bytes.sizeBytes ?? 0) - TAIL_BYTES);
  if (xzEnd(await bytes.readAt(from, TAIL_BYTES)) === null) throw damaged(bytes.uri, complaint);
}

/** Sources without offsets: read from the start, once or again and again. */
async function prepareFlow(
  request: ContentRequest,
  options: RunOptions,
  onStoredDigest?: (hex: string) => void,
): Promise<PreparedSource> {
  const { source, bytes } = request;
  const { uri, fd } = bytes;
  const stored =
    fd === null
      ? await flowOfPieces(bytes.open(), FIRST_BYTES, bytes.sizeBytes)
      : await flowOfPipe(fd, FIRST_BYTES, options);
  if (stored.first.byteLength === 0) throw new UnderstudyError('SOURCE_EMPTY', `${uri} holds no bytes`);
  const format = formatOf(source, detectFormat(stored.first), uri);
  refuseKey(source, uri);
  if (format === 'raw' && fd !== null) {
    const unread = source.format === 'raw' ? null : unreadFormat(stored.first.subarray(0, HEAD_BYTES));
    if (unread !== null) throw refusal(uri, unread);
    return request.raw({ first: stored.first, contents: contentsText(judgeFlow(stored)) });
  }
  let next: Flow | null =
    onStoredDigest === undefined ? stored : hashingFlow(stored, () => bytes.open(), onStoredDigest);
  const open = () =>
    opening(options, async (run) => {
      const flow = next ?? (await flowOfPieces(bytes.open(), FIRST_BYTES, bytes.sizeBytes));
      next = null;
      // Raw counts as said only where the user said it: what is known and no image is refused by its name.
      const named = format === 'raw' && source.format !== 'raw' ? null : format;
      return unwrap(flow, run, { format: named, inContainer: false, firstBytes: FIRST_BYTES });
    });
  return hosted(request, open, bytes.access !== 'once');
}

async function opening(options: RunOptions, open: (run: Run) => ReturnType<typeof unwrap>): Promise<Opened> {
  const run = new Run(options);
  try {
    return { run, flow: requireRaw(await open(run), options.uri) };
  } catch (error) {
    await run.stop();
    throw error;
  }
}

function judgeFlow(flow: Flow): Contents {
  return judgeContents(flow.first, flow.whole ? flow.first.byteLength : flow.sizeBytes);
}

async function hosted(
  request: ContentRequest,
  open: () => Promise<Opened>,
  rewindable: boolean,
): Promise<PreparedSource> {
  const { source, bytes } = request;
  const first = await open();
  const contents = contentsText(judgeFlow(first.flow));
  const host = hostStream(first, open, () => bytes.waiting ?? false);
  return {
    descriptor: {
      kind: 'stream',
      uri: source.uri,
      storage: source.storage,
      sizeBytes: first.flow.sizeBytes,
      from: { control: host.control, rewindable },
      fingerprintFd: bytes.access === 'random' ? bytes.fd : null,
      fingerprint: bytes.fd === null ? bytes.fingerprint() : '',
      contents,
      asItIs: false,
    },
    get helperPids() {
      return host.helperPids;
    },
    close: () => host.close(),
  };
}
