// What an HTTP server gives, made ready for the worker thread: by ranges where they are proved, else as a stream.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, constants as zlib } from 'node:zlib';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { ReadExchange, writeNote } from '../device/read-exchange.ts';
import { hostFedStream } from './fed-stream.ts';
import { type CompressedFormat, detectFormat, type ImageFormat, isCompressed, type SourceFormat } from './format.ts';
import { HttpSource } from './http/mod.ts';
import { type IdentifiedSource, parseUrl } from './identify.ts';
import { type OwnNbdServer, serveOverNbd } from './nbd-server.ts';
import type { ImageAccess, PreparedSource } from './prepared.ts';
import { privateFolder } from './private-folder.ts';

type PrepareImage = (source: IdentifiedSource, format: ImageFormat, access: ImageAccess) => Promise<PreparedSource>;

/** `prepareImage` puts QEMU in front of a format that needs it. @throws as prepareSource */
export async function prepareHttp(source: IdentifiedSource, prepareImage: PrepareImage): Promise<PreparedSource> {
  const { uri, insecure, cacert = null } = source;
  const http = await HttpSource.connect({ url: parseUrl(source.url ?? uri), uri, insecure, cacert });
  try {
    const format = formatOf(source, http);
    if (isCompressed(format)) return streamed(source, http, format);
    if (format === 'raw') return http.access === 'random' ? served(source, http) : streamed(source, http, 'raw');
    if (http.access !== 'random') throw unseekable(uri, format);
    return await imaged(source, http, format, prepareImage);
  } catch (error) {
    await http.close();
    throw error;
  }
}

function unseekable(uri: string, format: SourceFormat): UnderstudyError {
  const why = 'is read at any offset, and the server does not give ranges of the file with a strong ETag';
  return new UnderstudyError('SOURCE_KIND', `${uri}: ${format} ${why}; download it first`);
}

// What it is -----------------------------------------------------------------------------------------------------------

/** Content codings that are formats of ours as well. */
const CODING_FORMATS: { readonly [coding: string]: CompressedFormat } = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  zstd: 'zstd',
};

/** @throws FORMAT_UNKNOWN, SOURCE_KIND for what is no image, and for what the server does to it on its way */
function formatOf(source: IdentifiedSource, http: HttpSource): SourceFormat {
  const { uri } = source;
  const found = detectFormat(http.head);
  if (http.coding !== null) requireWholeCoding(source, http, http.coding, found);
  if (source.format !== 'auto') return source.format;
  if (isHtml(http.head)) {
    const why = 'the server sends a web page (HTML), not an image; look at it in a browser: it may ask for a login';
    throw new UnderstudyError('FORMAT_UNKNOWN', `${uri}: ${why}`);
  }
  return found;
}

/**
 * A server that compresses although it was asked not to. Its bytes are taken as they are and undone as a format, in sight of
 * everybody; so they must be in that format, and hold the image itself.
 */
function requireWholeCoding(source: IdentifiedSource, http: HttpSource, coding: string, found: SourceFormat): void {
  const sends = `${source.uri}: the server sends it in a content coding (${coding}), though it was asked not to`;
  const format = CODING_FORMATS[coding];
  if (format === undefined || found !== format) {
    throw new UnderstudyError('FORMAT_UNKNOWN', `${sends}, and that cannot be undone; download it first`);
  }
  if (source.format !== 'auto' && source.format !== format) {
    throw new UnderstudyError('FORMAT_UNKNOWN', `${sends}, so it is not ${source.format}; leave --format out`);
  }
  const inner = format === 'gzip' ? gunzipStart(http.head) : null;
  const below = inner === null ? null : detectFormat(inner);
  if (below !== 'raw') {
    const what = below === null ? 'what is in it cannot be told' : `what is in it is ${below}`;
    throw new UnderstudyError('FORMAT_UNKNOWN', `${sends}, and ${what}; download it first`);
  }
}

/** Compressed bytes that are looked into: what they can grow to at most is still little. */
const GUNZIP_BYTES = 16 * 1024;

/** What a gzip file starts with, as far as the bytes go; null when they are damaged. */
function gunzipStart(bytes: Uint8Array): Uint8Array | null {
  try {
    return gunzipSync(bytes.subarray(0, GUNZIP_BYTES), { finishFlush: zlib.Z_SYNC_FLUSH });
  } catch {
    // Damage that gzip(1) will tell of where the copy can; here it only means that nothing can be seen.
    return null;
  }
}

function isHtml(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.subarray(0, 1024)).toString('latin1');
  return /^(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--[\s\S]*?-->\s*)*<(!doctype\s+html|html|head|body)[\s>]/i.test(text);
}

// How it is read -------------------------------------------------------------------------------------------------------

function streamed(source: IdentifiedSource, http: HttpSource, format: CompressedFormat | 'raw'): PreparedSource {
  const { uri, storage } = source;
  const host = hostFedStream(format, http);
  const sizeBytes = format === 'raw' ? http.sizeBytes : null;
  const from = { control: host.control, rewindable: true };
  const descriptor = { kind: 'stream', uri, storage, from, sizeBytes, fingerprintFd: null } as const;
  let open = true;
  return {
    descriptor: { ...descriptor, fingerprint: http.fingerprint() },
    get helperPids() {
      return host.helperPids;
    },
    async close() {
      if (!open) return;
      open = false;
      // First the source: whoever waits for it then has an answer.
      await http.close();
      await host.close();
    },
  };
}

function served(source: IdentifiedSource, http: HttpSource): PreparedSource {
  const { uri, storage } = source;
  const sizeBytes = http.sizeBytes ?? 0;
  const exchange = new ReadExchange();
  void serveReads(exchange, http);
  let local: { readonly folder: string; readonly server: OwnNbdServer } | null = null;
  let open = true;
  return {
    descriptor: { kind: 'http', uri, storage, sizeBytes, fingerprint: http.fingerprint(), exchange: exchange.buffer },
    helperPids: [],
    async localUri() {
      local ??= await serveLocally(http);
      return `nbd+unix:///?socket=${encodeURIComponent(join(local.folder, SOCKET))}`;
    },
    async close() {
      if (!open) return;
      open = false;
      exchange.requestClose();
      await http.close();
      await local?.server.close();
      if (local !== null) rmSync(local.folder, { recursive: true, force: true });
    },
  };
}

/** Until nothing is wanted any more. */
async function serveReads(exchange: ReadExchange, http: HttpSource): Promise<void> {
  for (let requests = await exchange.nextRequests(); requests !== null; requests = await exchange.nextRequests()) {
    for (const request of requests) {
      void http.readInto(request.target, request.offsetBytes).then(
        () => exchange.answer(request),
        (error: unknown) => exchange.answerFailure(request, codeOf(error) ?? 'SOURCE_READ_FAILED', messageOf(error)),
      );
    }
  }
}

const SOCKET = 'n';

async function serveLocally(
  http: HttpSource,
  onFailure: (error: unknown) => void = () => undefined,
): Promise<{ folder: string; server: OwnNbdServer }> {
  const folder = privateFolder();
  try {
    const content = { sizeBytes: http.sizeBytes ?? 0, readAt: (at: number, bytes: number) => http.readAt(at, bytes) };
    return { folder, server: await serveOverNbd(content, join(folder, SOCKET), onFailure) };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

const NOTE_BYTES = 4096;

/** Through QEMU, which reads from a server of ours: its own client of HTTP stalls (docs/decisions/0062). */
async function imaged(
  source: IdentifiedSource,
  http: HttpSource,
  format: ImageFormat,
  prepareImage: PrepareImage,
): Promise<PreparedSource> {
  const failure = new SharedArrayBuffer(NOTE_BYTES);
  const { folder, server } = await serveLocally(http, (error) => {
    writeNote(failure, `${codeOf(error) ?? 'SOURCE_READ_FAILED'} ${messageOf(error)}`);
  });
  try {
    const prepared = await prepareImage(source, format, {
      storage: { driver: 'nbd', server: { type: 'unix', path: join(folder, SOCKET) } },
      path: null,
      storedBytes: http.sizeBytes ?? 0,
      fingerprint: http.fingerprint(),
      failure,
    });
    return {
      descriptor: prepared.descriptor,
      get helperPids() {
        return prepared.helperPids;
      },
      async close() {
        await prepared.close();
        await server.close();
        await http.close();
      },
    };
  } catch (error) {
    await server.close();
    // What QEMU makes of a read that failed says less than why it failed.
    throw server.failure ?? error;
  } finally {
    // QEMU has its connection by now: so however this process dies, no folder stays behind.
    rmSync(folder, { recursive: true, force: true });
  }
}
